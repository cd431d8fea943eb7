//! What every handler has at hand.

use crate::metrics::Meter;
use crate::options::Options;
use crate::status::Refusal;
use engine::Engine;
use std::sync::{Arc, PoisonError, RwLock};
use tracing::Instrument;

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
}

impl App {
    pub fn new(engine: Engine, options: Options) -> App {
        let shared = Shared { options: RwLock::new(Arc::new(options)), meter: Arc::default() };
        App { engine, shared: Arc::new(shared) }
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

    /// Runs what blocks on the kernel or the disk on a thread that may block. It goes on when the client goes away.
    pub async fn blocking<T, E, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
        F: FnOnce(&Engine) -> Result<T, E> + Send + 'static,
    {
        let engine = self.engine.clone();
        let span = tracing::Span::current();
        match tokio::task::spawn_blocking(move || span.in_scope(|| work(&engine))).await {
            Ok(result) => result.map_err(Into::into),
            Err(_) => Err(Refusal::internal("the engine failed in the middle of this request; its log tells more")),
        }
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
