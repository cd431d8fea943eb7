//! Things to do later: one thread for all of them.

use crate::streams::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

type Job = Box<dyn FnOnce() + Send>;

/// Jobs by the time they are due.
#[derive(Default)]
pub(crate) struct Timers {
    due: Mutex<Due>,
    news: Condvar,
}

#[derive(Default)]
struct Due {
    jobs: BTreeMap<(Instant, u64), Job>,
    /// Of the next job: two that are due at the same instant are both done.
    number: u64,
}

impl std::fmt::Debug for Timers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timers").finish_non_exhaustive()
    }
}

impl Timers {
    /// Starts the thread. It ends with the process.
    pub(crate) fn start() -> std::io::Result<Arc<Timers>> {
        let timers = Arc::new(Timers::default());
        let own = timers.clone();
        std::thread::Builder::new().name("timers".into()).stack_size(512 << 10).spawn(move || own.run())?;
        Ok(timers)
    }

    /// Does `job` after `delay`, on the timers' thread: it must be short.
    pub(crate) fn after(&self, delay: Duration, job: impl FnOnce() + Send + 'static) {
        let mut due = lock(&self.due);
        let number = due.number;
        due.number += 1;
        due.jobs.insert((Instant::now() + delay, number), Box::new(job));
        self.news.notify_one();
    }

    fn run(&self) {
        let mut due = lock(&self.due);
        loop {
            let Some((&(at, number), _)) = due.jobs.first_key_value() else {
                due = self.news.wait(due).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                due = self.news.wait_timeout(due, left).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let job = due.jobs.remove(&(at, number));
            drop(due);
            if let Some(job) = job {
                job();
            }
            due = lock(&self.due);
        }
    }
}
