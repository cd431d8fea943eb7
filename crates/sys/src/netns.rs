//! New network namespaces.

use rustix::thread::UnshareFlags;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Makes a network namespace with nothing but a `lo` that is down; it lives as long as a descriptor or a thread holds it.
///
/// The calling thread stays where it is. Needs CAP_SYS_ADMIN.
pub fn create() -> io::Result<OwnedFd> {
    let made = std::thread::Builder::new().name("netns".into()).stack_size(128 << 10).spawn(unshare_and_open)?;
    made.join().map_err(|_| io::Error::other("the thread that makes a network namespace panicked"))?
}

fn unshare_and_open() -> io::Result<OwnedFd> {
    // SAFETY: NEWNET leaves the descriptor table alone, which is what makes unshare(2) unsafe.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}
