//! Contents of files that were read before: by inode, and by size and times, which tell whether it is still the same file.
//!
//! They are kept on disk between builds, so that another engine does not read a large context again:
//!
//! ```text
//!   magic, 8 bytes │ entries of 80 bytes: device, inode, size, modified, changed, digest │ SHA-256 of all that
//! ```

use archive::pack::Look;
use base::atomic::{self, Durability};
use rustix::fs::Stat;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Files that are remembered at most.
const MOST_KNOWN: usize = 1 << 20;
/// Of these so many are kept on disk: 20 MB.
const MOST_KEPT: usize = 1 << 18;
const MAGIC: &[u8; 8] = b"dhowmem1";
const ENTRY: usize = 80;
const SUM: usize = 32;

/// Device (major, minor) and number.
type Inode = (u32, u32, u64);

/// Contents of files that were read before.
#[derive(Debug, Default)]
pub struct Memo {
    /// `None`: it lives as long as the process.
    path: Option<PathBuf>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    known: HashMap<Inode, Known>,
    is_read: bool,
    is_changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: (i64, u32),
    pub changed: (i64, u32),
}

impl Stamp {
    /// As it was listed.
    pub fn seen(look: &Look) -> Stamp {
        let time = |time: archive::Time| (time.seconds, time.nanoseconds);
        Stamp { size: look.size, modified: time(look.modified), changed: time(look.changed) }
    }

    /// As it was when it was opened.
    pub fn of(look: &Look, stat: &Stat) -> Stamp {
        Stamp {
            size: look.size,
            modified: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
        }
    }
}

fn nanoseconds(value: impl TryInto<u32>) -> u32 {
    value.try_into().unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    stamp: Stamp,
    digest: [u8; 32],
}

impl Memo {
    /// One that is kept at `path`, and read when it is first asked.
    pub fn at(path: PathBuf) -> Memo {
        Memo { path: Some(path), table: Mutex::default() }
    }

    pub(super) fn find(&self, inode: Inode, stamp: Stamp) -> Option<[u8; 32]> {
        self.table().known.get(&inode).filter(|known| known.stamp == stamp).map(|known| known.digest)
    }

    /// The digest of what was just written to a file that nobody else writes to.
    pub fn learn(&self, file: BorrowedFd<'_>, digest: [u8; 32]) {
        let (Ok(look), Ok(stat)) = (Look::of_open(file), rustix::fs::fstat(file)) else { return };
        self.keep(look.inode, Stamp::of(&look, &stat), digest);
    }

    pub(super) fn keep(&self, inode: Inode, stamp: Stamp, digest: [u8; 32]) {
        let mut table = self.table();
        if table.known.len() >= MOST_KNOWN {
            table.known.clear();
        }
        table.known.insert(inode, Known { stamp, digest });
        table.is_changed = true;
    }

    /// Writes what is new to disk.
    pub(crate) fn save(&self) {
        let Some(path) = &self.path else { return };
        let mut table = self.table();
        if !std::mem::take(&mut table.is_changed) {
            return;
        }
        let bytes = written(&table.known);
        drop(table);
        if let Err(error) = atomic::write(path, &bytes, 0o600, Durability::Process) {
            tracing::warn!("cannot write {}: {error}", path.display());
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.is_read {
            table.is_read = true;
            table.known = self.path.as_deref().map(read).unwrap_or_default();
        }
        table
    }
}

/// What is on disk; nothing when it is not whole.
fn read(path: &Path) -> HashMap<Inode, Known> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let Some((body, sum)) = bytes.len().checked_sub(SUM).map(|at| bytes.split_at(at)) else { return HashMap::new() };
    let is_whole = body.starts_with(MAGIC) && (body.len() - MAGIC.len()).is_multiple_of(ENTRY);
    if !is_whole || Sha256::digest(body).as_slice() != sum {
        tracing::warn!("{} is broken: contexts are read again", path.display());
        return HashMap::new();
    }
    body[MAGIC.len()..].chunks_exact(ENTRY).filter_map(entry).collect()
}

fn written(known: &HashMap<Inode, Known>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + known.len().min(MOST_KEPT) * ENTRY + SUM);
    bytes.extend_from_slice(MAGIC);
    for ((major, minor, number), Known { stamp, digest }) in known.iter().take(MOST_KEPT) {
        bytes.extend_from_slice(&major.to_le_bytes());
        bytes.extend_from_slice(&minor.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&stamp.size.to_le_bytes());
        for (seconds, nanoseconds) in [stamp.modified, stamp.changed] {
            bytes.extend_from_slice(&seconds.to_le_bytes());
            bytes.extend_from_slice(&nanoseconds.to_le_bytes());
        }
        bytes.extend_from_slice(digest);
    }
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(sum.as_slice());
    bytes
}

fn entry(bytes: &[u8]) -> Option<(Inode, Known)> {
    let small = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let large = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let time = |at: usize| Some((large(at)?.cast_signed(), small(at + 8)?));
    let stamp = Stamp { size: large(16)?, modified: time(24)?, changed: time(36)? };
    let digest = bytes.get(48..ENTRY)?.try_into().ok()?;
    Some(((small(0)?, small(4)?, large(8)?), Known { stamp, digest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_known_to_the_next_engine_and_a_broken_file_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contents");
        let stamp = Stamp { size: 7, modified: (-1, 2), changed: (1 << 40, 999_999_999) };
        let other = Stamp { size: 8, ..stamp };
        let memo = Memo::at(path.clone());
        memo.save();
        assert!(!path.exists());
        memo.keep((1, 2, 3), stamp, [9; 32]);
        memo.keep((1, 2, u64::MAX), other, [8; 32]);
        memo.save();
        let memo = Memo::at(path.clone());
        assert_eq!((memo.find((1, 2, 3), stamp), memo.find((1, 2, 3), other)), (Some([9; 32]), None));
        assert_eq!(memo.find((1, 2, u64::MAX), other), Some([8; 32]));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Memo::at(path.clone()).find((1, 2, 3), stamp), None);
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(Memo::at(path).find((1, 2, 3), stamp), None);
    }
}
