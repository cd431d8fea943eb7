//! All registries as one engine sees them.

use crate::repository::Inner;
use crate::settings::Patience;
use crate::setup::Setup;
use crate::workers::Workers;
use crate::{Credentials, Error, Hit, Login, Repository, Settings, fetch, login, search};
use std::future::Future;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// Stops what was started with it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(tokio_util::sync::CancellationToken);

impl Cancel {
    pub fn cancel(&self) {
        self.0.cancel();
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// One that ends with this one, and that can be cancelled without it: for the parts of a whole.
    pub fn child(&self) -> Cancel {
        Cancel(self.0.child_token())
    }

    pub(crate) async fn unless<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match self.0.run_until_cancelled(future).await {
            None => Err(Error::Cancelled),
            // What breaks at the same time breaks because of it, as far as anybody cares.
            Some(Err(_)) if self.is_cancelled() => Err(Error::Cancelled),
            Some(outcome) => outcome,
        }
    }

    /// Returns when it is cancelled.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }
}

/// All registries, as one engine sees them. Clones share connections and tokens. Making one costs nothing: threads and
/// connections come with the first request.
#[derive(Clone)]
pub struct Client {
    workers: Arc<Workers>,
    setup: Arc<Mutex<Arc<Setup>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    pub fn new(settings: Settings) -> Client {
        Client::with_patience(settings, Patience::default())
    }

    pub(crate) fn with_patience(settings: Settings, patience: Patience) -> Client {
        let setup = Arc::new(Setup::new(settings, patience));
        Client { workers: Arc::default(), setup: Arc::new(Mutex::new(setup)) }
    }

    /// New settings for what begins from now on.
    pub fn set(&self, settings: Settings) {
        let mut setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
        *setup = Arc::new(Setup::new(settings, setup.patience.clone()));
    }

    /// `domain` is a reference's (`docker.io`, `localhost:5000`), `path` its path (`library/busybox`).
    pub fn repository(&self, domain: &str, path: &str, credentials: &Credentials, cancel: &Cancel) -> Repository {
        Repository(Arc::new(Inner {
            workers: Arc::clone(&self.workers),
            setup: self.setup(),
            domain: domain.to_owned(),
            path: path.to_owned(),
            credentials: credentials.clone(),
            cancel: cancel.clone(),
            endpoints: tokio::sync::OnceCell::new(),
        }))
    }

    /// Checks credentials with a registry (`GET /v2/`).
    pub fn login(&self, credentials: &Credentials, cancel: &Cancel) -> Result<Login, Error> {
        self.workers.run(cancel, login::login(self.setup(), credentials.clone()))
    }

    /// `GET /v1/search` of Docker Hub or of the registry that `term` begins with.
    pub fn search(
        &self,
        term: &str,
        limit: usize,
        credentials: &Credentials,
        cancel: &Cancel,
    ) -> Result<Vec<Hit>, Error> {
        self.workers.run(cancel, search::search(self.setup(), term.to_owned(), limit, credentials.clone()))
    }

    /// The content behind any http or https address, unverified: redirects are followed, and how much comes is not known
    /// beforehand. Errors of the reader hold an [`Error`] (`io::Error::get_ref`), also when the connection broke off.
    pub fn fetch(&self, url: &str, cancel: &Cancel) -> Result<Box<dyn Read + Send>, Error> {
        fetch::fetch(&self.workers, self.setup(), url, cancel)
    }

    fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
