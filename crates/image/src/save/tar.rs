//! The outer archive: plain files of a known size, without times and owners.

use crate::Error;
use std::io::{self, Write};

const BLOCK: usize = 512;
/// The first size that eleven octal digits cannot say (POSIX.1-1988, ustar).
const LARGE: u64 = 1 << 33;

/// A tar that is being written.
pub struct Tar<'a> {
    sink: &'a mut dyn Write,
    /// Bytes of the current file that are still to come.
    left: u64,
    padding: usize,
}

impl<'a> Tar<'a> {
    pub fn new(sink: &'a mut dyn Write) -> Tar<'a> {
        Tar { sink, left: 0, padding: 0 }
    }

    pub fn folder(&mut self, path: &str) -> Result<(), Error> {
        self.put(&header(path, b'5', 0o755, 0))
    }

    pub fn document(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        self.file(path, bytes.len() as u64)?;
        self.write_all(bytes).map_err(failed)?;
        self.end()
    }

    /// Begins a file, whose bytes are then written.
    pub fn file(&mut self, path: &str, size: u64) -> Result<(), Error> {
        self.put(&header(path, b'0', 0o644, size))?;
        self.left = size;
        self.padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or(0);
        Ok(())
    }

    /// The current file is complete.
    pub fn end(&mut self) -> Result<(), Error> {
        if self.left > 0 {
            return Err(failed(io::Error::new(io::ErrorKind::UnexpectedEof, "a layer became shorter")));
        }
        let padding = std::mem::take(&mut self.padding);
        self.put(&[0; BLOCK][..padding])
    }

    pub fn finish(self) -> Result<(), Error> {
        self.sink.write_all(&[0; 2 * BLOCK]).and_then(|()| self.sink.flush()).map_err(failed)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.write_all(bytes).map_err(failed)
    }
}

/// The bytes of the current file.
impl Write for Tar<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a layer became longer"));
        }
        let written = self.sink.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

pub fn failed(source: io::Error) -> Error {
    Error::Io { action: "write the archive".to_owned(), source }
}

/// A ustar header; a size that it cannot say is in base 256, as GNU tar writes it and all readers know it.
fn header(path: &str, flag: u8, mode: u32, size: u64) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size < LARGE {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[flag]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_beyond_octal_are_read_as_they_were_written() {
        for size in [0, 511, LARGE - 1, LARGE, 1 << 40] {
            let bytes = header("blobs/sha256/x", b'0', 0o644, size);
            let mut reader = archive::Reader::new(&bytes[..]);
            let entry = reader.next().unwrap().unwrap();
            assert_eq!((entry.size, entry.mode, &entry.path[..]), (size, 0o644, &b"blobs/sha256/x"[..]));
        }
    }

    #[test]
    fn a_layer_that_changes_its_size_is_an_error() {
        let mut sink = Vec::new();
        let mut tar = Tar::new(&mut sink);
        tar.file("a", 3).unwrap();
        assert!(tar.write_all(b"four").is_err());
        tar.write_all(b"tw").unwrap();
        assert!(tar.end().is_err());
    }
}
