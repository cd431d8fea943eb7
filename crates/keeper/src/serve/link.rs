//! The connection to an engine, as the keeper sees it: nothing on it ever waits.

use crate::message::Told;
use crate::wire::{Frame, Inbox, Parcel, busy, hello};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Messages that may wait for an engine that does not read; beyond that it is taken for dead.
const MOST_WAITING: usize = 100_000;

/// A socket with what came in and what is to go out.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    inbox: Inbox,
    outbox: VecDeque<Parcel<Rc<OwnedFd>>>,
    /// The peer's version was right: it is the engine.
    pub greeted: bool,
}

/// Whether the peer is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Alive,
    Gone,
}

impl Link {
    /// A new connection (its socket must not block); says hello.
    pub fn new(socket: OwnedFd) -> Link {
        let outbox = VecDeque::from([Parcel::raw(&hello())]);
        Link { socket, inbox: Inbox::default(), outbox, greeted: false }
    }

    /// Turns a second engine away; the connection is to be dropped then.
    pub fn refuse(&mut self) {
        self.outbox = VecDeque::from([Parcel::raw(&busy())]);
        self.flush();
    }

    /// For the epoll.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads what has arrived.
    pub fn receive(&mut self) -> Peer {
        loop {
            match self.inbox.receive(self.socket.as_fd()) {
                Ok(0) => return Peer::Gone,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Peer::Alive,
                Err(_) => return Peer::Gone,
            }
        }
    }

    /// The peer's version, once its hello has arrived.
    pub fn take_hello(&mut self) -> io::Result<Option<u32>> {
        self.inbox.take_hello()
    }

    /// The next message that has arrived.
    pub fn take(&mut self) -> io::Result<Option<Frame>> {
        self.inbox.take()
    }

    /// Sends a message, or keeps it until the socket takes it.
    pub fn tell(&mut self, told: &Told, fds: Vec<Rc<OwnedFd>>) -> Peer {
        let Ok(parcel) = Parcel::new(told, fds) else { return Peer::Gone };
        self.outbox.push_back(parcel);
        if self.outbox.len() == 1 {
            return self.flush();
        }
        if self.outbox.len() > MOST_WAITING { Peer::Gone } else { Peer::Alive }
    }

    /// Sends what the socket takes now.
    pub fn flush(&mut self) -> Peer {
        while let Some(parcel) = self.outbox.front_mut() {
            match parcel.send(self.socket.as_fd()) {
                Ok(_) => drop(self.outbox.pop_front()),
                Err(Errno::AGAIN) => return Peer::Alive,
                Err(_) => return Peer::Gone,
            }
        }
        Peer::Alive
    }
}
