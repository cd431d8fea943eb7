//! Standard streams of containers and execs, as clients see them.

use base::Id;
use bytes::Bytes;

pub use logs::pump::Stream;

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

/// A client's connection to a container's or an exec's streams.
#[derive(Debug)]
pub struct Attachment {
    /// One raw stream, not two multiplexed ones.
    pub tty: bool,
    /// Ends when the process has ended and all of its output was given.
    pub output: tokio::sync::mpsc::Receiver<Chunk>,
    /// `None` when stdin was not asked for or the container has none.
    pub input: Option<Input>,
}

/// The writing end of a process's stdin. Dropped without [`Input::close`], the client went away.
#[derive(Debug)]
pub struct Input {
    pub(crate) key: Id,
}

impl Input {
    /// Writes all of `bytes`, waiting while the process does not read. An error means the process has closed its stdin or ended.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let _ = (bytes, self.key);
        todo!()
    }

    /// The client sent its end: the process sees end of file (a terminal: nothing happens).
    pub async fn close(self) {}
}

/// A container's log and news of its growth.
#[derive(Debug)]
pub struct LogFollow {
    pub target: logs::Target,
    pub tty: bool,
    /// Changes when the log may have grown; closed when the container has ended and its log is complete.
    pub grown: tokio::sync::watch::Receiver<u64>,
}
