//! One direction of a process's streams: bytes from one descriptor to another, never waiting.

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is read at once, in bytes.
const CHUNK: usize = 32 << 10;

/// What a pipe that poll(2) calls writable takes without waiting (PIPE_BUF, pipe(7)), in bytes.
const SURE: usize = 4096;

/// An end of a channel.
#[derive(Debug)]
pub enum End {
    /// Ours alone: it does not block, and is closed when the channel is.
    Ours(OwnedFd),
    /// The caller's: others share its flags, so it blocks, and is only used when it is ready.
    Callers(BorrowedFd<'static>),
}

/// Copies until one end is closed. What was read waits here until it is written.
#[derive(Debug)]
pub struct Channel {
    from: End,
    to: End,
    waiting: Vec<u8>,
    written: usize,
    ending: Ending,
}

/// When a channel ends, apart from an error of one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// At the end of what is read.
    AtEnd,
    /// As soon as there is nothing to read.
    WhenEmpty,
}

/// Whether a channel goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Open,
    Closed,
}

impl End {
    /// Makes it not block.
    pub fn ours(fd: OwnedFd) -> Result<End, Errno> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        Ok(End::Ours(fd))
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            End::Ours(fd) => fd.as_fd(),
            End::Callers(fd) => *fd,
        }
    }
}

impl Channel {
    pub fn new(from: End, to: End) -> Channel {
        Channel { from, to, waiting: Vec::new(), written: 0, ending: Ending::AtEnd }
    }

    /// What it waits for.
    pub fn interest(&self) -> PollFd<'_> {
        match self.waiting.is_empty() {
            true => PollFd::from_borrowed_fd(self.from.as_fd(), PollFlags::IN),
            false => PollFd::from_borrowed_fd(self.to.as_fd(), PollFlags::OUT),
        }
    }

    /// The process has ended. A terminal that others keep open has no end, so what is in it now is all.
    pub fn finish(&mut self) {
        self.ending = Ending::WhenEmpty;
    }

    /// Whether it can go on without waiting for its [`interest`](Self::interest).
    pub fn is_due(&self) -> bool {
        self.ending == Ending::WhenEmpty && self.waiting.is_empty()
    }

    /// Goes on as far as it can once [`interest`](Self::interest) has come.
    pub fn advance(&mut self) -> Flow {
        let done = if self.waiting.is_empty() { self.read() } else { self.write() };
        match done {
            Ok(flow) => flow,
            Err(Errno::INTR) => Flow::Open,
            Err(Errno::AGAIN) if self.ending == Ending::AtEnd || !self.waiting.is_empty() => Flow::Open,
            // The other side is gone: a terminal says EIO, a pipe EPIPE.
            Err(_) => Flow::Closed,
        }
    }

    fn read(&mut self) -> Result<Flow, Errno> {
        self.waiting.resize(CHUNK, 0);
        let read = rustix::io::read(&self.from, &mut *self.waiting);
        self.waiting.truncate(read.unwrap_or(0));
        self.written = 0;
        if read? == 0 { Ok(Flow::Closed) } else { Ok(Flow::Open) }
    }

    fn write(&mut self) -> Result<Flow, Errno> {
        let left = self.waiting.get(self.written..).unwrap_or_default();
        let sure = match self.to {
            End::Ours(_) => left,
            End::Callers(_) => left.get(..SURE).unwrap_or(left),
        };
        self.written += rustix::io::write(&self.to, sure)?;
        if self.written >= self.waiting.len() {
            self.waiting.clear();
        }
        Ok(Flow::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    fn pipe() -> (OwnedFd, OwnedFd) {
        pipe_with(PipeFlags::CLOEXEC).unwrap()
    }

    fn run(channel: &mut Channel) {
        while channel.advance() == Flow::Open {
            rustix::event::poll(&mut [channel.interest()], None).unwrap();
        }
    }

    #[test]
    fn bytes_go_through_and_the_end_closes_both_ends() {
        let ((from, writer), (reader, to)) = (pipe(), pipe());
        let mut channel = Channel::new(End::ours(from).unwrap(), End::ours(to).unwrap());
        rustix::io::write(&writer, b"hello").unwrap();
        drop(writer);
        run(&mut channel);
        drop(channel);
        let mut read = [0; 16];
        assert_eq!(rustix::io::read(&reader, &mut read).unwrap(), 5);
        assert_eq!(rustix::io::read(&reader, &mut read).unwrap(), 0);
    }

    #[test]
    fn a_reader_that_is_gone_closes_the_channel() {
        let ((from, writer), (reader, to)) = (pipe(), pipe());
        drop(reader);
        let mut channel = Channel::new(End::ours(from).unwrap(), End::ours(to).unwrap());
        rustix::io::write(&writer, b"hello").unwrap();
        run(&mut channel);
    }

    #[test]
    fn a_slow_reader_stops_the_channel_and_nothing_is_lost() {
        let ((from, writer), (reader, to)) = (pipe(), pipe());
        let mut channel = Channel::new(End::ours(from).unwrap(), End::ours(to).unwrap());
        let sent = vec![b'x'; 40_000];
        let mut got = 0;
        for _ in 0..8 {
            assert_eq!(rustix::io::write(&writer, &sent).unwrap(), sent.len());
            for _ in 0..8 {
                assert_eq!(channel.advance(), Flow::Open);
            }
            got += rustix::io::read(&reader, &mut vec![0; 50_000]).unwrap();
        }
        drop(writer);
        while channel.advance() == Flow::Open {
            let mut ready = [PollFd::new(&reader, PollFlags::IN)];
            if rustix::event::poll(&mut ready, Some(&rustix::event::Timespec::default())).unwrap() == 1 {
                got += rustix::io::read(&reader, &mut vec![0; 50_000]).unwrap();
            }
        }
        drop(channel);
        let mut rest = vec![0; 50_000];
        loop {
            match rustix::io::read(&reader, &mut *rest).unwrap() {
                0 => break,
                read => got += read,
            }
        }
        assert_eq!(got, 8 * sent.len());
    }

    #[test]
    fn a_finished_channel_ends_when_nothing_is_there() {
        let ((from, writer), (_reader, to)) = (pipe(), pipe());
        let mut channel = Channel::new(End::ours(from).unwrap(), End::ours(to).unwrap());
        rustix::io::write(&writer, b"last").unwrap();
        channel.finish();
        assert_eq!([channel.advance(), channel.advance(), channel.advance()], [Flow::Open, Flow::Open, Flow::Closed]);
    }
}
