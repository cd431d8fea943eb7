//! Processes by descriptor: never a stranger that has the number by now.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Sends any signal, real-time ones too, to the process of `pidfd` (pidfd_send_signal(2), Linux 5.1). ESRCH: it has ended.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the fd is open for the call, and a null siginfo is allowed: the kernel fills one in as kill(2) does.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A copy, close-on-exec, of descriptor `number` of another process (pidfd_getfd(2), Linux 5.6).
///
/// EPERM without the right to trace it (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS).
pub fn copy_descriptor(pidfd: impl AsFd, number: RawFd) -> io::Result<OwnedFd> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: no pointers; the pidfd is open for the call.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, fd, number, 0) };
    match RawFd::try_from(copy) {
        // SAFETY: the kernel has just made it for us alone.
        Ok(copy) if copy >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(copy) }),
        _ => Err(io::Error::last_os_error()),
    }
}
