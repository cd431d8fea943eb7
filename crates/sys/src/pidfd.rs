//! Signals through a pidfd: never to a stranger that has the process's number by now (pidfd_send_signal(2), Linux 5.1).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Sends any signal, real-time ones too, to the process of `pidfd`. ESRCH: it has ended.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the fd is open for the call, and a null siginfo is allowed: the kernel fills one in as kill(2) does.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
