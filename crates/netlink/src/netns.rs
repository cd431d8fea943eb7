//! Work inside another network namespace.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io;
use std::os::fd::BorrowedFd;

/// Runs `work` inside `netns`, on a thread that is thrown away: whatever happens, no other thread changes namespace.
///
/// What `work` opens (sockets, files of /proc/sys/net) goes on belonging to that namespace. Costs about 40 µs.
/// Needs CAP_SYS_ADMIN in the user namespace that owns `netns`.
pub fn within<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let inside = move || {
            move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        let thread = std::thread::Builder::new().name("netns".into()).stack_size(128 << 10);
        match thread.spawn_scoped(scope, inside)?.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
