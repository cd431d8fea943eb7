//! Contexts that were sent, kept for the next build of the same: then only what changed is sent again.
//!
//! ```text
//!   kept/boot         when the machine was started: what was written before may have been lost with the power
//!   kept/HEX/N/tree   the files, HEX being the digest of what the client calls it; N beyond 0 for builds at the same time
//!   kept/HEX/N/name   what it is
//!   kept/HEX/N/used   how many bytes it has; its time is the last use
//! ```

use super::of_texts;
use crate::cache::{Kept, Record, RecordKind};
use crate::solve::lock;
use crate::{Error, Result};
use rustix::fs::{CWD, Mode, OFlags};
use std::collections::HashSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Folders of one context that stay: those beyond are for builds at the same time.
const MOST: usize = 2;

/// All kept contexts of an engine.
#[derive(Debug)]
pub(crate) struct KeptFolders {
    folder: PathBuf,
    busy: Mutex<HashSet<PathBuf>>,
}

/// A kept context while a build has it for itself.
#[derive(Debug)]
pub struct KeptFolder {
    all: Arc<KeptFolders>,
    folder: PathBuf,
    number: usize,
    bytes: AtomicU64,
}

impl KeptFolders {
    /// Below `folder`; what is of another boot is removed, and what an engine that was killed could not remove.
    pub fn open(folder: PathBuf) -> KeptFolders {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        if folder.exists() && fs::read_to_string(folder.join("boot")).ok().as_deref() != Some(boot.as_str()) {
            remove(&folder);
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        if let Err(error) = made.and_then(|()| fs::write(folder.join("boot"), boot)) {
            tracing::warn!("cannot keep contexts in {}: {error}", folder.display());
        }
        let kept = KeptFolders { folder, busy: Mutex::default() };
        for (path, _) in kept.all() {
            // Of one without `used` nobody knows how large it is.
            let number = path.file_name().and_then(|name| name.to_str()?.parse::<usize>().ok());
            if number.is_none_or(|number| number >= MOST) || !path.join("used").exists() {
                remove(&path);
            }
        }
        kept
    }

    /// The context that a client calls `key`, empty at first.
    pub fn take(self: &Arc<Self>, key: &str, description: &str) -> Result<KeptFolder> {
        let folder = self.folder.join(of_texts([&b"context"[..], key.as_bytes()]).hex());
        let mut busy = lock(&self.busy);
        let free = (0..).map(|number| (number, folder.join(number.to_string())));
        let Some((number, folder)) = free.into_iter().find(|(_, path)| !busy.contains(path)) else {
            return Err(Error::Invalid("too many builds of one context".to_owned()));
        };
        let make = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("tree"))?;
            if folder.join("name").exists() { Ok(()) } else { fs::write(folder.join("name"), description) }
        };
        make().map_err(Error::io("make a folder for a context"))?;
        busy.insert(folder.clone());
        drop(busy);
        let bytes = AtomicU64::new(size(&folder));
        Ok(KeptFolder { all: self.clone(), folder, number, bytes })
    }

    /// What there is, those not used for longest first.
    pub fn records(&self) -> Vec<Record> {
        let busy = lock(&self.busy);
        let mut found: Vec<Record> = Vec::new();
        for (path, id) in self.all() {
            let description = fs::read_to_string(path.join("name")).unwrap_or_default();
            let Ok(made) = fs::metadata(path.join("name")) else { continue };
            let used = fs::metadata(path.join("used")).unwrap_or_else(|_| made.clone());
            found.push(Record {
                id,
                kind: RecordKind::Context,
                description,
                size: size(&path),
                made_at: milliseconds(&made),
                used_at: milliseconds(&used),
                uses: 1,
                shared: Kept::No,
                in_use: if busy.contains(&path) { Kept::Yes } else { Kept::No },
                parents: Vec::new(),
            });
        }
        found.sort_by_key(|record| record.used_at);
        found
    }

    /// Removes one by the id of its record, unless a build has it.
    pub fn remove(&self, id: &str) {
        let mut busy = lock(&self.busy);
        let found = self.all().into_iter().find(|(path, own)| own == id && !busy.contains(path));
        let Some((path, _)) = found else { return };
        // Nobody takes it meanwhile, and nobody waits for it.
        busy.insert(path.clone());
        drop(busy);
        remove(&path);
        let mut busy = lock(&self.busy);
        busy.remove(&path);
        // Of the last one the folder goes, too.
        let _ = path.parent().map(fs::remove_dir);
    }

    fn all(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        for context in names(&self.folder) {
            for number in names(&context) {
                let key = context.file_name().unwrap_or_default().to_string_lossy();
                let own = number.file_name().unwrap_or_default().to_string_lossy();
                let id = of_texts([&b"kept"[..], key.as_bytes(), own.as_bytes()]).hex()[..25].to_owned();
                found.push((number, id));
            }
        }
        found
    }
}

impl KeptFolder {
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Its files, to be written to.
    pub fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, self.tree(), flags, Mode::empty());
        root.map_err(Error::errno("open a folder for a context"))
    }

    /// It has so many bytes now.
    pub fn set_size(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Release);
    }

    /// So many bytes came to those that it had.
    pub fn add_size(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }
}

impl Drop for KeptFolder {
    fn drop(&mut self) {
        if self.number < MOST {
            // The time of its last use.
            let _ = fs::write(self.folder.join("used"), self.bytes.load(Ordering::Acquire).to_string());
        } else {
            remove(&self.folder);
        }
        lock(&self.all.busy).remove(&self.folder);
    }
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn remove(path: &Path) {
    if let Err(error) = base::tree::remove(path) {
        tracing::warn!("cannot delete {}: {error}", path.display());
    }
}

/// Bytes, as they were when it was used last.
fn size(folder: &Path) -> u64 {
    fs::read_to_string(folder.join("used")).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn milliseconds(file: &fs::Metadata) -> i64 {
    file.mtime() * 1000 + file.mtime_nsec() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_the_same_the_next_time_and_another_one_for_builds_at_the_same_time() {
        let folder = tempfile::tempdir().unwrap();
        let all = Arc::new(KeptFolders::open(folder.path().join("kept")));
        let first = all.take("key", "a context").unwrap();
        fs::write(first.tree().join("file"), "x").unwrap();
        first.set_size(1);
        let second = all.take("key", "a context").unwrap();
        let third = all.take("key", "a context").unwrap();
        assert_ne!(first.tree(), second.tree());
        assert_ne!(second.tree(), third.tree());
        all.remove(&all.records()[0].id);
        drop((first, second, third));
        let records = all.records();
        assert_eq!(records.len(), 2);
        assert_eq!(records.iter().map(|record| record.size).sum::<u64>(), 1);
        let again = all.take("key", "a context").unwrap();
        assert!(again.tree().join("file").exists());
        drop(again);
        drop(all);
        let all = Arc::new(KeptFolders::open(folder.path().join("kept")));
        assert_eq!(all.records().len(), 2);
        for record in all.records() {
            all.remove(&record.id);
        }
        assert_eq!(all.records(), []);
    }

    #[test]
    fn what_a_killed_engine_left_goes_and_a_build_that_fails_forgets_no_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let all = Arc::new(KeptFolders::open(path.clone()));
        let kept: Vec<KeptFolder> = (0..4).map(|_| all.take("key", "a context").unwrap()).collect();
        kept[0].set_size(7);
        let trees: Vec<PathBuf> = kept.iter().map(KeptFolder::tree).collect();
        let mut kept = kept.into_iter();
        drop(kept.next());
        // A killed engine drops nothing.
        kept.for_each(std::mem::forget);
        let all = Arc::new(KeptFolders::open(path));
        assert_eq!(trees.iter().map(|tree| tree.exists()).collect::<Vec<_>>(), [true, false, false, false]);
        drop(all.take("key", "a context").unwrap());
        assert_eq!(all.records()[0].size, 7);
        let again = all.take("key", "a context").unwrap();
        again.add_size(3);
        drop(again);
        assert_eq!(all.records()[0].size, 10);
    }

    #[test]
    fn what_is_of_another_boot_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let all = Arc::new(KeptFolders::open(path.clone()));
        drop(all.take("key", "a context").unwrap());
        assert_eq!(all.records().len(), 1);
        fs::write(path.join("boot"), "another").unwrap();
        assert_eq!(KeptFolders::open(path).records(), []);
    }
}
