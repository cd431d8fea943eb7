//! One step with one stream: look, give, log, take out.

use super::{Feed, Flow, Pump, Sink, Step, Stream, Way, lines, peek};
use crate::Target;
use crate::file::Log;
use crate::format::Format;
use crate::time;
use base::Id;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

impl Pump {
    pub(super) fn step(&mut self, feed: &mut Feed, hung_up: bool, sink: &mut dyn Sink) -> Step {
        match &mut feed.way {
            Way::Peek { .. } => self.step_peek(feed, hung_up, sink),
            Way::Read { .. } | Way::Drop => self.step_read(feed, sink),
        }
    }

    /// One look into a pipe: what is new goes to the sink, what is complete to the log, and then out of the pipe.
    fn step_peek(&mut self, feed: &mut Feed, hung_up: bool, sink: &mut dyn Sink) -> Step {
        let (mut seen, mut flow) = match self.see(feed, sink) {
            Ok(seen) => seen,
            Err(step) => return step,
        };
        let last = hung_up && rustix::io::ioctl_fionread(&feed.fd) == Ok(seen as u64);
        let mut taken = self.log(feed.key, feed.stream, feed.fd.as_fd(), last);
        if taken == 0 && !last && peek::is_full(feed.fd.as_fd(), seen) {
            // Perhaps it was filled since that look: only what a look into the full pipe shows is all there will be.
            (seen, flow) = match self.see(feed, sink) {
                Ok((seen, Flow::Go)) => (seen, flow),
                Ok(held) => held,
                Err(step) => return step,
            };
            taken = self.log(feed.key, feed.stream, feed.fd.as_fd(), false);
            if taken == 0 {
                taken = self.log(feed.key, feed.stream, feed.fd.as_fd(), true);
            }
        }
        if let Way::Peek { given } = &mut feed.way {
            *given = given.saturating_sub(taken);
        }
        match (flow, taken) {
            (Flow::Hold, _) => Step::Held,
            (Flow::Go, 0) => Step::Idle,
            (Flow::Go, _) if taken == seen && seen < self.peek.capacity() && !hung_up => Step::Idle,
            (Flow::Go, _) => Step::More,
        }
    }

    /// Looks into a pipe and gives the sink what it has not had; says how many bytes stand there.
    fn see(&mut self, feed: &mut Feed, sink: &mut dyn Sink) -> Result<(usize, Flow), Step> {
        let seen = match self.peek.look(feed.fd.as_fd()) {
            Ok(0) => return Err(Step::End),
            Ok(seen) => seen,
            Err(Errno::AGAIN) => return Err(Step::Idle),
            Err(error) => return Err(self.fail(feed.key, error.into())),
        };
        let mut flow = Flow::Go;
        if let Way::Peek { given } = &mut feed.way
            && seen > *given
        {
            flow = sink.output(feed.key, feed.stream, &self.peek.bytes()[*given..seen]);
            *given = seen;
        }
        Ok((seen, flow))
    }

    /// Logs what was seen, as far as it is complete (`all`: wholly), and takes it out of the pipe. Says how many bytes.
    fn log(&mut self, key: Id, stream: Stream, fd: BorrowedFd<'_>, all: bool) -> usize {
        let Some(output) = self.outputs.get_mut(&key) else { return 0 };
        let Some(log) = &mut output.log else { return 0 };
        self.entries.clear();
        let before = log.length();
        let room = room(log.max_size(), before.as_ref().ok());
        let piece = Piece { bytes: self.peek.bytes(), stream, all };
        let taken = piece.write(log.format(), &mut self.entries, room);
        if taken == 0 {
            return 0;
        }
        let written = before.and_then(|before| {
            self.journal.writing(&output.words, stream, taken as u64, before);
            log.append(&self.entries, before)
        });
        output.error = written.err();
        note_rotation(&mut self.rotated, log);
        self.journal.logged();
        self.journal.consume(fd, taken as u64);
        taken
    }

    /// One read from a terminal, or from a stream that is not logged.
    fn step_read(&mut self, feed: &mut Feed, sink: &mut dyn Sink) -> Step {
        let count = match self.peek.read(feed.fd.as_fd()) {
            // A terminal whose other end is closed says EIO.
            Ok(0) | Err(Errno::IO) => return Step::End,
            Ok(count) => count,
            Err(Errno::AGAIN) => return Step::Idle,
            Err(error) => return self.fail(feed.key, error.into()),
        };
        let bytes = &self.peek.bytes()[..count];
        let flow = sink.output(feed.key, feed.stream, bytes);
        if let Way::Read { partial } = &mut feed.way {
            partial.extend_from_slice(bytes);
            self.log_read(feed.key, feed.stream, &mut feed.way, false);
        }
        if flow == Flow::Hold { Step::Held } else { Step::More }
    }

    /// Logs what was read from a terminal, as far as it is complete (`all`: wholly).
    pub(super) fn log_read(&mut self, key: Id, stream: Stream, way: &mut Way, all: bool) {
        let Way::Read { partial } = way else { return };
        let Some(output) = self.outputs.get_mut(&key) else { return };
        let Some(log) = &mut output.log else { return };
        loop {
            self.entries.clear();
            let before = log.length();
            let room = room(log.max_size(), before.as_ref().ok());
            let taken = Piece { bytes: partial, stream, all }.write(log.format(), &mut self.entries, room);
            if taken == 0 {
                break;
            }
            let written = before.and_then(|before| {
                self.journal.writing(&output.words, stream, 0, before);
                log.append(&self.entries, before)
            });
            output.error = written.err();
            note_rotation(&mut self.rotated, log);
            self.journal.rest();
            partial.drain(..taken);
        }
    }

    /// A stream that cannot be read ends.
    fn fail(&mut self, key: Id, error: io::Error) -> Step {
        if let Some(output) = self.outputs.get_mut(&key) {
            output.error = Some(error);
        }
        Step::End
    }
}

/// Bytes of entries after which a log is full; the entry that crosses the line still goes in, as with Docker.
fn room(max_size: u64, length: Option<&u64>) -> usize {
    match (max_size, length) {
        (0, _) | (_, None) => usize::MAX,
        (max, Some(length)) => usize::try_from(max.saturating_sub(*length)).unwrap_or(usize::MAX),
    }
}

/// Keeps in mind that a log has full files to be compressed: once for each log, for nobody may ever ask.
fn note_rotation(rotated: &mut Vec<Target>, log: &mut Log) {
    let Some(target) = log.take_rotated().filter(|target| target.compress) else { return };
    if rotated.iter().all(|known| known.path != target.path) {
        rotated.push(target.clone());
    }
}

/// What a look or a read saw.
struct Piece<'a> {
    bytes: &'a [u8],
    stream: Stream,
    /// An incomplete line is an entry, too.
    all: bool,
}

impl Piece<'_> {
    /// Appends its entries until there are `room` bytes of them; says how many of its bytes they hold.
    fn write(&self, format: &Format, entries: &mut Vec<u8>, room: usize) -> usize {
        let mut stamp = Vec::new();
        let mut taken = 0;
        while let Some(length) = lines::next(&self.bytes[taken..], self.all) {
            if stamp.is_empty() {
                format.stamp(&mut stamp, time::now());
            }
            format.write(entries, &self.bytes[taken..taken + length], self.stream, &stamp);
            taken += length;
            if entries.len() >= room {
                break;
            }
        }
        taken
    }
}
