//! The journal of a pump: which step of moving bytes from a pipe to a log was the last, in memory that outlives it.

use crate::pump::Stream;
use base::Id;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use sys::SharedMemory;

/// The memory (a memfd) and the hold pipe that survive the pump's process. Made by the keeper, shared by fd.
#[derive(Debug)]
pub struct Journal {
    memory_fd: OwnedFd,
    memory: SharedMemory,
    hold_read: OwnedFd,
    hold_write: OwnedFd,
    /// /dev/null: what is spliced there is dropped without being copied.
    null: File,
}

const LENGTH: usize = 4096;

/// Bytes asked of one splice(2).
const MOVE_AT_MOST: usize = 1 << 20;

/// Places of the words in the memory.
const STATE: usize = 0;
const STREAM: usize = 1;
const BYTES: usize = 2;
const LOG_LENGTH: usize = 3;
const KEY: usize = 4;
const WORDS: usize = KEY + 4;

const IDLE: u64 = 0;
const WRITING: u64 = 1;
const LOGGED: u64 = 2;
const CONSUMED: u64 = 3;

/// A container's id as words of the memory.
pub type Key = [u64; 4];

/// What was left half-done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Entries may be in the log, whole or in part, behind the first `log_length` bytes; nothing left the pipe.
    Writing { key: Key, log_length: u64 },
    /// The entries are in the log; `bytes` more must leave the stream.
    Logged { key: Key, stream: Stream, bytes: u64 },
}

impl Journal {
    /// A new one, idle.
    pub fn create() -> io::Result<Journal> {
        let (memory_fd, memory) = SharedMemory::create(LENGTH)?;
        let (hold_read, hold_write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Journal { memory_fd, memory, hold_read, hold_write, null: open_null()? })
    }

    /// From the fds of [`Journal::fds`], sent to another process.
    pub fn from_fds(memory: OwnedFd, hold_read: OwnedFd, hold_write: OwnedFd) -> io::Result<Journal> {
        let map = SharedMemory::map(memory.as_fd(), LENGTH)?;
        if map.words().len() < WORDS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Journal { memory_fd: memory, memory: map, hold_read, hold_write, null: open_null()? })
    }

    /// memory, hold read end, hold write end.
    pub fn fds(&self) -> [BorrowedFd<'_>; 3] {
        [self.memory_fd.as_fd(), self.hold_read.as_fd(), self.hold_write.as_fd()]
    }

    /// The same journal, for another pump after this one.
    pub fn try_clone(&self) -> io::Result<Journal> {
        Journal::from_fds(self.memory_fd.try_clone()?, self.hold_read.try_clone()?, self.hold_write.try_clone()?)
    }

    /// Capacity of the hold pipe, bytes.
    pub(crate) fn capacity(&self) -> io::Result<usize> {
        Ok(rustix::pipe::fcntl_getpipe_size(&self.hold_read)?)
    }

    /// From now on the log may hold entries of `bytes` bytes that are still in the pipe.
    pub(crate) fn writing(&self, key: &Key, stream: Stream, bytes: u64, log_length: u64) {
        for (index, word) in key.iter().enumerate() {
            self.set(KEY + index, *word);
        }
        self.set(STREAM, stream as u64);
        self.set(BYTES, bytes);
        self.set(LOG_LENGTH, log_length);
        self.enter(WRITING);
    }

    /// The entries are in the log.
    pub(crate) fn logged(&self) {
        self.enter(LOGGED);
    }

    /// Takes `bytes` bytes out of `stream`, whose entries are in the log, and comes to rest.
    pub(crate) fn consume(&self, stream: BorrowedFd<'_>, bytes: u64) {
        // Less than was seen is there only when the container itself reads its own output away: then that is that.
        let moved = move_bytes(stream, self.hold_write.as_fd(), bytes);
        self.enter(CONSUMED);
        if move_bytes(self.hold_read.as_fd(), self.null.as_fd(), moved) < moved {
            self.rest();
        }
        self.enter(IDLE);
    }

    /// Empties the hold pipe; nothing is half-done any more.
    pub(crate) fn rest(&self) {
        move_bytes(self.hold_read.as_fd(), self.null.as_fd(), u64::MAX);
        self.enter(IDLE);
    }

    /// What an earlier pump left half-done and cannot be finished without its stream or its log.
    pub(crate) fn unfinished(&self) -> io::Result<Option<Unfinished>> {
        let key = [0, 1, 2, 3].map(|index| self.get(KEY + index));
        let stream = if self.get(STREAM) == Stream::Stderr as u64 { Stream::Stderr } else { Stream::Stdout };
        match self.get(STATE) {
            WRITING => Ok(Some(Unfinished::Writing { key, log_length: self.get(LOG_LENGTH) })),
            LOGGED => {
                let moved = rustix::io::ioctl_fionread(&self.hold_read)?;
                Ok(Some(Unfinished::Logged { key, stream, bytes: self.get(BYTES).saturating_sub(moved) }))
            }
            _ => {
                self.rest();
                Ok(None)
            }
        }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.memory.words()[index]
    }

    fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }

    fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Relaxed);
    }

    /// Release: whoever sees the state sees the words that belong to it.
    fn enter(&self, state: u64) {
        self.word(STATE).store(state, Ordering::Release);
    }
}

/// Moves `bytes` bytes out of a pipe, or all there are; says how many those were.
fn move_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: u64) -> u64 {
    let mut moved = 0;
    while moved < bytes {
        let rest = usize::try_from(bytes - moved).unwrap_or(MOVE_AT_MOST).min(MOVE_AT_MOST);
        match splice(from, None, to, None, rest, SpliceFlags::NONBLOCK | SpliceFlags::MOVE) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) | Err(_) => break,
            Ok(some) => moved += some as u64,
        }
    }
    moved
}

fn open_null() -> io::Result<File> {
    File::options().write(true).open("/dev/null")
}

/// Makes reads of `fd` return at once, for everyone who shares the open file.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}

/// The words an id is kept as.
pub fn key_of(id: Id) -> Key {
    let text = id.to_string();
    [0, 1, 2, 3].map(|index| u64::from_str_radix(&text[index * 16..index * 16 + 16], 16).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_tells_another_process_what_was_half_done() {
        let journal = Journal::create().unwrap();
        let other = journal.try_clone().unwrap();
        let key = key_of(Id::random());
        assert_eq!(other.unfinished().unwrap(), None);
        journal.writing(&key, Stream::Stderr, 10, 77);
        assert_eq!(other.unfinished().unwrap(), Some(Unfinished::Writing { key, log_length: 77 }));
        journal.logged();
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::write(&write, b"0123456789rest").unwrap();
        assert_eq!(move_bytes(read.as_fd(), journal.hold_write.as_fd(), 4), 4);
        assert_eq!(other.unfinished().unwrap(), Some(Unfinished::Logged { key, stream: Stream::Stderr, bytes: 6 }));
        other.consume(read.as_fd(), 6);
        assert_eq!(journal.unfinished().unwrap(), None);
        let mut rest = [0; 16];
        let length = rustix::io::read(&read, &mut rest).unwrap();
        assert_eq!(&rest[..length], b"rest");
    }

    #[test]
    fn ids_keep_apart_as_keys() {
        let (one, two) = (Id::random(), Id::random());
        assert_ne!(key_of(one), key_of(two));
        assert_eq!(key_of(one), key_of(one));
    }
}
