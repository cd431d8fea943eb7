//! Moves output from pipes into logs.
//!
//! # What holds when this process is killed at any instant
//! Every byte a container wrote to a pipe reaches its log exactly once. A pump never takes bytes out of a pipe before they
//! are in the log: it duplicates them (tee(2)), writes the complete lines, and only then moves those bytes out of the
//! pipe into its *hold* pipe (splice(2)) and drops them there. A [`Journal`] in shared memory says which of these steps
//! was the last; the keeper owns the memory and the hold pipe, and finishes the step when the engine dies.
//! A terminal cannot be peeked at: there a chunk that was read but not yet written is lost with its process.

use crate::Target;
use base::Id;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Which stream a chunk came from. The numbers are those of Docker's stream frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Stream {
    Stdout = 1,
    Stderr = 2,
}

/// What a pump tells besides writing logs.
pub trait Sink {
    /// New output, exactly once, in order for each stream; before it is in the log. `Hold` asks the pump to leave the stream
    /// alone until [`Pump::resume`]: the bytes given have been taken all the same.
    fn output(&mut self, key: Id, stream: Stream, bytes: &[u8]) -> Flow;
    /// No more output will come from this stream.
    fn end(&mut self, key: Id, stream: Stream);
}

/// Whether a pump goes on with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Go,
    Hold,
}

/// The memory (a memfd) and the hold pipe that survive the pump's process. Made by the keeper, shared by fd.
#[derive(Debug)]
pub struct Journal {
    // private
}

impl Journal {
    pub fn create() -> io::Result<Journal> {
        todo!()
    }
    /// From the fds of [`Journal::fds`], sent to another process.
    pub fn from_fds(memory: OwnedFd, hold_read: OwnedFd, hold_write: OwnedFd) -> io::Result<Journal> {
        let _ = (memory, hold_read, hold_write);
        todo!()
    }
    /// memory, hold read end, hold write end.
    pub fn fds(&self) -> [BorrowedFd<'_>; 3] {
        todo!()
    }
}

/// Moves output of many containers. Single-threaded; its epoll fd can sit in another epoll.
#[derive(Debug)]
pub struct Pump {
    // private
}

impl Pump {
    /// A pump that first finishes what the journal says was left half-done.
    pub fn new(journal: Journal) -> io::Result<Pump> {
        let _ = journal;
        todo!()
    }

    /// Adds one stream. The streams of one container share its log. Terminals: `Stream::Stdout` with `terminal` set.
    pub fn add(&mut self, key: Id, stream: Stream, fd: OwnedFd, terminal: bool, target: &Target) -> io::Result<()> {
        let _ = (key, stream, fd, terminal, target);
        todo!()
    }

    /// Goes on with a stream whose sink said `Hold`.
    pub fn resume(&mut self, key: Id) -> io::Result<()> {
        let _ = key;
        todo!()
    }

    /// The fd that becomes readable when there is work.
    pub fn epoll(&self) -> BorrowedFd<'_> {
        todo!()
    }

    /// Does what is ready now, without waiting.
    pub fn turn(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let _ = sink;
        todo!()
    }

    /// Gives all streams up, to be pumped by another process: the fds are closed here.
    pub fn clear(&mut self) {}
}
