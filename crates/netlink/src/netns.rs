//! Work inside another network namespace.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Runs `work` inside `netns`. The calling thread is back in its own namespace whatever happens, a panic too.
///
/// What `work` opens (sockets, files of /proc/sys/net) goes on belonging to `netns`; threads it starts stay there.
/// It runs on the calling thread because handing it to another costs two waits for a processor: several milliseconds
/// on a busy machine, where this costs some 20 µs. Needs CAP_SYS_ADMIN in the user namespace that owns `netns`.
pub fn within<T>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T) -> io::Result<T> {
    let home = Home(File::open("/proc/thread-self/ns/net")?);
    move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
    let done = work();
    drop(home);
    Ok(done)
}

/// The namespace a thread came from, and goes back to when this is dropped.
struct Home(File);

impl Drop for Home {
    fn drop(&mut self) {
        if move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).is_err() {
            // A thread that goes on in a container's namespace would do the host's work there. There is no known way
            // for this to fail: the descriptor is open, and the right to leave home is the right to come back.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn here() -> u64 {
        std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino()
    }

    #[test]
    fn a_thread_comes_home_after_work_and_after_a_panic() {
        let home = here();
        let other = sys::netns::create().unwrap();
        assert_ne!(within(other.as_fd(), here).unwrap(), home);
        assert_eq!(here(), home);
        let panicked = std::panic::catch_unwind(|| within(other.as_fd(), || panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(here(), home);
    }

    #[test]
    fn what_is_no_network_namespace_is_refused_and_nothing_runs() {
        let file = File::open("/proc/thread-self/ns/uts").unwrap();
        let mut ran = false;
        assert!(within(file.as_fd(), || ran = true).is_err());
        assert!(!ran);
    }
}
