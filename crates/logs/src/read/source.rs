//! One file of a log, read line by line, and its place among the rotated ones.

use crate::files::{MOST_FILES, order};
use crate::{Target, compressed};
use memchr::memchr;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// More bytes than this without a line end are no entry (16 KiB, each byte escaped to six, and attributes).
const LONGEST: usize = 1024 * 1024;

/// How much later than its file says an entry may have been written: file times are those of the kernel's last tick.
const TICK: Duration = Duration::from_secs(1);

/// An open file and the place in it.
#[derive(Debug)]
pub struct Source {
    file: File,
    id: FileId,
    /// It was compressed: whatever is at the log's path by now is another file.
    full: bool,
    /// Where the next read begins: behind what is in `buffer`.
    offset: u64,
    buffer: Vec<u8>,
    start: usize,
    last_look: bool,
}

/// Which file it is, also when it is compressed by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
    /// Nanoseconds since the epoch; 0 where the file system does not say.
    born: u128,
}

impl FileId {
    /// The file that is open.
    pub fn of(file: &File) -> io::Result<FileId> {
        Ok(FileId::from(&file.metadata()?))
    }

    /// The file at `path`.
    pub fn at(path: &Path) -> io::Result<Option<FileId>> {
        Ok(found(fs::metadata(path))?.map(|meta| FileId::from(&meta)))
    }
}

impl From<&Metadata> for FileId {
    fn from(meta: &Metadata) -> FileId {
        let born = meta.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        FileId { device: meta.dev(), inode: meta.ino(), born: born.map_or(0, |time| time.as_nanos()) }
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.device, self.inode, self.born)
    }
}

impl FromStr for FileId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<FileId, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().unwrap_or_default();
        Ok(FileId { device: next().parse()?, inode: next().parse()?, born: next().parse()? })
    }
}

impl Source {
    /// The file number `index` of a log from its beginning; `None` when there is none.
    pub fn open(target: &Target, index: u32) -> io::Result<Option<Source>> {
        Found::at(target, index)?.map(|found| found.source(target)).transpose()
    }

    fn new(id: FileId, file: File, full: bool) -> Source {
        Source { file, id, full, offset: 0, buffer: Vec::new(), start: 0, last_look: false }
    }

    /// Goes on at `offset`, the beginning of a line.
    pub fn seek(&mut self, offset: u64) {
        self.offset = offset;
        self.buffer.clear();
        self.start = 0;
    }

    /// How far its lines were given.
    pub fn place(&self) -> u64 {
        self.offset - (self.buffer.len() - self.start) as u64
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
                // Nothing to come for now: a reader that waits costs little.
                self.buffer.shrink_to_fit();
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
        Ok(!self.full && FileId::at(path)?.is_none_or(|id| id == self.id))
    }

    /// True the first time it is asked.
    pub fn is_last_look(&mut self) -> bool {
        !std::mem::replace(&mut self.last_look, true)
    }

    /// Whether both are the same file.
    pub fn is(&self, other: &Source) -> bool {
        self.id == other.id
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        self.id
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

/// A file that is open and not yet read, so that it may be renamed from here on.
enum Found {
    Plain(File),
    Compressed(File),
}

impl Found {
    fn at(target: &Target, index: u32) -> io::Result<Option<Found>> {
        if let Some(file) = found(File::open(target.rotated(index)))? {
            return Ok(Some(Found::Plain(file)));
        }
        if index == 0 {
            return Ok(None);
        }
        Ok(found(File::open(target.compressed(index)))?.map(Found::Compressed))
    }

    fn id(&self) -> io::Result<FileId> {
        match self {
            Found::Plain(file) => FileId::of(file),
            Found::Compressed(small) => compressed::id_of(small).map_or_else(|| FileId::of(small), Ok),
        }
    }

    fn source(self, target: &Target) -> io::Result<Source> {
        let id = self.id()?;
        match self {
            Found::Plain(file) => Ok(Source::new(id, file, false)),
            Found::Compressed(small) => {
                let folder = target.path.parent().unwrap_or(Path::new("/"));
                Ok(Source::new(id, compressed::content(&small, folder)?, true))
            }
        }
    }
}

/// The oldest file of a log from its beginning; of those that have nothing since then (in nanoseconds) only the newest.
pub fn oldest(target: &Target, since: Option<i64>) -> io::Result<Option<Source>> {
    let mut index = 0;
    // A gap of one is where a rotation was cut short.
    while index < MOST_FILES && (target.has(index + 1) || target.has(index + 2)) {
        if since.is_some_and(|since| ended_before(target, index + 1, since)) {
            break;
        }
        index += 1;
    }
    loop {
        match Source::open(target, index)? {
            // Rotated between the two looks: what was to be opened is one further.
            Some(_) if since.is_none() && index + 1 < target.max_file && target.has(index + 1) => index += 1,
            Some(source) => return Ok(Some(source)),
            None if index == 0 => return Ok(None),
            None => index -= 1,
        }
    }
}

/// Whether the last entry of a file is older than `since`.
fn ended_before(target: &Target, index: u32, since: i64) -> bool {
    let Ok(since) = u64::try_from(since) else { return false };
    let since = UNIX_EPOCH + Duration::from_nanos(since);
    let meta = fs::metadata(target.rotated(index)).or_else(|_| fs::metadata(target.compressed(index)));
    meta.and_then(|meta| meta.modified()).is_ok_and(|written: SystemTime| written + TICK < since)
}

/// The file that took `before`'s place; when `before` was dropped meanwhile, the oldest that is left.
pub fn follower(target: &Target, before: &Source) -> io::Result<Option<Source>> {
    match after(target, before)? {
        After::File(next) => next.source(target).map(Some),
        After::NotYet => Ok(None),
        After::Dropped => oldest(target, None),
    }
}

enum After {
    File(Found),
    NotYet,
    Dropped,
}

/// Looked for while no file is renamed: in the middle of a rotation one of them is nowhere.
fn after(target: &Target, before: &Source) -> io::Result<After> {
    let _order = order();
    let mut index = 1;
    // A gap of one is where a rotation was cut short.
    while index < MOST_FILES && (target.has(index) || target.has(index + 1)) {
        let here = Found::at(target, index)?.map(|found| found.id()).transpose()?;
        if here == Some(before.id) {
            let newer = (0..index).rev().find_map(|newer| Found::at(target, newer).transpose());
            return Ok(newer.transpose()?.map_or(After::NotYet, After::File));
        }
        index += 1;
    }
    Ok(After::Dropped)
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
