//! The names of a log's files, newest first, and their order's one lock.

use crate::Target;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rotated files looked for at most.
pub const MOST_FILES: u32 = 100_000;

/// Held while files get other names: a rotation and a finished compression come one after the other. They are never in two
/// processes at once: whoever has the journal rotates, and only an engine compresses.
static ORDER: Mutex<()> = Mutex::new(());

/// The lock of [`ORDER`].
pub fn order() -> MutexGuard<'static, ()> {
    ORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Target {
    /// The rotated file number `index` while it is not compressed; 0 is the current file.
    pub(crate) fn rotated(&self, index: u32) -> PathBuf {
        if index == 0 { self.path.clone() } else { with_end(&self.path, format!(".{index}")) }
    }

    /// The same when it is compressed.
    pub(crate) fn compressed(&self, index: u32) -> PathBuf {
        with_end(&self.path, format!(".{index}.gz"))
    }

    /// Where a compression writes before it is finished.
    pub(crate) fn unfinished(&self) -> PathBuf {
        with_end(&self.path, ".gz.tmp")
    }

    /// Whether there is a file of that number, in either form.
    pub(crate) fn has(&self, index: u32) -> bool {
        self.rotated(index).exists() || (index > 0 && self.compressed(index).exists())
    }

    /// Shifts `PATH` to `PATH.1`, `PATH.1` to `PATH.2` and so on; the last one is replaced. A gap ends the shift: it is
    /// where an earlier rotation was cut short, and what is older need not move again.
    pub(crate) fn shift(&self) -> io::Result<()> {
        let _order = order();
        let last = self.max_file.max(1) - 1;
        if last == 0 {
            return gone_is_fine(fs::remove_file(&self.path));
        }
        let gap = (1..last).find(|index| !self.has(*index)).unwrap_or(last);
        (0..gap).rev().try_for_each(|index| self.step(index))
    }

    /// One file becomes one older; whichever form it has, the other of its new number is gone.
    fn step(&self, index: u32) -> io::Result<()> {
        let (plain, small) = (self.rotated(index + 1), self.compressed(index + 1));
        if self.rotated(index).exists() || index == 0 {
            gone_is_fine(fs::rename(self.rotated(index), plain))?;
            return gone_is_fine(fs::remove_file(small));
        }
        gone_is_fine(fs::rename(self.compressed(index), small))?;
        gone_is_fine(fs::remove_file(plain))
    }
}

fn with_end(path: &Path, end: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(end);
    name.into()
}

/// What is not there need not be moved or deleted.
pub fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
