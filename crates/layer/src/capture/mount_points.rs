//! Files and folders in an upper folder that are there only because a start mounted something on them.
//!
//! Docker makes them in a layer of its own between image and container, so its `diff` and `commit` do not know them. Here
//! they lie in the upper folder of containers whose image lacks them. The container cannot change them: they are covered
//! as long as it runs.

use archive::pack::{Attributes, Look, is_gone, open, open_folder};
use rustix::fs::{Dir, FileType, OFlags};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

const FILES: [&CStr; 3] = [c"etc/hostname", c"etc/hosts", c"etc/resolv.conf"];
const FOLDERS: [&CStr; 3] = [c"dev", c"proc", c"sys"];
/// The parent of [`FILES`].
const PARENT: &CStr = c"etc";

/// Those found in one upper folder.
pub struct MountPoints {
    paths: Vec<&'static [u8]>,
}

impl MountPoints {
    pub fn find(upper: BorrowedFd<'_>, owner: u32) -> io::Result<MountPoints> {
        let mut paths: Vec<&'static [u8]> = Vec::new();
        for path in FILES {
            if is_made_file(upper, path, owner)? {
                paths.push(path.to_bytes());
            }
        }
        let files = paths.len();
        for path in FOLDERS {
            if is_made_folder(upper, path, owner, 0)? {
                paths.push(path.to_bytes());
            }
        }
        if files > 0 && is_made_folder(upper, PARENT, owner, files)? {
            paths.push(PARENT.to_bytes());
        }
        Ok(MountPoints { paths })
    }

    /// Those of [`MountPoints::paths`], and whether each is a folder.
    pub fn into_paths(self) -> Vec<(&'static [u8], bool)> {
        let is_folder = |path: &[u8]| !FILES.iter().any(|file| file.to_bytes() == path);
        self.paths.into_iter().map(|path| (path, is_folder(path))).collect()
    }

    /// Relative to the root, without slashes around.
    pub fn paths(&self) -> &[&'static [u8]] {
        &self.paths
    }
}

/// As `mknod` of a start leaves it: empty, of root.
fn is_made_file(upper: BorrowedFd<'_>, path: &CStr, owner: u32) -> io::Result<bool> {
    let file = match open(upper, path, OFlags::PATH) {
        Err(e) if is_gone(&e) => return Ok(false),
        other => other?,
    };
    let look = Look::of_open(&file)?.counted_from(owner);
    let plain = (look.kind, look.mode, look.uid, look.gid) == (FileType::RegularFile, 0o644, 0, 0);
    Ok(plain && look.size == 0 && look.links == 1)
}

/// As `mkdir` of a start leaves it: of root, with nothing in it but `files` made ones, and no copy of a lower folder.
fn is_made_folder(upper: BorrowedFd<'_>, path: &CStr, owner: u32, files: usize) -> io::Result<bool> {
    let folder = match open_folder(upper, path) {
        Err(e) if is_gone(&e) => return Ok(false),
        other => other?,
    };
    let look = Look::of_open(&folder)?.counted_from(owner);
    if (look.mode, look.uid, look.gid) != (0o755, 0, 0) || Attributes::new(owner).is_copied_up(folder.as_fd())? {
        return Ok(false);
    }
    let mut names = 0;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        names += usize::from(entry.file_name() != c"." && entry.file_name() != c"..");
    }
    Ok(names == files)
}
