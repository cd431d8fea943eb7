//! How large a container is.

use super::Snapshot;
use crate::Engine;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of a container's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Its own: those that it made or changed.
    pub own: u64,
    /// With its image's.
    pub root: u64,
}

impl Engine {
    pub fn sizes(&self, snapshot: &Snapshot) -> Sizes {
        let own = folder_bytes(Path::new(&snapshot.upper_path));
        let image = self.image(&snapshot.container.image_id.to_string()).map_or(0, |image| image.size);
        Sizes { own, root: own.saturating_add(image) }
    }
}

/// Bytes of the files below a folder; a hard-linked file counts once. Symbolic links are not followed.
pub(crate) fn folder_bytes(root: &Path) -> u64 {
    let mut folders = vec![root.to_owned()];
    let (mut total, mut seen) = (0_u64, HashSet::new());
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                folders.push(entry.path());
            } else if data.nlink() == 1 || seen.insert((data.dev(), data.ino())) {
                total = total.saturating_add(data.len());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_large_as_its_files_once_each() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("deep")).expect("a folder");
        std::fs::write(folder.path().join("deep/a"), [0; 100]).expect("a file");
        std::fs::hard_link(folder.path().join("deep/a"), folder.path().join("b")).expect("a link");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("c")).expect("a link");
        assert_eq!(folder_bytes(folder.path()), 100 + 11);
        assert_eq!(folder_bytes(Path::new("/nowhere")), 0);
    }
}
