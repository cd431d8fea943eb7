//! The builds that go on, by the names that their clients gave them, and what they have made so far.
//!
//! ```text
//!   Control.Solve ──► Job ◄── LLBBridge.Solve (any number of times) ──► Made ──┐
//!     (waits)          ▲                                                       │ by id
//!                      └─────────────── LLBBridge.Return ◄─────────────────────┘
//!                      ▼
//!                    outputs, caches, history
//! ```

mod fetched;
mod images;
mod job;
mod output;
mod run;
mod work;

pub use job::{Attested, Job, Made, Returned};
pub use work::{Asked, Frontend, Solution};

use crate::control::history::History;
use crate::house::House;
use crate::progress::Board;
use crate::session::Sessions;
use crate::{Error, Result};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// Builds that are over, that the history does not remember, and that those who come late may still ask about.
const RECENT: usize = 32;
/// How long a build or a session is waited for: clients open all of them at the same time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// All builds of an engine.
pub struct Builds {
    pub(crate) house: Arc<dyn House>,
    pub(crate) sessions: Sessions,
    pub(crate) history: History,
    live: Mutex<HashMap<String, Arc<Job>>>,
    recent: Mutex<VecDeque<(String, Arc<Board>)>>,
    /// What builds made, also for builds of the same client that stand on it.
    made: Mutex<HashMap<String, Weak<Made>>>,
    changed: Notify,
}

impl std::fmt::Debug for Builds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builds").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Builds {
    pub fn new(house: Arc<dyn House>, sessions: Sessions, folder: &Path) -> Builds {
        let history = History::open(folder);
        Builds {
            house,
            sessions,
            history,
            live: Mutex::default(),
            recent: Mutex::default(),
            made: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn begin(&self, job: &Arc<Job>) -> Result<()> {
        let mut live = lock(&self.live);
        if live.contains_key(&job.name) {
            return Err(Error::Invalid(format!("build with ID {} exists", job.name)));
        }
        live.insert(job.name.clone(), job.clone());
        drop(live);
        self.changed.notify_waiters();
        Ok(())
    }

    pub(crate) fn end(&self, job: &Arc<Job>) {
        // What the history has need not stay in memory.
        if job.request.internal {
            let mut recent = lock(&self.recent);
            recent.push_back((job.name.clone(), job.board.clone()));
            while recent.len() > RECENT {
                recent.pop_front();
            }
        }
        lock(&self.live).remove(&job.name);
        lock(&self.made).retain(|_, made| made.strong_count() > 0);
        self.changed.notify_waiters();
    }

    /// A build that goes on, waited for as long as `patience` says.
    pub async fn job(&self, name: &str, patience: Duration) -> Result<Arc<Job>> {
        let found = self.wait(|| lock(&self.live).get(name).cloned(), patience).await;
        found.ok_or_else(|| Error::NotFound(format!("no such job {name}")))
    }

    /// What is told of a build that goes on; of one that is over only if the history does not know it.
    pub async fn board(&self, name: &str) -> Result<Arc<Board>> {
        let known = || {
            let live = lock(&self.live).get(name).map(|job| job.board.clone());
            let recent = || lock(&self.recent).iter().find(|(own, _)| own == name).map(|(_, board)| board.clone());
            let found = live.or_else(recent).map(Some);
            found.or_else(|| self.history.knows(name).then_some(None))
        };
        let found = self.wait(known, PATIENCE).await.flatten();
        found.ok_or_else(|| Error::NotFound(format!("no such job {name}")))
    }

    async fn wait<T>(&self, known: impl Fn() -> Option<T>, patience: Duration) -> Option<T> {
        let found = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(known) = known() {
                    return known;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, found).await.ok()
    }

    /// Remembers what a build made; the build keeps it.
    pub(crate) fn keep(&self, id: &str, made: &Arc<Made>) {
        lock(&self.made).insert(id.to_owned(), Arc::downgrade(made));
    }

    /// What some build that goes on made.
    pub fn made(&self, id: &str) -> Option<Arc<Made>> {
        lock(&self.made).get(id).and_then(Weak::upgrade)
    }
}
