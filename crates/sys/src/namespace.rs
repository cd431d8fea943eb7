//! Joining and leaving namespaces(7).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::thread::UnshareFlags;

/// Joins the namespace `fd` refers to, or with a pidfd those of its process that `kinds` names (setns(2), pidfd since Linux 5.8).
pub fn setns(fd: BorrowedFd<'_>, kinds: UnshareFlags) -> io::Result<()> {
    // SAFETY: no pointers. Namespaces are state of the calling thread that no Rust type depends on.
    match unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), kinds.bits()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts the calling thread into new namespaces (unshare(2)). CLONE_FILES is refused with EINVAL.
pub fn unshare(kinds: UnshareFlags) -> io::Result<()> {
    if kinds.contains(UnshareFlags::FILES) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: without CLONE_FILES every descriptor stays valid in every thread.
    unsafe { rustix::thread::unshare_unsafe(kinds) }?;
    Ok(())
}
