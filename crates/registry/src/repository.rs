//! One repository as one asker sees it, and what its refusals are called.

use crate::client::Cancel;
use crate::credentials::Credentials;
use crate::error::{Error, Refusal};
use crate::hosts::{Capability, Endpoint};
use crate::session::Session;
use crate::setup::Setup;
use crate::workers::Workers;
use http::StatusCode;
use std::future::Future;
use std::sync::Arc;

/// One repository, as one asker sees it. Clones share it.
#[derive(Clone)]
pub struct Repository(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({}/{})", self.0.domain, self.0.path)
    }
}

pub(crate) struct Inner {
    pub workers: Arc<Workers>,
    pub setup: Arc<Setup>,
    pub domain: String,
    pub path: String,
    pub credentials: Credentials,
    pub cancel: Cancel,
    pub endpoints: tokio::sync::OnceCell<Vec<Arc<Endpoint>>>,
}

impl Repository {
    pub(crate) fn run<T, F>(&self, verb: impl FnOnce(Arc<Inner>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.0.workers.run(&self.0.cancel, verb(Arc::clone(&self.0)))
    }
}

impl Inner {
    /// The endpoints that can do something, mirrors first.
    pub(crate) async fn sessions(&self, capability: Capability) -> Result<Vec<Session>, Error> {
        check_path(&self.path)?;
        let endpoints = self.endpoints.get_or_try_init(async || {
            let endpoints = self.setup.finder().endpoints(&self.domain).await?;
            Ok::<_, Error>(endpoints.into_iter().map(Arc::new).collect())
        });
        let able = endpoints.await?.iter().filter(|endpoint| endpoint.can(capability));
        Ok(able.map(|endpoint| self.session(endpoint)).collect())
    }

    /// Where changes go: always one endpoint, so that they meet.
    pub(crate) async fn pushing(&self) -> Result<Session, Error> {
        let sessions = self.sessions(Capability::Push).await?;
        let none = || Error::Invalid(format!("the registry {} takes no pushes", self.domain));
        sessions.into_iter().next().ok_or_else(none)
    }

    fn session(&self, endpoint: &Arc<Endpoint>) -> Session {
        Session {
            setup: Arc::clone(&self.setup),
            endpoint: Arc::clone(endpoint),
            credentials: self.credentials.clone(),
        }
    }

    /// Asks each endpoint until one answers well. The last word is the registry's.
    pub(crate) async fn ask_each<T, F>(
        &self,
        sessions: Vec<Session>,
        ask: impl Fn(usize, Session) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut outcome = Err(Error::Unavailable(format!("the registry {} has no endpoint left", self.domain)));
        for (index, session) in sessions.into_iter().enumerate() {
            let base = session.endpoint.base.clone();
            outcome = ask(index, session).await;
            match &outcome {
                Err(error) => tracing::debug!(endpoint = %base, %error, "the endpoint does not have it"),
                Ok(_) => break,
            }
        }
        outcome
    }

    pub(crate) fn at(&self, rest: &str) -> String {
        format!("{}/{rest}", self.path)
    }

    /// `repository:library/busybox:pull`
    pub(crate) fn scope(&self, actions: &str) -> String {
        format!("repository:{}:{actions}", self.path)
    }

    /// As people know it: `busybox`, `ghcr.io/a/b`.
    pub(crate) fn familiar(&self) -> String {
        if !crate::credentials::is_hub(&self.domain) {
            return format!("{}/{}", self.domain, self.path);
        }
        self.path.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(&self.path).to_owned()
    }

    /// `busybox:latest` or `busybox@sha256:...`
    pub(crate) fn familiar_with(&self, reference: &str) -> String {
        let sign = if reference.contains(':') { '@' } else { ':' };
        format!("{}{sign}{reference}", self.familiar())
    }

    /// What a refusal to read means, in Docker's words.
    pub(crate) fn unread(&self, refusal: Refusal, reference: Option<&str>) -> Error {
        let name = self.familiar();
        let unknown = refusal.status == StatusCode::NOT_FOUND;
        if refusal.is("DENIED") {
            return Error::NotFound(format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login': {}",
                refusal.text()
            ));
        }
        if refusal.is("NAME_UNKNOWN") {
            return Error::NotFound(format!("repository {name} not found: {}", refusal.text()));
        }
        match reference {
            Some(reference) if unknown => {
                let known = refusal.is("MANIFEST_UNKNOWN");
                let text = if known { refusal.text() } else { "manifest unknown: manifest unknown".to_owned() };
                Error::NotFound(format!("manifest for {} not found: {text}", self.familiar_with(reference)))
            }
            _ => refusal.into_error(),
        }
    }
}

/// A repository's path becomes part of an address.
pub(crate) fn check_path(path: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '/');
    let odd = path.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.contains(".."));
    if path.len() > 255 || odd || !path.chars().all(allowed) {
        return Err(Error::Invalid(format!("invalid repository name {path:?}")));
    }
    Ok(())
}

/// A tag or a digest becomes part of an address.
pub(crate) fn check_reference(reference: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '+' | '=');
    if reference.is_empty() || reference.len() > 255 || reference.starts_with('.') || !reference.chars().all(allowed) {
        return Err(Error::Invalid(format!("invalid tag or digest {reference:?}")));
    }
    Ok(())
}
