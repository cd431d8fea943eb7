//! One file of a log, read line by line, and its place among the rotated ones.

use crate::Target;
use memchr::memchr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// More bytes than this without a line end are no entry (16 KiB, each byte escaped to six, and attributes).
const LONGEST: usize = 1024 * 1024;

/// Rotated files looked for at most.
const MOST_FILES: u32 = 100_000;

/// An open file and the place in it.
#[derive(Debug)]
pub struct Source {
    file: File,
    id: FileId,
    /// Where the next read begins: behind what is in `buffer`.
    offset: u64,
    buffer: Vec<u8>,
    start: usize,
    last_look: bool,
}

/// Device and inode.
type FileId = (u64, u64);

impl Source {
    /// The file at `path` from its beginning; `None` when there is none.
    pub fn open(path: &Path) -> io::Result<Option<Source>> {
        let Some(file) = found(File::open(path))? else { return Ok(None) };
        let meta = file.metadata()?;
        let id = (meta.dev(), meta.ino());
        Ok(Some(Source { file, id, offset: 0, buffer: Vec::new(), start: 0, last_look: false }))
    }

    /// Goes on at `offset`, the beginning of a line.
    pub fn seek(&mut self, offset: u64) {
        self.offset = offset;
        self.buffer.clear();
        self.start = 0;
    }

    /// The next complete line, without its end.
    pub fn line(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = self.start;
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer[searched..]) {
                let line = self.start..searched + end;
                self.start = line.end + 1;
                return Ok(Some(&self.buffer[line]));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            if self.buffer.len() > LONGEST {
                self.buffer.clear();
            }
            searched = self.buffer.len();
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let count = loop {
            match self.file.read_at(&mut self.buffer[length..], self.offset) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(length + *count.as_ref().unwrap_or(&0));
        let count = count?;
        self.offset += count as u64;
        Ok(count)
    }

    /// Whether the file is now shorter than what was read of it; it is then read from its beginning.
    pub fn shortened(&mut self) -> io::Result<bool> {
        let shorter = self.size()? < self.offset;
        if shorter {
            self.seek(0);
        }
        Ok(shorter)
    }

    /// Whether this is the file at `path`, or nothing is there.
    pub fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(file_id(path)?.is_none_or(|id| id == self.id))
    }

    /// True the first time it is asked.
    pub fn is_last_look(&mut self) -> bool {
        !std::mem::replace(&mut self.last_look, true)
    }

    /// Whether both are the same file.
    pub fn is(&self, other: &Source) -> bool {
        self.id == other.id
    }

    /// Bytes in the file.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// The oldest file of a log from its beginning.
pub fn oldest(target: &Target) -> io::Result<Option<Source>> {
    let mut oldest = Source::open(&target.path)?;
    for index in 1..MOST_FILES {
        match Source::open(&target.rotated(index))? {
            Some(older) => oldest = Some(older),
            None => break,
        }
    }
    Ok(oldest)
}

/// The file that took `before`'s place; when `before` was dropped meanwhile, the oldest that is left.
pub fn follower(target: &Target, before: &Source) -> io::Result<Option<Source>> {
    for index in 1..MOST_FILES {
        let Some(id) = file_id(&target.rotated(index))? else { break };
        if id == before.id {
            let next = Source::open(&target.rotated(index - 1))?;
            // Rotated once more between the two looks: the next look will find it one further.
            return Ok(next.filter(|next| next.id != before.id));
        }
    }
    oldest(target)
}

fn file_id(path: &Path) -> io::Result<Option<FileId>> {
    Ok(found(fs::metadata(path))?.map(|meta| (meta.dev(), meta.ino())))
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
