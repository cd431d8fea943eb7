//! Folders and files put into a tree in the making, never outside of its root.
//!
//! A path of a Dockerfile is one inside the image: its symlinks lead where they lead there (openat2(2), RESOLVE_IN_ROOT).

use crate::{Error, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Who owns what is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Opens what is at `path` of a tree, links followed; `None` when nothing is.
pub(crate) fn find(root: BorrowedFd<'_>, path: &[u8], access: OFlags) -> Result<Option<OwnedFd>> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root, OsStr::from_bytes(path), access | OFlags::CLOEXEC, Mode::empty(), inside) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOENT) => return Ok(None),
            other => return other.map(Some).map_err(Error::errno(format!("open {}", shown(path)))),
        }
    }
}

/// The folder at `path` (clean, without a slash at either end), made with all that leads to it where it is missing.
pub(crate) fn folder(root: BorrowedFd<'_>, path: &[u8], owner: Owner, mode: u32) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    if let Some(found) = find(root, path, flags)? {
        return Ok(found);
    }
    let mut open = find(root, b"", flags)?.ok_or_else(|| Error::Invalid("a root without a folder".to_owned()))?;
    let mut end = 0;
    for part in path.split(|byte| *byte == b'/') {
        end = (end + part.len() + usize::from(end > 0)).min(path.len());
        let so_far = &path[..end];
        open = match find(root, so_far, flags)? {
            Some(found) => found,
            None => made(open.as_fd(), part, owner, mode).map_err(Error::errno(format!("make {}", shown(so_far))))?,
        };
    }
    Ok(open)
}

fn made(parent: BorrowedFd<'_>, name: &[u8], owner: Owner, mode: u32) -> rustix::io::Result<OwnedFd> {
    let name = OsStr::from_bytes(name);
    rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    rustix::fs::fchown(&folder, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode))?;
    Ok(folder)
}

/// Takes away what is at a name, a folder only when `folder` gives way to it: something else is to be there.
pub(crate) fn make_room(parent: BorrowedFd<'_>, name: &[u8], kind: FileType) -> Result<Occupied> {
    let os_name = OsStr::from_bytes(name);
    let there = match rustix::fs::statat(parent, os_name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Occupied::No),
        other => FileType::from_raw_mode(other.map_err(Error::errno(format!("look at {}", shown(name))))?.st_mode),
    };
    match (there, kind) {
        (FileType::Directory, FileType::Directory) => Ok(Occupied::Folder),
        (FileType::Directory, _) => Err(Error::Invalid(format!("cannot copy to existing directory: {}", shown(name)))),
        // What is a folder in the source follows a symlink to a folder that is there.
        (FileType::Symlink, FileType::Directory) => Ok(Occupied::Link),
        (_, FileType::Directory) => Err(Error::Invalid(format!("cannot copy a directory to the file {}", shown(name)))),
        _ => {
            let removed = rustix::fs::unlinkat(parent, os_name, AtFlags::empty());
            removed.map_err(Error::errno(format!("replace {}", shown(name))))?;
            Ok(Occupied::No)
        }
    }
}

/// Symlinks that follow each other at most, as in the kernel.
const MOST_LINKS: usize = 40;

/// Where a path leads whose last part is a symlink, in this tree: what is copied there takes the place of what the link means.
pub(crate) fn behind_links(root: BorrowedFd<'_>, path: Vec<u8>) -> Result<Vec<u8>> {
    let mut path = path;
    for _ in 0..MOST_LINKS {
        let at = path.iter().rposition(|byte| *byte == b'/');
        let (above, name) = at.map_or((&b""[..], &path[..]), |at| (&path[..at], &path[at + 1..]));
        let Some(folder) = find(root, above, OFlags::PATH | OFlags::DIRECTORY)? else { return Ok(path) };
        let target = match rustix::fs::readlinkat(&folder, OsStr::from_bytes(name), Vec::new()) {
            Err(Errno::INVAL | Errno::NOENT) => return Ok(path),
            other => other.map_err(Error::errno(format!("read the link {}", shown(&path))))?.into_bytes(),
        };
        let whole = if target.starts_with(b"/") { target } else { [above, b"/", &target].concat() };
        path = crate::context::cleaned(&String::from_utf8_lossy(&whole)).into_bytes();
    }
    Err(Error::errno(format!("copy to {}", shown(&path)))(Errno::LOOP))
}

/// What is at the place of something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupied {
    No,
    /// A folder that a folder is merged with.
    Folder,
    /// A symlink where a folder is to be.
    Link,
}

pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
