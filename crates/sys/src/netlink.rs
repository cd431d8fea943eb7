//! Socket options of netlink sockets (netlink(7)) that rustix lacks.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Asks the kernel for the words of a refusal (NETLINK_EXT_ACK) and not to send the refused request back
/// (NETLINK_CAP_ACK). Linux 4.12.
pub fn explain_refusals(socket: BorrowedFd<'_>) -> io::Result<()> {
    switch_on(socket, libc::NETLINK_EXT_ACK)?;
    switch_on(socket, libc::NETLINK_CAP_ACK)
}

fn switch_on(socket: BorrowedFd<'_>, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size: libc::socklen_t = 4;
    // SAFETY: the kernel reads four bytes from `on`, which lives through the call; the fd is open while it is borrowed.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
