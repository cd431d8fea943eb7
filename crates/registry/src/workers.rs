//! The threads on which transfers run, started by the first of them.

use crate::{Cancel, Error};
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// Two threads carry any number of transfers: they only move bytes.
const THREADS: usize = 2;

#[derive(Default)]
pub(crate) struct Workers(Mutex<Option<Runtime>>);

impl Workers {
    pub(crate) fn handle(&self) -> Result<Handle, Error> {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.as_ref() {
            return Ok(runtime.handle().clone());
        }
        let started = Builder::new_multi_thread().worker_threads(THREADS).thread_name("registry").enable_all().build();
        let started = started.map_err(Error::io("start the threads for transfers"))?;
        let handle = started.handle().clone();
        *runtime = Some(started);
        Ok(handle)
    }

    /// Waits for a future, which ends at once when it is cancelled.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        cancel: &Cancel,
        future: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = mpsc::sync_channel(1);
        let cancel = cancel.clone();
        self.handle()?.spawn(async move {
            let outcome = cancel.unless(future).await;
            let _ = tell.send(outcome);
        });
        told.recv().unwrap_or_else(|_| Err(Error::Unavailable("the transfer ended too early".to_owned())))
    }

    /// The same for what leaves something at the other end: cancelled, it goes on behind the caller's back for at most
    /// `longest`, and what it brings then is given to `undo`.
    pub(crate) fn run_to_its_end<T: Send + 'static, F: Future<Output = ()> + Send + 'static>(
        &self,
        cancel: &Cancel,
        future: impl Future<Output = Result<T, Error>> + Send + 'static,
        undo: impl FnOnce(T) -> F + Send + 'static,
        longest: Duration,
    ) -> Result<T, Error> {
        let (tell, told) = mpsc::sync_channel(1);
        let cancel = cancel.clone();
        self.handle()?.spawn(async move {
            let mut future = pin!(future);
            tokio::select! {
                outcome = future.as_mut() => return drop(tell.send(outcome)),
                () = cancel.cancelled() => drop(tell.send(Err(Error::Cancelled))),
            }
            if let Ok(Ok(late)) = tokio::time::timeout(longest, future).await {
                undo(late).await;
            }
        });
        told.recv().unwrap_or_else(|_| Err(Error::Unavailable("the transfer ended too early".to_owned())))
    }
}

/// A runtime must not be waited for where tasks run, and the last client may be dropped there.
impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }
}
