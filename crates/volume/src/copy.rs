//! The walk of a copy-up: folder by folder, by descriptor, one name at a time.
//!
//! The source is a stranger's tree that may change while it is read. Every name is opened below its own folder, without
//! following a link and without leaving the mount (openat2(2)), and what was opened is looked at again. The target is
//! a new folder that nobody else knows.

use crate::file::{self, Attributes};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Folders within folders; each level holds two descriptors.
const MAX_DEPTH: usize = 256;

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// An image's folder: owners are counted from `id_base`; without devices, with what attributes any file system keeps.
    Image { id_base: u32 },
    /// A whole volume, as it is on disk.
    Volume,
}

/// A copy under way.
struct Walk<'a> {
    scope: Scope,
    top: BorrowedFd<'a>,
    /// Where the first name of a file with several was copied to, below `top`.
    copied: HashMap<(u64, u64), CString>,
    /// Names of the folders on the way down.
    path: Vec<CString>,
}

/// Copies what is in `source`, and the attributes of `source` itself, to the empty folder `target`.
pub(crate) fn tree(source: BorrowedFd<'_>, target: BorrowedFd<'_>, scope: Scope) -> Result<(), Errno> {
    // The caller's descriptor may be one for paths only (O_PATH).
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = rustix::fs::openat(source, ".", flags, Mode::empty())?;
    let mut walk = Walk { scope, top: target, copied: HashMap::new(), path: Vec::new() };
    walk.folder(source.as_fd(), target)
}

impl Walk<'_> {
    fn folder(&mut self, source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
        let attributes = Attributes::read(source, self.scope)?;
        for (name, _) in base::tree::entries(source)? {
            match rustix::fs::statat(source, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => self.entry(source, target, &name, &stat)?,
                // Gone meanwhile.
                Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
        }
        attributes.give(target)
    }

    fn entry(&mut self, source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 && self.link(target, name, stat)? {
            return Ok(());
        }
        match kind {
            FileType::Directory => return self.below(source, target, name),
            FileType::RegularFile => self.regular(source, target, name)?,
            FileType::Symlink => self.symlink(source, target, name, stat)?,
            FileType::Fifo => self.node(target, name, stat)?,
            FileType::CharacterDevice | FileType::BlockDevice if self.scope == Scope::Volume => {
                self.node(target, name, stat)?;
            }
            // A device of an image node has no business in a volume, a socket is nothing without its process.
            _ => return Ok(()),
        }
        if stat.st_nlink > 1 {
            self.copied.insert((stat.st_dev, stat.st_ino), self.path_of(name));
        }
        Ok(())
    }

    fn below(&mut self, source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        if self.path.len() >= MAX_DEPTH {
            return Err(Errno::NAMETOOLONG);
        }
        let inner = open_beneath(source, name, OFlags::DIRECTORY)?;
        rustix::fs::mkdirat(target, name, Mode::RWXU)?;
        let made = open_beneath(target, name, OFlags::DIRECTORY)?;
        self.path.push(name.to_owned());
        self.folder(inner.as_fd(), made.as_fd())?;
        self.path.pop();
        Ok(())
    }

    /// Another name of a file that is copied already. False when it has to be copied once more.
    fn link(&self, target: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<bool, Errno> {
        let Some(first) = self.copied.get(&(stat.st_dev, stat.st_ino)) else { return Ok(false) };
        match rustix::fs::linkat(self.top, first, target, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::MLINK | Errno::NAMETOOLONG) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn path_of(&self, name: &CStr) -> CString {
        let mut path = Vec::new();
        for folder in &self.path {
            path.extend_from_slice(folder.to_bytes());
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        CString::new(path).unwrap_or_default()
    }

    fn regular(&self, source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        // O_NONBLOCK: should it be a FIFO by now, opening it must not wait for a writer.
        let from = open_beneath(source, name, OFlags::NONBLOCK)?;
        let stat = rustix::fs::fstat(&from)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let attributes = Attributes::of(from.as_fd(), &stat, self.scope)?;
        let to = file::make(target, name)?;
        file::data(&from, &to, u64::try_from(stat.st_size).unwrap_or(0))?;
        attributes.give(to.as_fd())
    }

    fn symlink(&self, source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
        let text = rustix::fs::readlinkat(source, name, Vec::new())?;
        rustix::fs::symlinkat(&text, target, name)?;
        self.own_by_name(target, name, stat)
    }

    /// A pipe or a device.
    fn node(&self, target: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(stat.st_mode);
        rustix::fs::mknodat(target, name, FileType::from_raw_mode(stat.st_mode), mode, stat.st_rdev)?;
        rustix::fs::chmodat(target, name, mode, AtFlags::empty())?;
        self.own_by_name(target, name, stat)
    }

    /// Owner and times of what cannot be opened.
    fn own_by_name(&self, target: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
        let (uid, gid) = file::owner(stat, self.scope);
        rustix::fs::chownat(target, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::utimensat(target, name, &file::times(stat), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// Opens one name in a folder for reading: no link is followed, no mount crossed.
fn open_beneath(folder: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    loop {
        match rustix::fs::openat2(folder, name, flags, Mode::empty(), how) {
            // A rename somewhere raced with the check (openat2(2)).
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
}
