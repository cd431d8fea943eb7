//! Standard streams of containers and execs, as clients see them.
//!
//! One thread pumps the output of all containers into their logs and into the [`Hub`] of each; clients sit on the hub.
//!
//! # A client that does not read
//! It is given [`MOST_UNREAD`] bytes ahead. After that the process is held, so that a slow client misses nothing, but only for
//! the client's [`Patience`]: one that takes next to nothing in that time is let go, and its connection ends. The log has what
//! it missed. The output of an exec is in no log: there the client may take as long as it likes, it holds nobody else.

mod client;
mod hub;
mod input;
mod plumbing;

use crate::shelf::Cell;
use bytes::Bytes;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

pub use client::Output;
pub(crate) use hub::Hub;
pub use input::Input;
pub use logs::pump::Stream;
pub(crate) use plumbing::Plumbing;

/// A piece of output.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub stream: Stream,
    pub bytes: Bytes,
}

/// What a client wants of a container's streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attach {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Earlier output from the log first.
    pub logs: bool,
    /// Live output.
    pub stream: bool,
}

impl Attach {
    /// Whether output of `stream` is wanted. A terminal has one output, and an error stream only in name.
    pub fn wants(&self, stream: Stream, tty: bool) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr || tty,
        }
    }
}

/// A client's connection to a container's or an exec's streams.
#[derive(Debug)]
pub struct Attachment {
    /// One raw stream, not two multiplexed ones.
    pub tty: bool,
    /// Earlier output, all that came before `output` and is in the log.
    pub earlier: Option<logs::read::Reader>,
    pub output: Output,
    /// `None` when stdin was not asked for or the container has none.
    pub input: Option<Input>,
}

/// A container's log and news of its growth.
#[derive(Debug)]
pub struct LogFollow {
    pub target: logs::Target,
    pub tty: bool,
    /// Changes when the log may have grown; its value is `true` once the container has ended and its log is complete.
    pub grown: watch::Receiver<bool>,
}

/// Where the stdin of a process is.
#[derive(Debug, Clone)]
enum Stdin {
    /// The process has not started.
    Waiting,
    /// It has not started, and its client has gone already: it will see the end of its stdin at once.
    GoneEarly,
    Open(Arc<OwnedFd>),
    Closed,
}

/// A lock that a panic elsewhere does not take away from everybody.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The attachment of a client to a container whose log is `target`.
pub(crate) fn attach(cell: &Cell, attach: Attach, target: &logs::Target) -> io::Result<Attachment> {
    let stdin = attach.stdin && attach.stream && cell.record().config.open_stdin;
    if !attach.logs {
        return Ok(cell.hub.attach(attach, stdin));
    }
    cell.hub.attach_after(attach, stdin, target)
}

/// Sets the size of a terminal, in characters.
pub(crate) fn resize(terminal: &OwnedFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal.as_fd(), size)?)
}
