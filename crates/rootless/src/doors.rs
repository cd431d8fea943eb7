//! The engine's end of the socket pair: asks the host side for sockets of the host.

use crate::Protocol;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// Bytes of a message at most.
pub const MOST: usize = 4096;

/// Asks for sockets, one at a time.
#[derive(Debug)]
pub struct Doors {
    socket: Mutex<OwnedFd>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub protocol: Protocol,
    pub at: SocketAddrV4,
}

/// What comes back: the socket itself goes along, unless `errno` says why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub errno: Option<i32>,
}

impl Doors {
    pub(crate) fn new(socket: OwnedFd) -> Doors {
        Doors { socket: Mutex::new(socket) }
    }

    /// A socket of the host that is bound to `at` and, for TCP, listens. Any free port for 0.
    pub fn bind(&self, protocol: Protocol, at: SocketAddrV4) -> io::Result<OwnedFd> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        send(socket.as_fd(), &Wanted { protocol, at }, &[])?;
        let (answer, mut fds): (Answer, _) = receive(socket.as_fd())?.ok_or(Errno::PIPE)?;
        match (answer.errno, fds.pop()) {
            (Some(errno), _) => Err(io::Error::from_raw_os_error(errno)),
            (None, Some(fd)) => Ok(fd),
            (None, None) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

pub fn send<T: Serialize>(socket: BorrowedFd<'_>, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    sys::send_with_fds(socket, &bytes, fds).map(drop)
}

/// The next message; `None` when the other end is closed.
pub fn receive<T: for<'a> Deserialize<'a>>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let (mut bytes, mut fds) = ([0; MOST], Vec::new());
    let length = match sys::recv_with_fds(socket, &mut bytes, &mut fds, RecvFlags::empty()) {
        Ok(0) => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        other => other?,
    };
    Ok(Some((serde_json::from_slice(bytes.get(..length).unwrap_or_default())?, fds)))
}
