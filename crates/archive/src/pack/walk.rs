//! The names of a tree, sorted, parents first: never a stack frame, an open folder or a list more than one path needs.

use crate::beneath::{self, Mounts};
use rustix::fs::{Dir, FileType, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Folders kept open at most; one further up is opened again on the way back.
const OPEN: usize = 64;
/// What a path may have, without the zero byte (PATH_MAX) and the slash that a folder gets in a tar.
const LONGEST_PATH: usize = 4094;

/// A walk below `root`. Folders are listed only when [`Walk::enter`] says so.
pub struct Walk<'root> {
    root: BorrowedFd<'root>,
    mounts: Mounts,
    levels: Vec<Level>,
    path: Vec<u8>,
}

/// One name that the walk came by.
#[derive(Debug, Clone)]
pub struct Step {
    /// Relative to the root.
    pub path: Vec<u8>,
    pub name: CString,
    /// The folder that has the name.
    pub folder: Rc<OwnedFd>,
    /// What it was when the folder was listed; some file systems leave it unknown.
    pub kind: FileType,
}

struct Level {
    folder: Option<Rc<OwnedFd>>,
    /// Bytes of the walk's path that name the folder.
    path: usize,
    /// The last one is the next.
    names: Vec<(CString, FileType)>,
}

impl<'root> Walk<'root> {
    /// A walk that starts with what is in `root` itself, which may be an O_PATH descriptor.
    pub fn new(root: BorrowedFd<'root>) -> io::Result<Walk<'root>> {
        Walk::across(root, Mounts::Stay)
    }

    /// [`Walk::new`], for one who may enter folders of other mounts.
    pub fn across(root: BorrowedFd<'root>, mounts: Mounts) -> io::Result<Walk<'root>> {
        let mut walk = Walk { root, mounts, levels: Vec::new(), path: Vec::new() };
        let folder = open_folder(root, c".")?;
        walk.enter(b"", folder)?;
        Ok(walk)
    }

    /// The next name, or `None` after the last one.
    pub fn next_step(&mut self) -> io::Result<Option<Step>> {
        while let Some(level) = self.levels.last_mut() {
            let Some((name, kind)) = level.names.pop() else {
                self.levels.pop();
                continue;
            };
            self.path.truncate(level.path);
            let Some(folder) = self.folder()? else {
                self.levels.pop();
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.as_bytes());
            if self.path.len() > LONGEST_PATH {
                let start = String::from_utf8_lossy(&self.path[..60]).into_owned();
                let text = format!("the path {start:?}... is longer than {LONGEST_PATH} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidFilename, text));
            }
            return Ok(Some(Step { path: self.path.clone(), name, folder, kind }));
        }
        Ok(None)
    }

    /// Goes on with what is in `folder`, which is the latest step.
    pub fn enter(&mut self, path: &[u8], folder: OwnedFd) -> io::Result<()> {
        let mut names = list(folder.as_fd())?;
        names.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        if let Some(far) = self.levels.len().checked_sub(OPEN) {
            self.levels[far].folder = None;
        }
        self.levels.push(Level { folder: Some(Rc::new(folder)), path: path.len(), names });
        Ok(())
    }

    /// Whether the folder that was entered last has `name`; before the next step.
    pub fn has_listed(&self, name: &CStr) -> bool {
        let names = self.levels.last().map_or(&[][..], |level| &level.names);
        names.binary_search_by(|(other, _)| name.cmp(other)).is_ok()
    }

    /// The folder of the current level; `None` when it is gone meanwhile.
    fn folder(&mut self) -> io::Result<Option<Rc<OwnedFd>>> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        if let Some(open) = &level.folder {
            return Ok(Some(Rc::clone(open)));
        }
        let path = CString::new(&self.path[..level.path])?;
        let found = open_folder_across(self.root, &path, self.mounts).map(Rc::new);
        match found {
            Ok(folder) => {
                level.folder = Some(Rc::clone(&folder));
                Ok(Some(folder))
            }
            Err(e) if is_gone(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Opens a folder below another for listing; no symlink and no mount point on the way.
pub fn open_folder(root: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// [`open_folder`], also into other mounts where `mounts` says so.
pub fn open_folder_across(root: BorrowedFd<'_>, path: &CStr, mounts: Mounts) -> io::Result<OwnedFd> {
    Ok(beneath::open_across(root, path.to_bytes(), OFlags::RDONLY | OFlags::DIRECTORY, mounts)?)
}

/// Opens what is at `path` below `root`; no symlink and no mount point on the way.
pub fn open(root: BorrowedFd<'_>, path: &CStr, access: OFlags) -> io::Result<OwnedFd> {
    Ok(beneath::open(root, path.to_bytes(), access)?)
}

/// Somebody removed it, or put something else in its place: a running container may.
pub fn is_gone(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE | Errno::NXIO))
}

fn list(folder: BorrowedFd<'_>) -> io::Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = match entry {
            // The folder was removed while it is open.
            Err(Errno::NOENT) => break,
            other => other?,
        };
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn all(root: &fs::File) -> Vec<String> {
        let mut walk = Walk::new(root.as_fd()).unwrap();
        let mut found = Vec::new();
        while let Some(step) = walk.next_step().unwrap() {
            found.push(String::from_utf8_lossy(&step.path).into_owned());
            if step.kind == FileType::Directory {
                let folder = open_folder(step.folder.as_fd(), &step.name).unwrap();
                walk.enter(&step.path, folder).unwrap();
            }
        }
        found
    }

    #[test]
    fn names_come_sorted_with_parents_first() {
        let root = tempfile::tempdir().unwrap();
        for path in ["b", "a/z", "a/b/c", "a-b"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        let found = all(&fs::File::open(root.path()).unwrap());
        assert_eq!(found, ["a", "a/b", "a/b/c", "a/z", "a-b", "b"]);
    }

    #[test]
    fn a_deep_tree_needs_few_open_folders() {
        let root = tempfile::tempdir().unwrap();
        let deep = vec!["d"; 1500].join("/");
        fs::create_dir_all(root.path().join(&deep)).unwrap();
        for depth in [1, 700, 1400] {
            fs::write(root.path().join(&deep[..depth * 2]).join("after"), b"").unwrap();
        }
        let open = fs::File::open(root.path()).unwrap();
        assert_eq!(all(&open).len(), 1503);
    }
}
