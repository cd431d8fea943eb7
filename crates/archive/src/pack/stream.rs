//! The bytes of the tar on their way out: one large buffer, into which files are read at their place.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

const BUFFER: usize = 1024 * 1024;
const BLOCK: u64 = 512;

pub struct Stream<'a> {
    sink: &'a mut dyn Write,
    buffer: Vec<u8>,
    filled: usize,
}

/// A file to be read.
#[derive(Clone, Copy)]
pub struct Content<'a> {
    pub file: BorrowedFd<'a>,
    pub size: u64,
    /// It takes less room on the disk than it is long.
    pub has_holes: bool,
}

impl<'a> Stream<'a> {
    pub fn new(sink: &'a mut dyn Write) -> Stream<'a> {
        Stream { sink, buffer: vec![0; BUFFER], filled: 0 }
    }

    pub fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER - self.filled));
            self.buffer[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.wrote(now.len())?;
            bytes = later;
        }
        Ok(())
    }

    /// Exactly `size` bytes of a file, and zeros up to the next block. A file that is shorter by now ends in zeros, one that
    /// is longer is cut: the header is written already.
    ///
    /// `blame` turns a failed read (not a failed write) into an error that names the file.
    pub fn content(&mut self, content: Content<'_>, blame: impl Fn(io::Error) -> io::Error) -> io::Result<()> {
        let Content { file, size, has_holes } = content;
        let mut at = 0;
        let mut data_end = if has_holes { 0 } else { size };
        while at < size {
            if at == data_end {
                let (start, end) = next_data(file, at, size);
                self.zeros(start - at)?;
                (at, data_end) = (start, end);
                continue;
            }
            let space = BUFFER - self.filled;
            let most = usize::try_from(data_end - at).map_or(space, |left| left.min(space));
            match rustix::io::pread(file, &mut self.buffer[self.filled..self.filled + most], at) {
                Err(Errno::INTR) => {}
                Err(e) => return Err(blame(e.into())),
                Ok(0) => {
                    self.zeros(size - at)?;
                    at = size;
                }
                Ok(got) => {
                    self.wrote(got)?;
                    at += got as u64;
                }
            }
        }
        self.zeros(size.wrapping_neg() % BLOCK)
    }

    /// The end mark.
    pub fn finish(mut self) -> io::Result<()> {
        self.zeros(2 * BLOCK)?;
        self.sink.write_all(&self.buffer[..self.filled])?;
        self.sink.flush()
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let space = BUFFER - self.filled;
            let now = usize::try_from(count).map_or(space, |count| count.min(space));
            self.buffer[self.filled..self.filled + now].fill(0);
            self.wrote(now)?;
            count -= now as u64;
        }
        Ok(())
    }

    fn wrote(&mut self, count: usize) -> io::Result<()> {
        self.filled += count;
        if self.filled == BUFFER {
            self.sink.write_all(&self.buffer)?;
            self.filled = 0;
        }
        Ok(())
    }
}

/// Where data start and end at or after `at`: lseek(2), SEEK_DATA. A file system that does not know says all is data.
fn next_data(file: BorrowedFd<'_>, at: u64, size: u64) -> (u64, u64) {
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start.clamp(at, size),
        Err(Errno::NXIO) => size,
        Err(_) => at,
    };
    let end = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
        Ok(end) if end > start => end.min(size),
        _ => size,
    };
    (start, end)
}
