//! Looks into a pipe without taking anything out of it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A scratch pipe that streams are duplicated into, and the bytes last seen.
#[derive(Debug)]
pub struct Peek {
    read: OwnedFd,
    write: OwnedFd,
    buffer: Box<[u8]>,
    seen: usize,
}

impl Peek {
    /// Sees no more at once than a pipe of `capacity` bytes can take over.
    pub fn new(capacity: usize) -> io::Result<Peek> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut own = rustix::pipe::fcntl_getpipe_size(&read)?;
        if own > capacity {
            own = rustix::pipe::fcntl_setpipe_size(&write, capacity)?;
        }
        Ok(Peek { read, write, buffer: vec![0; own].into(), seen: 0 })
    }

    /// Bytes that can be seen at once.
    pub fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// What the last [`Peek::look`] or [`Peek::read`] saw.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.seen]
    }

    /// Copies what stands at the head of a pipe; 0 is its end.
    pub fn look(&mut self, pipe: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.seen = 0;
        let count = again(|| rustix::pipe::tee(pipe, &self.write, self.buffer.len(), SpliceFlags::NONBLOCK))?;
        while self.seen < count {
            match again(|| rustix::io::read(&self.read, &mut self.buffer[self.seen..count]))? {
                0 => break,
                some => self.seen += some,
            }
        }
        Ok(self.seen)
    }

    /// Takes bytes out of a terminal or a pipe; 0 is its end.
    pub fn read(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.seen = 0;
        self.seen = again(|| rustix::io::read(fd, &mut *self.buffer))?;
        Ok(self.seen)
    }
}

/// Whether the writers of a pipe must wait although `seen` bytes of it hold no complete line.
///
/// A pipe is full when its slots are used, not its bytes, and only a writing end tells: one is opened for a moment.
pub fn is_full(pipe: BorrowedFd<'_>, seen: usize) -> bool {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let Ok(end) = rustix::fs::open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) else {
        return seen >= rustix::pipe::PIPE_BUF;
    };
    let mut fds = [PollFd::new(&end, PollFlags::OUT)];
    let polled = again(|| poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })));
    polled == Ok(0)
}

fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
