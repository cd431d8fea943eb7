//! A folder to unpack into, beside one that nothing may touch.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub struct Yard {
    folder: tempfile::TempDir,
    canary: (u64, u32, i64, u64),
}

impl Yard {
    pub fn new() -> Yard {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("outside")).expect("a folder");
        fs::write(folder.path().join("outside/canary"), b"alive").expect("a file");
        let canary = look(&folder.path().join("outside/canary"));
        Yard { folder, canary }
    }

    /// An empty folder; it was not there before.
    pub fn root(&self, name: &str) -> (PathBuf, File) {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).expect("a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        let file = File::open(&path).expect("a folder");
        (path, file)
    }

    /// Panics when something but the roots has changed.
    pub fn check(&self, roots: &[&str]) {
        assert_eq!(names(self.folder.path()), owned(&[roots, &["outside"]].concat()));
        assert_eq!(names(&self.folder.path().join("outside")), owned(&["canary"]));
        let canary = self.folder.path().join("outside/canary");
        assert_eq!(look(&canary), self.canary);
        assert_eq!(fs::read(canary).expect("the canary"), b"alive");
    }
}

impl Default for Yard {
    fn default() -> Yard {
        Yard::new()
    }
}

fn names(folder: &Path) -> std::collections::BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Inode, mode, time of the last change of anything, names.
fn look(path: &Path) -> (u64, u32, i64, u64) {
    let stat = fs::symlink_metadata(path).expect("the canary");
    (stat.ino(), stat.mode(), stat.ctime_nsec(), stat.nlink())
}

fn owned(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
