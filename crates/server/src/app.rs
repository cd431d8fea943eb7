//! What every handler has at hand.

use crate::metrics::Meter;
use crate::options::Options;
use crate::present::kept::Kept;
use crate::present::rows::Rows;
use crate::status::Refusal;
use build::Builder;
use engine::Engine;
use futures_util::future::Either;
use registry::Cancel;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tracing::Instrument;

/// Reads at once of what the kernel tells at once: more would only wait for processors, each on a thread of its own.
const READS: usize = 8;

/// The engine, and what the door itself knows. Clones share it.
#[derive(Debug, Clone)]
pub struct App {
    pub engine: Engine,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: RwLock<Arc<Options>>,
    meter: Arc<Meter>,
    rows: Rows,
    kept: Kept,
    reads: Semaphore,
    /// Who works on a thread that serves connections.
    here: Semaphore,
    builder: Mutex<Option<Builder>>,
    builds: Mutex<HashMap<String, Cancel>>,
    build_service: OnceLock<buildkit::Service>,
}

/// An app, as long as somebody else has it.
#[derive(Debug, Clone)]
pub struct WeakApp {
    engine: Engine,
    shared: Weak<Shared>,
}

impl WeakApp {
    pub fn upgrade(&self) -> Option<App> {
        Some(App { engine: self.engine.clone(), shared: self.shared.upgrade()? })
    }
}

impl App {
    pub fn new(engine: Engine, options: Options) -> App {
        let shared = Shared {
            options: RwLock::new(Arc::new(options)),
            meter: Arc::default(),
            rows: Rows::default(),
            kept: Kept::default(),
            reads: Semaphore::new(READS),
            here: Semaphore::new(1),
            builder: Mutex::default(),
            builds: Mutex::default(),
            build_service: OnceLock::new(),
        };
        App { engine, shared: Arc::new(shared) }
    }

    /// The builder, opened when it is first asked for.
    pub fn builder(&self) -> Result<Builder, build::Error> {
        let mut builder = self.shared.builder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(builder) = builder.as_ref() {
            return Ok(builder.clone());
        }
        let opened = Builder::open(self.engine.clone())?;
        opened.set_upkeep(self.options().upkeep.clone());
        *builder = Some(opened.clone());
        Ok(opened)
    }

    /// A build that goes on can be cancelled by its id, until what is returned is dropped.
    pub fn cancellable(&self, id: &str, cancel: Cancel) -> Cancellable {
        self.builds().insert(id.to_owned(), cancel);
        Cancellable { app: self.clone(), id: id.to_owned() }
    }

    /// Ends a build, if there is one of this id.
    pub fn cancel_build(&self, id: &str) {
        if let Some(cancel) = self.builds().get(id) {
            cancel.cancel();
        }
    }

    fn builds(&self) -> MutexGuard<'_, HashMap<String, Cancel>> {
        self.shared.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The door of BuildKit's clients, opened when the first of them comes.
    pub fn build_service(&self) -> buildkit::Service {
        self.shared.build_service.get_or_init(|| crate::routes::build_service(self)).clone()
    }

    /// For those that the app itself has.
    pub fn downgrade(&self) -> WeakApp {
        WeakApp { engine: self.engine.clone(), shared: Arc::downgrade(&self.shared) }
    }

    /// What the engine was told, as it holds now.
    pub fn options(&self) -> Arc<Options> {
        self.shared.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_options(&self, options: Options) {
        *self.shared.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(options);
    }

    /// What is counted of requests.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.shared.meter
    }

    /// What inspections of containers answered.
    pub fn kept(&self) -> &Kept {
        &self.shared.kept
    }

    /// Rows of the list of containers.
    pub fn rows(&self) -> &Rows {
        &self.shared.rows
    }

    /// Runs what blocks on the kernel or the disk on a thread that may block, from now on. It goes on when the client goes away.
    pub fn blocking<T, E, F>(&self, work: F) -> impl Future<Output = Result<T, Refusal>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
        F: FnOnce(&Engine) -> Result<T, E> + Send + 'static,
    {
        let engine = self.engine.clone();
        let span = tracing::Span::current();
        let begun = tokio::task::spawn_blocking(move || span.in_scope(|| work(&engine)));
        async move {
            match begun.await {
                Ok(result) => result.map_err(Into::into),
                Err(_) => Err(Refusal::internal("the engine failed in the middle of this request; its log tells more")),
            }
        }
    }

    /// As [`blocking`](Self::blocking), and on this very thread if nobody else does so: to wake another one can take as long as the
    /// work. All that this thread had to do besides is left to others meanwhile.
    pub fn promptly<T, E, F>(&self, work: F) -> impl Future<Output = Result<T, Refusal>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
        F: FnOnce(&Engine) -> Result<T, E> + Send + 'static,
    {
        let may = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
        match self.shared.here.try_acquire() {
            Ok(_alone) if may => {
                let done = tokio::task::block_in_place(|| work(&self.engine));
                Either::Left(std::future::ready(done.map_err(Into::into)))
            }
            _ => Either::Right(self.blocking(work)),
        }
    }

    /// As [`blocking`](Self::blocking), for what many may ask for at the same time and takes no time to speak of: a few threads
    /// do it for all of them.
    pub async fn reading<T, E, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
        F: FnOnce(&Engine) -> Result<T, E> + Send + 'static,
    {
        // It is never closed.
        let _turn = self.shared.reads.acquire().await.ok();
        self.blocking(work).await
    }

    /// Runs a use case that waits to its end, even when the client goes away: nothing is left half-done.
    pub async fn to_the_end<T, F, W>(&self, work: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = engine::Result<T>> + Send + 'static,
        W: FnOnce(Engine) -> F,
    {
        match tokio::spawn(work(self.engine.clone()).in_current_span()).await {
            Ok(result) => result.map_err(Into::into),
            Err(_) => Err(Refusal::internal("the engine failed in the middle of this request; its log tells more")),
        }
    }
}

/// A build that can be cancelled.
#[derive(Debug)]
pub struct Cancellable {
    app: App,
    id: String,
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        self.app.builds().remove(&self.id);
    }
}
