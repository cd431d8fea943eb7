//! Bytes straight to the disk (O_DIRECT, open(2)): a large blob is written once and then seldom read, so that it need not
//! push everything else out of the page cache, nor take memory that the kernel first has to find.

use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Bytes that go through the page cache first: small blobs are read soon, by whoever wrote them.
const CACHED: u64 = 1 << 20;
/// Bytes of one write, and its alignment in memory and in the file.
const BLOCK: usize = 1 << 20;
const ALIGNMENT: usize = 4096;
/// A disk that takes longer for a block gets the page cache in front of it: the network may be faster.
const SLOW: Duration = Duration::from_millis(8);

/// A file that only grows.
#[derive(Debug)]
pub struct Straight {
    file: File,
    /// Bytes handed over to the kernel.
    written: u64,
    block: Option<Block>,
    mode: Mode,
}

#[derive(Debug, PartialEq, Eq)]
enum Mode {
    /// Through the page cache until there is much.
    Small,
    Direct,
    /// Through the page cache to the end.
    Cached,
}

/// Memory as O_DIRECT wants it.
#[derive(Debug)]
struct Block {
    memory: Vec<u8>,
    start: usize,
    filled: usize,
}

impl Block {
    fn new() -> Block {
        let memory = vec![0; BLOCK + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Block { memory, start, filled: 0 }
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(BLOCK - self.filled);
        let at = self.start + self.filled;
        self.memory[at..at + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        taken
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.filled]
    }
}

impl Straight {
    /// For an empty file.
    pub fn new(file: File) -> Straight {
        Straight { file, written: 0, block: None, mode: Mode::Small }
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    fn small(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(CACHED - self.written).unwrap_or(usize::MAX);
        let written = self.file.write_at(&bytes[..bytes.len().min(room)], self.written)?;
        self.written += written as u64;
        if self.written == CACHED {
            self.mode = if self.set(OFlags::DIRECT) { Mode::Direct } else { Mode::Cached };
        }
        Ok(written)
    }

    fn set(&self, flags: OFlags) -> bool {
        rustix::fs::fcntl_setfl(self.file.as_fd(), flags).is_ok()
    }

    /// Writes a full block; where the file system or the disk does not like it, the page cache gets the rest.
    fn full_block(&mut self) -> io::Result<()> {
        let Some(block) = &mut self.block else { return Ok(()) };
        let begun = Instant::now();
        let done = match self.file.write_at(block.bytes(), self.written) {
            Ok(done) => done,
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Interrupted) => 0,
            Err(e) => return Err(e),
        };
        if done == block.filled {
            self.written += done as u64;
            block.filled = 0;
        }
        if done < BLOCK || begun.elapsed() > SLOW { self.flush() } else { Ok(()) }
    }
}

impl Write for Straight {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Before anything is taken: who gets an error knows that none of these bytes are in the file.
        if self.block.as_ref().is_some_and(|block| block.filled == BLOCK) {
            self.full_block()?;
        }
        match self.mode {
            Mode::Small => self.small(bytes),
            Mode::Cached => {
                let written = self.file.write_at(bytes, self.written)?;
                self.written += written as u64;
                Ok(written)
            }
            Mode::Direct => Ok(self.block.get_or_insert_with(Block::new).take(bytes)),
        }
    }

    /// Hands what is left over to the kernel; afterwards all goes through the page cache.
    fn flush(&mut self) -> io::Result<()> {
        if self.mode == Mode::Direct {
            self.set(OFlags::empty());
            self.mode = Mode::Cached;
        }
        let Some(block) = &self.block else { return Ok(()) };
        self.file.write_all_at(block.bytes(), self.written)?;
        self.written += block.filled as u64;
        self.block = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_their_pieces() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let bytes: Vec<u8> = (0..5_000_123_u32).map(|n| (n ^ (n >> 9)).to_le_bytes()[0]).collect();
        for (name, piece) in [("large", 3_000_000), ("odd", 77_777), ("aligned", 65_536), ("all", bytes.len())] {
            let path = folder.path().join(name);
            let mut straight = Straight::new(File::create(&path).unwrap());
            for piece in bytes.chunks(piece) {
                straight.write_all(piece).unwrap();
            }
            straight.flush().unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes, "{name}");
            straight.write_all(b"more").unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes.len() as u64 + 4);
        }
    }

    #[test]
    fn after_a_failed_write_the_file_goes_on_where_it_was() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..4_500_000_u32).map(|n| (n ^ (n >> 7)).to_le_bytes()[0]).collect();
        let mut straight = Straight::new(File::create(&path).unwrap());
        let (first, rest) = bytes.split_at(2 * BLOCK);
        straight.write_all(first).unwrap();
        let writable = std::mem::replace(&mut straight.file, File::open(&path).unwrap());
        assert!(straight.write(rest).is_err());
        straight.file = writable;
        straight.write_all(rest).unwrap();
        straight.flush().unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}
