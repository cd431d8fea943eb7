//! Fills a new tmpfs with the files of the folder it will cover (`tmpcopyup`), by descriptors alone.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Folders in folders, each of which costs two descriptors.
const DEEPEST: u32 = 400;
/// One call of sendfile(2) moves at most this many bytes.
const CHUNK: usize = 1 << 30;

/// Copies everything in `source` into `target`, both folders: owners, modes, times, attributes, links and nodes. Names that are
/// links of one file become files of their own.
pub(super) fn copy(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    // What comes from fsmount(2) cannot be written to itself.
    let target = rustix::fs::openat(target, ".", FOLDER, Mode::empty())?;
    folder(source, target.as_fd(), DEEPEST)
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn folder(source: BorrowedFd<'_>, target: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
    let left = depth.checked_sub(1).ok_or(Errno::NAMETOOLONG)?;
    for entry in Dir::read_from(source)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            one(source, target, name, left)?;
        }
    }
    let stat = rustix::fs::fstat(source)?;
    attributes(source, target)?;
    dress(target, &stat)
}

fn one(source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<(), Errno> {
    let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let from = rustix::fs::openat(source, name, FOLDER, Mode::empty())?;
            rustix::fs::mkdirat(target, name, Mode::from_raw_mode(0o700))?;
            folder(from.as_fd(), rustix::fs::openat(target, name, FOLDER, Mode::empty())?.as_fd(), depth)
        }
        FileType::RegularFile => file(source, target, name),
        FileType::Symlink => {
            rustix::fs::symlinkat(rustix::fs::readlinkat(source, name, Vec::new())?, target, name)?;
            own(target, name, &stat)
        }
        sort => {
            rustix::fs::mknodat(target, name, sort, Mode::from_raw_mode(stat.st_mode), stat.st_rdev)?;
            own(target, name, &stat)
        }
    }
}

fn own(folder: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn file(source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // Something else may stand there by now, and opening that may wait for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let from = rustix::fs::openat(source, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::STALE);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(target, name, flags, Mode::from_raw_mode(0o600))?;
    bytes(&from, &to)?;
    attributes(from.as_fd(), to.as_fd())?;
    dress(to.as_fd(), &stat)
}

fn bytes(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    while rustix::fs::sendfile(to, from, None, CHUNK)? > 0 {}
    Ok(())
}

/// Extended attributes. What a tmpfs does not keep (before Linux 6.6 those of users), or this process may not set, is lost.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut names = vec![0_u8; 64 << 10];
    let length = match rustix::fs::flistxattr(from, names.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) | Ok(0) => return Ok(()),
        other => other?,
    };
    let mut value = vec![0_u8; 64 << 10];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let length = rustix::fs::fgetxattr(from, name, value.as_mut_slice())?;
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Owner first: changing it clears set-user-ID, and capabilities of files.
fn dress(target: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(target, Some(uid), Some(gid))?;
    rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let nanoseconds = |nanoseconds: u64| nanoseconds.try_into().unwrap_or_default();
    let last_access = Timespec { tv_sec: stat.st_atime, tv_nsec: nanoseconds(stat.st_atime_nsec) };
    let last_modification = Timespec { tv_sec: stat.st_mtime, tv_nsec: nanoseconds(stat.st_mtime_nsec) };
    rustix::fs::futimens(target, &Timestamps { last_access, last_modification })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::Path;

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, FOLDER, Mode::empty()).unwrap()
    }

    #[test]
    fn a_tree_is_copied_with_owners_modes_and_links() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(from.path().join("a")).unwrap();
        std::fs::write(from.path().join("a/file"), "x".repeat(70_000)).unwrap();
        std::fs::set_permissions(from.path().join("a/file"), PermissionsExt::from_mode(0o4711)).unwrap();
        std::fs::set_permissions(from.path().join("a"), PermissionsExt::from_mode(0o1777)).unwrap();
        symlink("/nowhere", from.path().join("a/link")).unwrap();
        rustix::fs::mknodat(open(from.path()), "pipe", FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
        let root = rustix::process::geteuid().is_root();
        if root {
            chown(from.path().join("a"), Some(5), Some(6)).unwrap();
        }
        copy(open(from.path()).as_fd(), open(to.path()).as_fd()).unwrap();
        let look = |name: &str| std::fs::symlink_metadata(to.path().join(name)).unwrap();
        assert_eq!((look("a").mode() & 0o7777, look("a/file").mode() & 0o7777), (0o1777, 0o4711));
        assert_eq!((look("a/file").len(), look("pipe").mode() & 0o170_000), (70_000, 0o010_000));
        assert_eq!(std::fs::read_link(to.path().join("a/link")).unwrap(), Path::new("/nowhere"));
        assert!(!root || (look("a").uid(), look("a").gid()) == (5, 6));
        assert_eq!(look("a/file").mtime(), std::fs::metadata(from.path().join("a/file")).unwrap().mtime());
    }

    #[test]
    fn folders_in_folders_come_to_an_end() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(from.path().join("x/".repeat(usize::try_from(DEEPEST).unwrap()))).unwrap();
        assert_eq!(copy(open(from.path()).as_fd(), open(to.path()).as_fd()), Err(Errno::NAMETOOLONG));
    }
}
