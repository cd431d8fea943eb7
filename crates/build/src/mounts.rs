//! Cache mounts: folders that outlive a build, by their names.
//!
//! ```text
//!   mounts/HEX/N/tree   its files; N beyond 0 are for builds that do not share one
//!   mounts/HEX/N/name   what it is called
//!   mounts/HEX/N/used   an empty file; its time is the last use
//! ```
//!
//! HEX is the digest of the name, so that no name leads anywhere else (CVE-2024-9675).

use crate::cache::{Kept, Record, RecordKind};
use crate::context::of_texts;
use crate::solve::lock;
use crate::{Error, Result};
use dockerfile::mount::Sharing;
use registry::Cancel;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often one that waits looks whether its own build goes on.
const LOOK: Duration = Duration::from_millis(100);

/// The end of the name of one that is being removed.
const GONE: &str = "gone";

/// All cache mounts.
#[derive(Debug)]
pub(crate) struct Mounts {
    folder: PathBuf,
    busy: Mutex<HashMap<PathBuf, Use>>,
    free: Condvar,
    /// Bytes of those that are not in use, by the time of their last use.
    sizes: Mutex<HashMap<PathBuf, (LastUse, u64)>>,
}

/// Seconds and nanoseconds.
type LastUse = (i64, i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Shared(usize),
    Alone,
}

/// A cache mount in use.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    mounts: &'a Mounts,
    folder: PathBuf,
    /// Nobody used it before.
    pub is_new: Fresh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    No,
    Yes,
}

/// What a new one is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Taken<'_> {
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // The time of its last use.
        let _ = fs::write(self.folder.join("used"), b"");
        let mut busy = lock(&self.mounts.busy);
        match busy.get_mut(&self.folder) {
            Some(Use::Shared(count)) if *count > 1 => *count -= 1,
            _ => drop(busy.remove(&self.folder)),
        }
        drop(busy);
        self.mounts.free.notify_all();
    }
}

impl Mounts {
    /// Those below `folder`. What was half removed when an engine was killed goes.
    pub fn new(folder: PathBuf) -> Mounts {
        for left in inner(&folder).filter(|path| path.extension().is_some_and(|end| end == GONE)) {
            delete(&left);
        }
        Mounts { folder, busy: Mutex::default(), free: Condvar::new(), sizes: Mutex::default() }
    }

    /// The mount of a name, as it may be shared.
    pub fn take(&self, id: &str, sharing: Sharing, beginning: Beginning, cancel: &Cancel) -> Result<Taken<'_>> {
        let folder = self.folder.join(of_texts([&b"mount"[..], id.as_bytes()]).hex());
        let mut number = 0;
        let mut busy = lock(&self.busy);
        loop {
            let path = folder.join(number.to_string());
            let next = match (busy.get(&path), sharing) {
                (None, Sharing::Shared) => Some(Use::Shared(1)),
                (None, _) => Some(Use::Alone),
                (Some(Use::Shared(count)), Sharing::Shared) => Some(Use::Shared(count + 1)),
                (Some(_), Sharing::Private) => {
                    number += 1;
                    continue;
                }
                (Some(_), _) => None,
            };
            if let Some(next) = next {
                let is_new = make(&path, id, beginning)?;
                busy.insert(path.clone(), next);
                return Ok(Taken { mounts: self, folder: path, is_new });
            }
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            busy = self.free.wait_timeout(busy, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What there is, those not used for longest first.
    pub fn records(&self) -> Vec<Record> {
        // Counting bytes takes long: nobody waits for it.
        let busy: HashSet<PathBuf> = lock(&self.busy).keys().cloned().collect();
        let mut found: Vec<Record> = Vec::new();
        for (path, id) in self.all() {
            let name = fs::read_to_string(path.join("name")).unwrap_or_default();
            let Ok(made) = fs::metadata(path.join("name")) else { continue };
            let used = fs::metadata(path.join("used")).unwrap_or_else(|_| made.clone());
            let in_use = if busy.contains(&path) { Kept::Yes } else { Kept::No };
            found.push(Record {
                id,
                kind: RecordKind::Mount,
                description: format!("cached mount {name}"),
                size: self.size(&path, (used.mtime(), used.mtime_nsec()), in_use),
                made_at: made.mtime() * 1000,
                used_at: used.mtime() * 1000,
                uses: 1,
                shared: Kept::No,
                in_use,
                parents: Vec::new(),
            });
        }
        found.sort_by_key(|record| record.used_at);
        found
    }

    /// Bytes of its files. They change only while it is used, and counting them takes as long as they are many.
    fn size(&self, path: &Path, used: LastUse, in_use: Kept) -> u64 {
        let known = lock(&self.sizes).get(path).copied();
        if let Some((_, size)) = known.filter(|(then, _)| in_use == Kept::No && *then == used) {
            return size;
        }
        let size = base::tree::disk_usage(&path.join("tree")).unwrap_or(0);
        if in_use == Kept::No {
            lock(&self.sizes).insert(path.to_owned(), (used, size));
        }
        size
    }

    /// Takes one away by its id, unless it is in use.
    pub fn remove(&self, id: &str) {
        let busy = lock(&self.busy);
        let Some((path, _)) = self.all().into_iter().find(|(path, known)| known == id && !busy.contains_key(path))
        else {
            return;
        };
        lock(&self.sizes).remove(&path);
        // Out of the way at once: the next build makes it anew.
        let gone = path.with_extension(format!("{}.{GONE}", base::Id::random().short()));
        let renamed = fs::rename(&path, &gone);
        drop(busy);
        match renamed {
            Ok(()) => delete(&gone),
            Err(error) => tracing::warn!("cannot delete {}: {error}", path.display()),
        }
    }

    fn all(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        for path in inner(&self.folder) {
            let name = |path: Option<&Path>| {
                path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            };
            let (hex, number) = (name(path.parent()), name(Some(&path)));
            if number.parse::<u32>().is_ok() {
                let id = of_texts([format!("{hex}-{number}").as_bytes()]).hex()[..25].to_owned();
                found.push((path, id));
            }
        }
        found
    }
}

/// What lies in the folders of a folder.
fn inner(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(folder).flat_map(move |outer| entries(&outer))
}

fn delete(path: &Path) {
    if let Err(error) = base::tree::remove(path) {
        tracing::warn!("cannot delete {}: {error}", path.display());
    }
}

/// Makes the folder of one that nobody used before. It has its own name only once it is complete.
fn make(folder: &Path, id: &str, beginning: Beginning) -> Result<Fresh> {
    let tree = folder.join("tree");
    if tree.is_dir() {
        return Ok(Fresh::No);
    }
    let draft = folder.join("draft");
    let failed = |path: &Path| Error::io(format!("make {}", path.display()));
    fs::create_dir_all(&draft).map_err(failed(&draft))?;
    fs::write(folder.join("name"), id).map_err(failed(folder))?;
    chown(&draft, Some(beginning.uid), Some(beginning.gid)).map_err(failed(&draft))?;
    fs::set_permissions(&draft, PermissionsExt::from_mode(beginning.mode)).map_err(failed(&draft))?;
    fs::rename(&draft, &tree).map_err(failed(&tree))?;
    Ok(Fresh::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(folder: &Path) -> Beginning {
        let own = fs::metadata(folder).unwrap();
        Beginning { mode: 0o750, uid: own.uid(), gid: own.gid() }
    }

    #[test]
    fn one_that_is_locked_is_waited_for_until_the_build_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mounts = Mounts::new(folder.path().join("mounts"));
        let cancel = Cancel::default();
        let take = |id: &str, sharing| mounts.take(id, sharing, beginning(folder.path()), &cancel);
        let first = take("a", Sharing::Locked).unwrap();
        assert_eq!(first.is_new, Fresh::Yes);
        assert_eq!(fs::metadata(first.tree()).unwrap().mode() & 0o7777, 0o750);
        let other = take("a", Sharing::Private).unwrap();
        assert_ne!(other.tree(), first.tree());
        cancel.cancel();
        assert!(matches!(take("a", Sharing::Locked), Err(Error::Cancelled)));
        drop(first);
        assert_eq!(take("a", Sharing::Locked).unwrap().is_new, Fresh::No);
    }

    #[test]
    fn the_size_of_one_is_counted_again_after_its_use() {
        let folder = tempfile::tempdir().unwrap();
        let mounts = Mounts::new(folder.path().join("mounts"));
        let taken = mounts.take("a", Sharing::Shared, beginning(folder.path()), &Cancel::default()).unwrap();
        fs::write(taken.tree().join("f"), [1; 5000]).unwrap();
        let before = mounts.records()[0].size;
        fs::write(taken.tree().join("g"), [1; 50_000]).unwrap();
        assert!(mounts.records()[0].size >= before + 50_000);
        drop(taken);
        let after = mounts.records();
        assert!(after[0].size >= before + 50_000 && after[0].in_use == Kept::No);
        mounts.remove(&after[0].id);
        assert!(mounts.records().is_empty());
    }

    #[test]
    fn what_was_half_removed_is_gone_with_the_next_engine() {
        let folder = tempfile::tempdir().unwrap();
        let mounts = Mounts::new(folder.path().join("mounts"));
        drop(mounts.take("a", Sharing::Shared, beginning(folder.path()), &Cancel::default()).unwrap());
        let path = mounts.all()[0].0.clone();
        let left = path.with_extension("x.gone");
        fs::create_dir_all(left.join("tree/d")).unwrap();
        let mounts = Mounts::new(folder.path().join("mounts"));
        assert!(!left.exists() && mounts.records().len() == 1);
    }
}
