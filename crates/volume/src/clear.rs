//! Getting rid of a tree, however deep, without following a link.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Folders held open at a time. What lies deeper is first moved up to the top: a tree that a container nested by the
/// thousand must neither exhaust the descriptors nor the stack.
const MAX_DEPTH: usize = 32;

/// The names in a folder, without `.` and `..`.
pub(crate) fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    Ok(entries(folder)?.into_iter().map(|(name, _)| name).collect())
}

/// The names in a folder, and what the folder says they are.
pub(crate) fn entries(folder: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(entries)
}

pub(crate) fn is_empty(folder: BorrowedFd<'_>) -> Result<bool, Errno> {
    for entry in Dir::read_from(folder)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes what is at `path` with all that is below it: a tree of any depth, with a bounded number of open files and a bounded
/// stack. No link is followed but those on the way to `path`.
pub fn tree(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(folder) => {
            all(folder.as_fd())?;
            Ok(rustix::fs::rmdir(path)?)
        }
        Err(Errno::NOTDIR | Errno::LOOP) => Ok(rustix::fs::unlink(path)?),
        Err(e) => Err(e.into()),
    }
}

/// Deletes everything in a folder, which itself stays.
pub(crate) fn all(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    // Every round takes at least one level of depth away.
    while !is_empty(folder)? {
        inside(folder, folder, 0)?;
    }
    Ok(())
}

fn inside(folder: BorrowedFd<'_>, top: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
    for (name, kind) in entries(folder)? {
        if kind != FileType::Directory && kind != FileType::Unknown {
            rustix::fs::unlinkat(folder, &name, AtFlags::empty())?;
            continue;
        }
        match open_below(folder, &name) {
            Ok(_) if depth >= MAX_DEPTH => {
                rustix::fs::renameat(folder, &name, top, format!("deep-{}", base::Id::random()))?;
            }
            Ok(child) => {
                inside(child.as_fd(), top, depth + 1)?;
                rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR)?;
            }
            Err(Errno::NOTDIR | Errno::LOOP) => rustix::fs::unlinkat(folder, &name, AtFlags::empty())?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn open_below(folder: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}
