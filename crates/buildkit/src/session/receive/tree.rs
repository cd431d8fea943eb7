//! A folder that is written to by names of a client's: nothing on the way to one is a link or another mount.

use super::order::Place;
use super::{Error, Result, failed, refused};
use crate::session::wire::{self, Stat};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The mode of a file that is not complete: its time may by chance be the one that it is to have (clocks of file systems tick every
/// few milliseconds).
const INCOMPLETE: u32 = 0o1000;

pub struct Tree {
    root: OwnedFd,
    /// The folder that was used last.
    current: Option<(Vec<u8>, OwnedFd)>,
}

impl Tree {
    pub fn new(root: OwnedFd) -> Tree {
        Tree { root, current: None }
    }

    fn open(&self, path: &[u8], access: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        let inside =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        loop {
            match rustix::fs::openat2(&self.root, OsStr::from_bytes(path), access | OFlags::CLOEXEC, mode, inside) {
                // A rename elsewhere raced with the walk (openat2(2), EAGAIN).
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// The folder at `path`, open.
    fn folder(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>> {
        if self.current.as_ref().is_none_or(|(current, _)| current != path) {
            let open = self.open(path, FOLDER, Mode::empty()).map_err(errno("open the folder", path))?;
            self.current = Some((path.to_vec(), open));
        }
        Ok(self.current.as_ref().map_or(self.root.as_fd(), |(_, open)| open.as_fd()))
    }

    /// The folder and the name in it.
    fn at<'a>(&mut self, place: &Place<'a>) -> Result<(BorrowedFd<'_>, &'a OsStr)> {
        let name = OsStr::from_bytes(place.name);
        Ok((self.folder(place.folder)?, name))
    }

    /// What is in a folder.
    pub fn list(&mut self, path: &[u8]) -> Result<HashMap<Vec<u8>, FileType>> {
        let entries = base::tree::entries(self.folder(path)?).map_err(errno("list", path))?;
        Ok(entries.into_iter().map(|(name, kind)| (name.into_bytes(), kind)).collect())
    }

    /// Removes names of a folder, with all below them.
    pub fn remove_all(&mut self, path: &[u8], names: &HashMap<Vec<u8>, FileType>) -> Result<()> {
        for name in names.keys() {
            remove(self.folder(path)?, OsStr::from_bytes(name)).map_err(errno("remove", name))?;
        }
        Ok(())
    }

    /// Nothing is at a place any more.
    pub fn clear(&mut self, place: &Place<'_>) -> Result<()> {
        if place.before.is_none() {
            return Ok(());
        }
        let (folder, name) = self.at(place)?;
        remove(folder, name).map_err(errno("remove", place.name))
    }

    pub fn is_folder(&mut self, place: &Place<'_>) -> Result<bool> {
        Ok(self.stat(place)?.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }

    /// Whether what is at a place may not be touched, as somebody may read it. Into a folder more may be put, and what is not
    /// complete nobody has asked for.
    pub fn stays(&mut self, place: &Place<'_>, kind: FileType) -> Result<bool> {
        let Some(found) = self.stat(place)? else { return Ok(false) };
        let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        if is_folder != (kind == FileType::Directory) {
            return Err(refused(&path_of(place), "it changed while a build read it"));
        }
        Ok(!is_folder && found.st_mode & 0o7777 != INCOMPLETE)
    }

    fn stat(&mut self, place: &Place<'_>) -> Result<Option<rustix::fs::Stat>> {
        let (folder, name) = self.at(place)?;
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            other => other.map(Some).map_err(errno("look at", place.name)),
        }
    }

    pub fn make_folder(&mut self, place: &Place<'_>) -> Result<()> {
        self.clear(place)?;
        let (folder, name) = self.at(place)?;
        rustix::fs::mkdirat(folder, name, Mode::RWXU).map_err(errno("make the folder", place.name))
    }

    /// Whether the same link is there.
    pub fn is_link(&mut self, place: &Place<'_>, wanted: &Stat) -> Result<bool> {
        let Some(found) = self.stat(place)? else { return Ok(false) };
        if FileType::from_raw_mode(found.st_mode) != FileType::Symlink || modified(&found) != wanted.modified {
            return Ok(false);
        }
        let (folder, name) = self.at(place)?;
        let target = rustix::fs::readlinkat(folder, name, Vec::new()).map_err(errno("read the link", place.name))?;
        Ok(target.as_bytes() == wanted.link)
    }

    pub fn make_link(&mut self, place: &Place<'_>, wanted: &Stat) -> Result<()> {
        self.clear(place)?;
        let (folder, name) = self.at(place)?;
        rustix::fs::symlinkat(OsStr::from_bytes(&wanted.link), folder, name)
            .and_then(|()| rustix::fs::utimensat(folder, name, &times(wanted.modified), AtFlags::SYMLINK_NOFOLLOW))
            .map_err(errno("make the link", place.name))
    }

    /// Whether the same file is there: as large and as old. Its mode is then made the same.
    pub fn is_file(&mut self, place: &Place<'_>, wanted: &Stat) -> Result<bool> {
        let Some(found) = self.stat(place)? else { return Ok(false) };
        let same = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
            && found.st_size == wanted.size
            && modified(&found) == wanted.modified
            && found.st_mode & 0o7777 != INCOMPLETE;
        let mode = wire::permissions(wanted.mode);
        if !same || found.st_mode & 0o7777 == mode {
            return Ok(same);
        }
        // Another name may have kept the old mode.
        if found.st_nlink > 1 {
            return Ok(false);
        }
        let file = self.open(&path_of(place), OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty());
        let changed = file.and_then(|file| rustix::fs::fchmod(file, Mode::from_raw_mode(mode)));
        changed.map(|()| true).map_err(errno("change the mode of", place.name))
    }

    /// A new file for a content.
    pub fn create(&mut self, path: &[u8]) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = self.open(path, flags, Mode::from_raw_mode(INCOMPLETE)).map_err(errno("make the file", path))?;
        Ok(File::from(file))
    }

    pub fn make_pipe(&mut self, place: &Place<'_>, wanted: &Stat) -> Result<()> {
        self.clear(place)?;
        let (folder, name) = self.at(place)?;
        let mode = Mode::from_raw_mode(wire::permissions(wanted.mode) & 0o777);
        rustix::fs::mknodat(folder, name, FileType::Fifo, mode, 0)
            .and_then(|()| rustix::fs::utimensat(folder, name, &times(wanted.modified), AtFlags::SYMLINK_NOFOLLOW))
            .map_err(errno("make the pipe", place.name))
    }

    /// `path` is another name of the file at `target`.
    pub fn make_name(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let missing = |e| match e {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
                refused(path, "it is another name of a file that is not there")
            }
            other => errno("look at", target)(other),
        };
        let file = self.open(target, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).map_err(missing)?;
        let wanted = rustix::fs::fstat(&file).map_err(errno("look at", target))?;
        if FileType::from_raw_mode(wanted.st_mode) != FileType::RegularFile {
            return Err(refused(path, "it is another name of what is no file"));
        }
        let (folder, name) = split(path);
        let folder = self.folder(folder)?;
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino) => return Ok(()),
            Ok(_) => remove(folder, name).map_err(errno("remove", path))?,
            Err(Errno::NOENT) => {}
            Err(e) => return Err(errno("look at", path)(e)),
        }
        let from = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        rustix::fs::linkat(CWD, from, folder, name, AtFlags::SYMLINK_FOLLOW).map_err(errno("name", path))
    }

    /// A folder gets its mode and its time.
    pub fn complete_folder(&mut self, stat: &Stat) -> Result<()> {
        let folder = self.folder(&stat.path)?;
        let found = rustix::fs::fstat(folder).map_err(errno("look at", &stat.path))?;
        if found.st_mode & 0o7777 != wire::permissions(stat.mode) || modified(&found) != stat.modified {
            complete(folder, stat)?;
        }
        Ok(())
    }
}

/// Mode and time, of what is complete.
pub fn complete(file: BorrowedFd<'_>, stat: &Stat) -> Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(wire::permissions(stat.mode)))
        .and_then(|()| rustix::fs::futimens(file, &times(stat.modified)))
        .map_err(errno("complete", &stat.path))
}

/// Removes a name, with all below it.
fn remove(folder: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(Errno::NOENT) => return Ok(()),
        other => return other,
    }
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let own = rustix::fs::openat2(folder, name, FOLDER, Mode::empty(), inside)?;
    base::tree::empty(own.as_fd())?;
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

fn path_of(place: &Place<'_>) -> Vec<u8> {
    if place.folder.is_empty() { place.name.to_vec() } else { [place.folder, b"/", place.name].concat() }
}

fn split(path: &[u8]) -> (&[u8], &OsStr) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], OsStr::from_bytes(&path[at + 1..])),
        None => (b"", OsStr::from_bytes(path)),
    }
}

const BILLION: i64 = 1_000_000_000;

fn modified(stat: &rustix::fs::Stat) -> i64 {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    stat.st_mtime.saturating_mul(BILLION).saturating_add(nanoseconds)
}

fn times(modified: i64) -> Timestamps {
    let time = Timespec { tv_sec: modified.div_euclid(BILLION), tv_nsec: modified.rem_euclid(BILLION) };
    Timestamps { last_access: time, last_modification: time }
}

fn errno(action: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> Error {
    let failed = failed(action, path);
    move |errno| failed(errno.into())
}
