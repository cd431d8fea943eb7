//! Steps that some build is doing now: another one that comes to the same step waits, and finds it done.

use base::Digest;
use registry::Cancel;
use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often one that waits looks whether its own build goes on.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Flights {
    busy: Mutex<HashSet<Digest>>,
    landed: Condvar,
}

/// The right to do one step; dropped, it is another's.
#[derive(Debug)]
pub(crate) struct Flight<'a> {
    flights: &'a Flights,
    key: Digest,
}

impl Flights {
    /// Waits for the right to do a step; `None` when the build was cancelled meanwhile.
    pub fn take(&self, key: Digest, cancel: &Cancel) -> Option<Flight<'_>> {
        let mut busy = self.lock();
        while busy.contains(&key) {
            if cancel.is_cancelled() {
                return None;
            }
            busy = self.landed.wait_timeout(busy, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        busy.insert(key);
        Some(Flight { flights: self, key })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
        self.flights.landed.notify_all();
    }
}
