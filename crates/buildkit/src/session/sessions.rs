//! The clients that are there: each has a connection on which it answers questions, by its id.

use super::channel::{Channel, Metadata};
use super::layout::Loaded;
use super::local::Locals;
use crate::{Error, Result};
use http::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use registry::Cancel;
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tonic::{Code, Status};

/// Bytes that a client may send before they are read: of one call, and of all.
const CALL_WINDOW: u32 = 8 << 20;
const WINDOW: u32 = 32 << 20;
/// Bytes of a frame: large ones cost the client less.
const FRAME: u32 = 1 << 20;
/// How often a client is asked whether it is well, and how long it may take to answer. Machines pause, and lines are slow: it is
/// given up after the second silence.
const HEALTH_PAUSE: Duration = Duration::from_secs(5);
const HEALTH_PATIENCE: Duration = Duration::from_secs(60);

/// All clients. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Board>);

#[derive(Debug, Default)]
struct Board {
    live: Mutex<HashMap<String, Arc<Session>>>,
    changed: Notify,
}

/// A client that is there.
#[derive(Debug)]
pub struct Session {
    id: String,
    shared_key: String,
    /// In small letters, as `/moby.filesync.v1.filesync/diffcopy`.
    methods: BTreeSet<String>,
    pub(super) channel: Channel,
    ended: Cancel,
    handle: Handle,
    /// What was fetched of it.
    pub(super) locals: Locals,
    /// Images that came for its builds.
    loaded: Mutex<Vec<Loaded>>,
    board: Weak<Board>,
}

impl Sessions {
    /// Takes a connection over which a client answers, until it ends. `headers` are those of the request for it.
    pub async fn serve<I>(&self, io: I, headers: &HeaderMap) -> Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let id = text("x-docker-expose-session-uuid");
        if id.is_empty() {
            return Err(Error::Invalid("the session has no id".to_owned()));
        }
        let methods = headers.get_all("x-docker-expose-session-grpc-method").iter();
        let methods = methods.filter_map(|value| value.to_str().ok()).map(str::to_lowercase).collect();
        let mut http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        http2.initial_stream_window_size(CALL_WINDOW).initial_connection_window_size(WINDOW).max_frame_size(FRAME);
        let begun = http2.handshake(TokioIo::new(io)).await;
        let (send, connection) = begun.map_err(|error| Error::Gone(format!("no session: {error}")))?;
        let session = Arc::new(Session {
            shared_key: text("x-docker-expose-session-sharedkey"),
            methods,
            channel: Channel::new(send),
            ended: Cancel::default(),
            handle: Handle::current(),
            locals: Locals::default(),
            loaded: Mutex::default(),
            board: Arc::downgrade(&self.0),
            id: id.clone(),
        });
        self.add(&session)?;
        tokio::select! {
            end = connection => if let Err(error) = end { tracing::debug!("session {id}: {error}"); },
            () = session.ended.cancelled() => {}
            () = session.watch_health() => tracing::warn!("session {id}: its client does not answer any more"),
        }
        session.ended.cancel();
        self.lock().retain(|_, other| !Arc::ptr_eq(other, &session));
        Ok(())
    }

    fn add(&self, session: &Arc<Session>) -> Result<()> {
        let mut live = self.lock();
        if live.contains_key(&session.id) {
            return Err(Error::Invalid(format!("session {} already exists", session.id)));
        }
        live.insert(session.id.clone(), session.clone());
        drop(live);
        self.0.changed.notify_waiters();
        Ok(())
    }

    /// The session of an id (`PREFIX:ID` counts as `ID`). Clients ask for a build and open their session at the same time, so it
    /// is waited for.
    pub async fn get(&self, id: &str, patience: Duration) -> Result<Arc<Session>> {
        let id = id.split_once(':').map_or(id, |(prefix, rest)| if rest.is_empty() { prefix } else { rest });
        let found = async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(session) = self.lock().get(id) {
                    return session.clone();
                }
                changed.await;
            }
        };
        let missing = |_| Error::Gone(format!("no active session for {id}"));
        tokio::time::timeout(patience, found).await.map_err(missing)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.0.lock()
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Keeps an image as long as the client is there: its builds may stand on it until then.
    pub(super) fn keep(&self, image: Loaded) {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).push(image);
    }

    /// Another session that is there now, by its id.
    pub(super) fn other(&self, id: &str) -> Option<Arc<Session>> {
        let board = self.board.upgrade()?;
        let live = board.lock();
        live.get(id).cloned()
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the client calls the folder that it builds, so that its files are known the next time.
    pub fn shared_key(&self) -> &str {
        &self.shared_key
    }

    /// Whether the client answers to `method`, as `/moby.filesync.v1.FileSync/DiffCopy`.
    pub fn supports(&self, method: &str) -> bool {
        self.methods.contains(&method.to_lowercase())
    }

    /// Cancelled when the client is gone.
    pub fn ended(&self) -> &Cancel {
        &self.ended
    }

    /// Ends the session.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Waits on a thread that may wait, as long as the client is there and the build goes on.
    pub(super) fn wait<T>(
        &self,
        cancel: &Cancel,
        future: impl Future<Output = std::result::Result<T, Status>>,
    ) -> build::Result<std::result::Result<T, Status>> {
        self.handle.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(build::Error::Cancelled),
                done = future => Ok(done),
                () = self.ended.cancelled() => Ok(Err(Status::unavailable("the client is gone"))),
            }
        })
    }

    /// Inside of the runtime, for what starts tasks.
    pub(super) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.handle.enter()
    }

    /// Returns when the client was silent for too long.
    async fn watch_health(&self) {
        let mut silences = 0;
        while silences < 2 {
            tokio::time::sleep(HEALTH_PAUSE).await;
            let asked =
                self.channel.ask::<Nothing, Nothing>("/grpc.health.v1.Health/Check", Nothing {}, Metadata::default());
            match tokio::time::timeout(HEALTH_PATIENCE, asked).await {
                // A client without that service is as well as one that says so.
                Ok(Ok(_)) => silences = 0,
                Ok(Err(status)) if status.code() == Code::Unimplemented => silences = 0,
                _ => silences += 1,
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let loaded = std::mem::take(self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !loaded.is_empty() {
            // Files are deleted, and this may be a thread of the runtime.
            std::thread::spawn(move || drop(loaded));
        }
    }
}

/// A message of which nothing is of interest.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Nothing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_that_never_comes_is_told_so() {
        let sessions = Sessions::default();
        let error = sessions.get("x:abc", Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.to_string(), "no active session for abc");
    }
}
