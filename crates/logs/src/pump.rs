//! Moves output from pipes into logs.
//!
//! # What holds when this process is killed at any instant
//! Every byte a container wrote to a pipe reaches its log exactly once. A pump never takes bytes out of a pipe before they
//! are in the log: it duplicates them (tee(2)), writes the complete lines, and only then moves those bytes out of the
//! pipe into its *hold* pipe (splice(2)) and drops them there. A [`Journal`] in shared memory says which of these steps
//! was the last; the keeper owns the memory and the hold pipe, and finishes the step when the engine dies.
//!
//! ```text
//!   IDLE ──► WRITING ──append──► LOGGED ──pipe to hold──► CONSUMED ──hold dropped──► IDLE
//!   killed in    the log is cut back   what is not yet in the hold     the hold is dropped
//!                to its old length     pipe follows, then both drop
//! ```
//!
//! An incomplete line stays in its pipe, and so survives as well; it is logged without its end when it reaches
//! 16 KiB or fills the pipe. What was already given to a [`Sink`] but still stood in a pipe is given again by the next pump.
//!
//! A terminal cannot be peeked at: there a chunk that was read but not yet written, and the beginning of an incomplete
//! line, is lost with its process.
//!
//! # A log that cannot be written
//! A container is never stopped or slowed by it: its output is dropped and [`Pump::log_error`] tells why.

mod lines;
mod peek;
mod step;

pub use crate::journal::Journal;

use crate::file::Log;
use crate::journal::{Key, Unfinished, key_of, set_nonblocking};
use crate::{Driver, Target};
use base::Id;
use peek::Peek;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Which stream a chunk came from. The numbers are those of Docker's stream frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Stream {
    Stdout = 1,
    Stderr = 2,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// What a pump tells besides writing logs.
pub trait Sink {
    /// New output, exactly once, in order for each stream; before it is in the log. `Hold` asks the pump to leave the stream
    /// alone until [`Pump::resume`]: the bytes given have been taken all the same.
    fn output(&mut self, key: Id, stream: Stream, bytes: &[u8]) -> Flow;
    /// No more output will come from this stream.
    fn end(&mut self, key: Id, stream: Stream);
}

/// Nobody listens: output goes to the logs alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn output(&mut self, _key: Id, _stream: Stream, _bytes: &[u8]) -> Flow {
        Flow::Go
    }

    fn end(&mut self, _key: Id, _stream: Stream) {}
}

/// Whether a pump goes on with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Go,
    Hold,
}

/// Chunks taken from one stream before the others have their turn.
const ROUNDS: usize = 8;

/// Memory kept for formatted entries between turns, bytes.
const KEPT: usize = 128 * 1024;

/// Moves output of many containers. Single-threaded; its epoll fd can sit in another epoll.
#[derive(Debug)]
pub struct Pump {
    journal: Journal,
    epoll: OwnedFd,
    peek: Peek,
    entries: Vec<u8>,
    feeds: Vec<Option<Feed>>,
    outputs: HashMap<Id, Output>,
    unfinished: Option<Unfinished>,
    /// Logs that were rotated since this was last asked.
    rotated: Vec<Target>,
}

/// One stream.
#[derive(Debug)]
struct Feed {
    key: Id,
    stream: Stream,
    fd: OwnedFd,
    way: Way,
    /// The sink asked to wait.
    held: bool,
}

/// How a stream is read.
#[derive(Debug)]
enum Way {
    /// A pipe that is logged: bytes leave it after they are in the log. `given`: bytes at its head the sink has had.
    Peek { given: usize },
    /// A terminal, with the beginning of an incomplete line.
    Read { partial: Vec<u8> },
    /// Nothing is logged.
    Drop,
}

/// A container's log, shared by its streams.
#[derive(Debug)]
struct Output {
    words: Key,
    log: Option<Log>,
    feeds: usize,
    error: Option<io::Error>,
}

/// What came of one look at a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    Idle,
    Held,
    End,
}

impl Pump {
    /// A pump that first finishes what the journal says was left half-done.
    ///
    /// Some of it needs a stream or a log: every stream an earlier pump had is to be [added](Pump::add) before the first
    /// [turn](Pump::turn).
    pub fn new(journal: Journal) -> io::Result<Pump> {
        Ok(Pump {
            unfinished: journal.unfinished()?,
            peek: Peek::new(journal.capacity()?)?,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            journal,
            entries: Vec::new(),
            feeds: Vec::new(),
            outputs: HashMap::new(),
            rotated: Vec::new(),
        })
    }

    /// Adds one stream. The streams of one container share its log. Terminals: `Stream::Stdout` with `terminal` set.
    pub fn add(&mut self, key: Id, stream: Stream, fd: OwnedFd, terminal: bool, target: &Target) -> io::Result<()> {
        let way = match (target.driver, terminal) {
            (Driver::None, _) => Way::Drop,
            (Driver::JsonFile | Driver::Local, true) => Way::Read { partial: Vec::new() },
            (Driver::JsonFile | Driver::Local, false) => Way::Peek { given: 0 },
        };
        if !matches!(way, Way::Peek { .. }) {
            set_nonblocking(fd.as_fd())?;
        }
        let mut log = (target.driver != Driver::None).then(|| Log::new(target.clone()));
        let words = key_of(key);
        let error = self.finish(words, stream, fd.as_fd(), log.as_mut()).err();
        let slot = self.free_slot();
        epoll::add(&self.epoll, &fd, epoll::EventData::new_u64(slot as u64), interest())?;
        let output = self.outputs.entry(key).or_insert(Output { words, log, feeds: 0, error: None });
        output.feeds += 1;
        output.error = error.or(output.error.take());
        self.feeds[slot] = Some(Feed { key, stream, fd, way, held: false });
        Ok(())
    }

    /// Goes on with a stream whose sink said `Hold`.
    pub fn resume(&mut self, key: Id) -> io::Result<()> {
        for (slot, feed) in self.feeds.iter_mut().enumerate() {
            if let Some(feed) = feed.as_mut().filter(|feed| feed.key == key && feed.held) {
                feed.held = false;
                look_again(&self.epoll, slot, feed)?;
            }
        }
        Ok(())
    }

    /// The fd that becomes readable when there is work.
    pub fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Does what is ready now, without waiting.
    pub fn turn(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        if self.unfinished.take().is_some() {
            // Its stream or its log is gone for good, so nothing is left to be finished.
            self.journal.rest();
        }
        let mut space = [const { MaybeUninit::uninit() }; 64];
        let (events, _) = match epoll::wait(&self.epoll, &mut space, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Err(Errno::INTR) => return Ok(()),
            other => other?,
        };
        for event in events {
            let (flags, data) = (event.flags, event.data);
            let hung_up = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
            let slot = usize::try_from(data.u64()).unwrap_or(usize::MAX);
            self.serve(slot, hung_up, sink)?;
        }
        if self.entries.capacity() > KEPT {
            self.entries = Vec::new();
        }
        Ok(())
    }

    /// Takes what stands in the streams of a container now, an incomplete line with it, although others may hold their far ends.
    pub fn last_look(&mut self, key: Id, sink: &mut dyn Sink) -> io::Result<()> {
        for slot in 0..self.feeds.len() {
            if self.feeds[slot].as_ref().is_some_and(|feed| feed.key == key) {
                self.serve(slot, true, sink)?;
            }
        }
        Ok(())
    }

    /// Whether the last write to a container's log failed, and why; its output since is lost. Forgotten with its streams.
    pub fn log_error(&self, key: Id) -> Option<&io::Error> {
        self.outputs.get(&key)?.error.as_ref()
    }

    /// Logs that were rotated since this was last asked: their full files may be [compressed](crate::compress()).
    pub fn take_rotated(&mut self) -> Vec<Target> {
        std::mem::take(&mut self.rotated)
    }

    /// Whether a container still has a stream here.
    pub fn has(&self, key: Id) -> bool {
        self.outputs.contains_key(&key)
    }

    /// Gives the streams of one container up: the fds are closed here, `Sink::end` is not called.
    pub fn remove(&mut self, key: Id) {
        for slot in 0..self.feeds.len() {
            if let Some(feed) = self.feeds[slot].take_if(|feed| feed.key == key) {
                self.give_up(feed);
            }
        }
    }

    /// Gives all streams up, to be pumped by another process: the fds are closed here.
    pub fn clear(&mut self) {
        for slot in 0..self.feeds.len() {
            if let Some(feed) = self.feeds[slot].take() {
                self.give_up(feed);
            }
        }
        self.feeds.clear();
    }

    /// Finishes what an earlier pump left half-done with this container.
    fn finish(&mut self, words: Key, stream: Stream, fd: BorrowedFd<'_>, log: Option<&mut Log>) -> io::Result<()> {
        match self.unfinished {
            Some(Unfinished::Writing { key, log_length }) if key == words => {
                self.unfinished = None;
                let cut = log.map_or(Ok(()), |log| log.cut(log_length));
                self.journal.rest();
                cut
            }
            Some(Unfinished::Logged { key, stream: of, bytes }) if key == words && of == stream => {
                self.unfinished = None;
                self.journal.consume(fd, bytes);
                self.journal.rest();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn free_slot(&mut self) -> usize {
        let free = self.feeds.iter().position(Option::is_none);
        free.unwrap_or_else(|| {
            self.feeds.push(None);
            self.feeds.len() - 1
        })
    }

    /// Looks at one stream until it is idle or others should have their turn.
    fn serve(&mut self, slot: usize, hung_up: bool, sink: &mut dyn Sink) -> io::Result<()> {
        let Some(mut feed) = self.feeds.get_mut(slot).and_then(Option::take) else { return Ok(()) };
        let mut step = if feed.held { Step::Held } else { Step::More };
        for _ in 0..ROUNDS {
            if step != Step::More {
                break;
            }
            step = self.step(&mut feed, hung_up, sink);
        }
        match step {
            Step::End => {
                sink.end(feed.key, feed.stream);
                self.give_up(feed);
                return Ok(());
            }
            Step::Held => feed.held = true,
            // The edge is used up: ask for another.
            Step::More => look_again(&self.epoll, slot, &feed)?,
            Step::Idle => {}
        }
        self.feeds[slot] = Some(feed);
        Ok(())
    }

    fn give_up(&mut self, mut feed: Feed) {
        self.log_read(feed.key, feed.stream, &mut feed.way, true);
        // Other processes hold the same open file: closing it here would leave it in the epoll.
        let _ = epoll::delete(&self.epoll, &feed.fd);
        if let Some(output) = self.outputs.get_mut(&feed.key) {
            output.feeds -= 1;
            if output.feeds == 0 {
                self.outputs.remove(&feed.key);
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.clear();
    }
}

fn interest() -> epoll::EventFlags {
    epoll::EventFlags::IN | epoll::EventFlags::ET
}

/// Asks for an event if there is still something to be read.
fn look_again(epoll: &OwnedFd, slot: usize, feed: &Feed) -> io::Result<()> {
    Ok(epoll::modify(epoll, &feed.fd, epoll::EventData::new_u64(slot as u64), interest())?)
}

#[cfg(test)]
mod tests;
