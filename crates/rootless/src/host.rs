//! The host side: binds the host's ports for the engine, passes signals on, and ends with it.

use crate::Protocol;
use crate::doors::{self, Answer, Wanted};
use crate::error::{Error, io};
use crate::pasta::Pasta;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use sys::signalfd::Signals;

/// Connections that wait to be accepted (listen(2)).
const BACKLOG: i32 = 1024;

/// The engine as its host side sees it.
pub struct Engine {
    pub pidfd: OwnedFd,
    /// Until the engine closes its end, or says what nobody understands.
    pub socket: Option<OwnedFd>,
    pub signals: Signals,
    pub pasta: Option<Pasta>,
}

impl Engine {
    /// Serves until the engine has ended; its exit code.
    pub fn serve(mut self) -> Result<ExitCode, Error> {
        loop {
            let (ended, signalled, asked) = self.wait()?;
            if ended {
                self.pasta.take().into_iter().for_each(Pasta::end);
                return exit_code(self.pidfd.as_fd());
            }
            if signalled {
                self.pass_signals_on();
            }
            if asked {
                self.socket = self.socket.take().filter(|socket| answer(socket.as_fd()));
            }
        }
    }

    /// Until the engine has ended, a signal came or the engine asks.
    fn wait(&self) -> Result<(bool, bool, bool), Error> {
        let fds = [Some(self.pidfd.as_fd()), Some(self.signals.as_fd()), self.socket.as_ref().map(AsFd::as_fd)];
        let mut ready: Vec<_> =
            fds.into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        rustix::io::retry_on_intr(|| poll(&mut ready, None)).map_err(|e| io("wait for the engine")(e.into()))?;
        let is_ready = |index: usize| ready.get(index).is_some_and(|fd| !fd.revents().is_empty());
        Ok((is_ready(0), is_ready(1), is_ready(2)))
    }

    fn pass_signals_on(&self) {
        while let Ok(Some(received)) = self.signals.next() {
            let told = [Signal::TERM, Signal::INT, Signal::HUP].into_iter().find(|s| s.as_raw() == received.signal);
            if let Some(signal) = told {
                let _ = pidfd_send_signal(&self.pidfd, signal);
            }
        }
    }
}

fn exit_code(pidfd: BorrowedFd<'_>) -> Result<ExitCode, Error> {
    let status = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED))
        .map_err(|e| io("learn how the engine ended")(e.into()))?;
    let code = status.and_then(|status| {
        let killed = status.terminating_signal().map(|signal| 128 + signal);
        status.exit_status().or(killed)
    });
    Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// One question; false when there will be no more: then the engine learns it by the end of the socket.
fn answer(socket: BorrowedFd<'_>) -> bool {
    let Ok(Some((wanted, _))) = doors::receive::<Wanted>(socket) else { return false };
    let sent = match open(&wanted) {
        Ok(made) => doors::send(socket, &Answer { errno: None }, &[made.as_fd()]),
        Err(errno) => doors::send(socket, &Answer { errno: Some(errno.raw_os_error()) }, &[]),
    };
    sent.is_ok()
}

fn open(wanted: &Wanted) -> Result<OwnedFd, Errno> {
    let kind = match wanted.protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let made = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if wanted.protocol == Protocol::Tcp {
        // Connections of an earlier server may still be in TIME_WAIT. A socket that listens stays exclusive nevertheless.
        sockopt::set_socket_reuseaddr(&made, true)?;
    }
    bind(&made, &wanted.at)?;
    if wanted.protocol == Protocol::Tcp {
        listen(&made, BACKLOG)?;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Doors;
    use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

    #[test]
    fn the_engine_gets_a_socket_that_listens_or_the_reason_why_not() {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a pair");
        let host = std::thread::spawn(move || while answer(ours.as_fd()) {});
        let doors = Doors::new(theirs);
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let listener = TcpListener::from(doors.bind(Protocol::Tcp, any).expect("bound"));
        let at = listener.local_addr().expect("an address");
        assert!(std::net::TcpStream::connect(at).is_ok());
        let again = SocketAddrV4::new(Ipv4Addr::LOCALHOST, at.port());
        let refused = doors.bind(Protocol::Tcp, again).expect_err("taken");
        assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
        assert!(doors.bind(Protocol::Udp, again).is_ok());
        drop(doors);
        host.join().expect("it ends");
    }
}
