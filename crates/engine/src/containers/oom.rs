//! Remembers that the out-of-memory killer came to a container whose group goes with its last process.
//!
//! systemd removes the group of a unit that has no process any more, and its counters with it: at the end of the container they may
//! be gone. The killer comes before that end, so it is listened for while the container runs.

use crate::Engine;
use crate::groups::Group;
use cgroup::{Oom, OomWatch};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Whether it came so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct OomSeen(Arc<AtomicBool>);

impl OomSeen {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Engine {
    /// Listens for it until the group has no process any more, where the group is not the engine's to remove.
    pub(crate) fn watch_oom(&self, group: &Group) -> OomSeen {
        let seen = OomSeen::default();
        let Some(watch) = group.watch_memory() else { return seen };
        match watch {
            Ok(watch) => {
                // It may have come before anybody listened.
                seen.0.store(group.oom_kills() > 0, Ordering::Release);
                let flag = seen.clone();
                self.house.runtime.spawn(async move {
                    if let Err(error) = listen(watch, &flag).await {
                        tracing::warn!(%error, "the out-of-memory killer is not listened for");
                    }
                });
            }
            Err(e) => tracing::debug!("the out-of-memory killer is not listened for: {}", base::chain(&e)),
        }
        seen
    }
}

async fn listen(mut watch: OomWatch, seen: &OomSeen) -> io::Result<()> {
    let fd = watch.fd.try_clone()?;
    let ready = watched(fd.as_fd())?;
    loop {
        match watch.read().map_err(io::Error::other)? {
            Oom::Came => seen.0.store(true, Ordering::Release),
            Oom::Over => return Ok(()),
            Oom::Nothing => ready.readable().await?.clear_ready(),
        }
    }
}

/// Deprecated for types that may change their fd or lie about it; a `BorrowedFd` does neither.
#[allow(deprecated)]
fn watched(fd: BorrowedFd<'_>) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
