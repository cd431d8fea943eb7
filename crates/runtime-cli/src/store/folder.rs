//! The folder of one container: opened, held against other calls, removed. Whoever changes what is in it holds its lock (flock).

use super::{CONFIG, GATE, GROUPS, STATE};
use crate::error::{Error, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// `None` when there is none.
pub fn open(path: &Path) -> rustix::io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        opened => opened.map(Some),
    }
}

/// The same, held. Who waited for one that was removed meanwhile looks anew: the next of that name is another container.
pub fn open_locked(path: &Path) -> rustix::io::Result<Option<OwnedFd>> {
    while let Some(folder) = open(path)? {
        lock(&folder)?;
        if is_at(&folder, path)? {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

pub fn lock(folder: &OwnedFd) -> rustix::io::Result<()> {
    rustix::io::retry_on_intr(|| rustix::fs::flock(folder, FlockOperation::LockExclusive))
}

pub fn unlock(folder: &OwnedFd) {
    // It can only fail for a descriptor that is none.
    let _ = rustix::fs::flock(folder, FlockOperation::Unlock);
}

/// Whether an open folder is still the one of that name.
pub fn is_at(folder: &OwnedFd, path: &Path) -> rustix::io::Result<bool> {
    let opened = rustix::fs::fstat(folder)?;
    match rustix::fs::lstat(path) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Most often there is nothing in it but what is known.
pub fn remove(path: &Path) -> Result<()> {
    for name in [GATE, GROUPS, CONFIG, STATE] {
        let _ = fs::remove_file(path.join(name));
    }
    match fs::remove_dir(path).or_else(|_| fs::remove_dir_all(path)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::because("unable to remove container state dir", &e))
        }
        _ => Ok(()),
    }
}
