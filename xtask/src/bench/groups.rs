//! Control groups that engines make at the top of the hierarchies, and leave there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What docker and podman call theirs.
const NAMES: &[&str] = &["docker", "libpod_parent"];

/// Those that were there before.
pub struct Groups(BTreeSet<PathBuf>);

impl Groups {
    /// Those that are there.
    pub fn look() -> Groups {
        let mut found = BTreeSet::new();
        let base = Path::new("/sys/fs/cgroup");
        for hierarchy in folders(base).into_iter().chain([base.to_owned()]) {
            found.extend(NAMES.iter().map(|name| hierarchy.join(name)).filter(|path| path.is_dir()));
        }
        Groups(found)
    }

    /// Removes those that have come since, as far as they are empty.
    pub fn remove_new(&self) {
        Groups::look().0.difference(&self.0).for_each(|path| remove(path));
    }
}

fn remove(group: &Path) {
    folders(group).iter().for_each(|path| remove(path));
    if let Err(e) = fs::remove_dir(group) {
        eprintln!("left behind: {}: {e}", group.display());
    }
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
