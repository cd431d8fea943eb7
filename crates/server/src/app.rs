//! What every handler has at hand.

use crate::status::Refusal;
use engine::Engine;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The engine, and what the door itself knows. Clones share it.
#[derive(Debug, Clone)]
pub struct App {
    pub engine: Engine,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Lasts as long as the data root.
    identity: String,
    debug: AtomicBool,
}

impl App {
    pub fn new(engine: Engine, debug: bool) -> App {
        let identity = engine.info().id;
        App { engine, shared: Arc::new(Shared { identity, debug: AtomicBool::new(debug) }) }
    }

    /// The engine's own id.
    pub fn identity(&self) -> &str {
        &self.shared.identity
    }

    pub fn debug(&self) -> bool {
        self.shared.debug.load(Ordering::Relaxed)
    }

    pub fn set_debug(&self, debug: bool) {
        self.shared.debug.store(debug, Ordering::Relaxed);
    }

    /// Runs what blocks on the kernel or the disk on a thread that may block. It goes on when the client goes away.
    pub async fn blocking<T, E, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
        F: FnOnce(&Engine) -> Result<T, E> + Send + 'static,
    {
        let engine = self.engine.clone();
        match tokio::task::spawn_blocking(move || work(&engine)).await {
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
        match tokio::spawn(work(self.engine.clone())).await {
            Ok(result) => result.map_err(Into::into),
            Err(_) => Err(Refusal::internal("the engine failed in the middle of this request; its log tells more")),
        }
    }
}
