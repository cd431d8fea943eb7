//! Who may do what.

use crate::fault::{Code, Fault};
use crate::htpasswd::Htpasswd;
use crate::target::Target;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, header};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Passwords that are checked at the same time.
const CHECKS: usize = 2;

/// What may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    None,
    Push,
    PushAndDelete,
}

/// Who may do what.
#[derive(Debug)]
pub struct Access {
    users: Option<Arc<Htpasswd>>,
    checks: Semaphore,
    changes: Changes,
}

impl Access {
    pub fn new(users: Option<Htpasswd>, changes: Changes) -> Access {
        Access { users: users.map(Arc::new), checks: Semaphore::new(CHECKS), changes }
    }

    /// Asks for a user, when there are any.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let Some(users) = &self.users else { return Ok(()) };
        let asked = || Fault::new(Code::Unauthorized, "authentication required".to_owned());
        let (user, password) = basic(headers).ok_or_else(asked)?;
        let known = Arc::clone(users);
        let remembered = tokio::task::spawn_blocking(move || {
            let remembered = known.remembers(&user, &password);
            (remembered, user, password)
        });
        let (remembered, user, password) = remembered.await.map_err(|_| asked())?;
        // Who is known does not stand in line with those who guess.
        if remembered {
            return Ok(());
        }
        let _turn = self.checks.acquire().await.map_err(|_| asked())?;
        let users = Arc::clone(users);
        let right = tokio::task::spawn_blocking(move || users.verify(&user, &password)).await.unwrap_or(false);
        if right { Ok(()) } else { Err(Fault::new(Code::Unauthorized, "wrong user or password".to_owned())) }
    }

    /// Whether this registry does such things at all.
    pub fn allow(&self, method: &Method, headers: &HeaderMap, target: &Target) -> Result<(), Fault> {
        let refuse = |text: &str| Err(Fault::new(Code::Unsupported, text.to_owned()));
        let deletes = method == Method::DELETE && matches!(target, Target::Manifest(..) | Target::Blob(..));
        let writes = !matches!(*method, Method::GET | Method::HEAD) || matches!(target, Target::Upload(..));
        // Browsers say for whom they write; a page that reaches this machine's registry (also by a name that it lets point
        // here) must not push where no password is asked.
        if writes && self.users.is_none() && headers.contains_key(header::ORIGIN) {
            return Err(Fault::new(Code::Denied, "this registry takes nothing from web pages".to_owned()));
        }
        match self.changes {
            Changes::None if writes => refuse("this registry is read-only"),
            Changes::Push if deletes => refuse("this registry does not delete: it was started without --allow-delete"),
            _ => Ok(()),
        }
    }
}

/// RFC 7617
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
