//! Bytes and file descriptors over a unix socket: SCM_RIGHTS, unix(7).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The most file descriptors one message can carry (SCM_MAX_FD, net/scm.h).
pub const MAX_FDS: usize = 253;

/// Sends `bytes` and `fds` as one message; returns how many bytes went (on a stream perhaps not all; the fds went with the first).
///
/// At least one byte and at most [`MAX_FDS`] descriptors (EINVAL). Never raises SIGPIPE.
pub fn send_with_fds(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    send_with_fds_and(socket, bytes, fds, SendFlags::empty())
}

/// The same with flags, such as DONTWAIT.
pub fn send_with_fds_and(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    if bytes.is_empty() || fds.len() > MAX_FDS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = flags | SendFlags::NOSIGNAL;
    let sent = rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags))?;
    Ok(sent)
}

/// Receives into `bytes` and appends the descriptors that came along, close-on-exec, to `fds`.
///
/// 0 bytes is the end. A message that did not fit, in bytes or in descriptors, is `InvalidData`.
pub fn recv_with_fds(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    flags: RecvFlags,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let message =
        rustix::io::retry_on_intr(|| rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags))?;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(message.bytes)
}

/// Memory in bytes that what was sent takes up until the other end of a unix stream has read it (SIOCOUTQ, Linux 3.5): zero when it
/// has read all.
pub fn unread(socket: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    let mut waiting = 0;
    // SAFETY: SIOCOUTQ (TIOCOUTQ) writes one int, and `waiting` is one that lives until the call is over.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(waiting) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::os::fd::AsFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn as_many_descriptors_as_the_kernel_allows_arrive_close_on_exec() {
        let (one, two) = pair();
        let sent = vec![one.as_fd(); MAX_FDS];
        assert_eq!(send_with_fds(one.as_fd(), b"hi", &sent).unwrap(), 2);
        let (mut bytes, mut fds) = ([0; 8], Vec::new());
        assert_eq!(recv_with_fds(two.as_fd(), &mut bytes, &mut fds, RecvFlags::empty()).unwrap(), 2);
        assert_eq!((&bytes[..2], fds.len()), (&b"hi"[..], MAX_FDS));
        assert!(fds.iter().all(|fd| rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC)));
    }

    #[test]
    fn too_many_descriptors_and_no_bytes_are_refused() {
        let (one, _two) = pair();
        assert!(send_with_fds(one.as_fd(), b"x", &vec![one.as_fd(); MAX_FDS + 1]).is_err());
        assert!(send_with_fds(one.as_fd(), b"", &[]).is_err());
    }

    #[test]
    fn a_message_too_long_is_an_error_and_the_end_is_zero() {
        let (one, two) = pair();
        send_with_fds(one.as_fd(), b"too long", &[]).unwrap();
        let mut fds = Vec::new();
        assert!(recv_with_fds(two.as_fd(), &mut [0; 4], &mut fds, RecvFlags::empty()).is_err());
        drop(one);
        assert_eq!(recv_with_fds(two.as_fd(), &mut [0; 4], &mut fds, RecvFlags::empty()).unwrap(), 0);
    }
}
