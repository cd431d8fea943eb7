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
        let _turn = self.checks.acquire().await.map_err(|_| asked())?;
        let users = Arc::clone(users);
        let right = tokio::task::spawn_blocking(move || users.verify(&user, &password)).await.unwrap_or(false);
        if right { Ok(()) } else { Err(Fault::new(Code::Unauthorized, "wrong user or password".to_owned())) }
    }

    /// Whether this registry does such things at all.
    pub fn allow(&self, method: &Method, target: &Target) -> Result<(), Fault> {
        let refuse = |text: &str| Err(Fault::new(Code::Unsupported, text.to_owned()));
        let deletes = method == Method::DELETE && matches!(target, Target::Manifest(..) | Target::Blob(..));
        let writes = !matches!(*method, Method::GET | Method::HEAD) || matches!(target, Target::Upload(..));
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
