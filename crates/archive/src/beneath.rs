//! What is opened of a tree: below its root, never through a link or into another mount, and no device by accident.

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What is done about a mount on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mounts {
    /// It is not entered.
    #[default]
    Stay,
    /// It is a part of the tree.
    Cross,
}

/// Opens what is at `path` below `root` (empty: the root itself), on the root's own mount.
pub fn open(root: BorrowedFd<'_>, path: &[u8], access: OFlags) -> Result<OwnedFd, Errno> {
    open_across(root, path, access, Mounts::Stay)
}

/// [`open`], also into other mounts where `mounts` says so.
pub fn open_across(root: BorrowedFd<'_>, path: &[u8], access: OFlags, mounts: Mounts) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    resolve.set(ResolveFlags::NO_XDEV, mounts == Mounts::Stay);
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            // A rename elsewhere on the system raced with the walk (openat2(2), EAGAIN).
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Opens a regular file for reading; ENXIO for anything else.
///
/// Opening a device does things (a watchdog starts, a tape rewinds), and a name can become one after it was listed: so it
/// is looked at first, and what was looked at is what is opened.
pub fn open_file(root: BorrowedFd<'_>, path: &[u8], mounts: Mounts) -> Result<OwnedFd, Errno> {
    read_file(open_across(root, path, OFlags::PATH, mounts)?.as_fd())
}

/// Opens for reading what an O_PATH descriptor refers to; ENXIO when it is no regular file.
pub fn read_file(seen: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    if FileType::from_raw_mode(rustix::fs::fstat(seen)?.st_mode) != FileType::RegularFile {
        return Err(Errno::NXIO);
    }
    let again = format!("/proc/self/fd/{}", seen.as_fd().as_raw_fd());
    rustix::fs::open(again, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_files_are_opened_and_only_below_the_root() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("root/folder")).unwrap();
        fs::write(folder.path().join("outside"), b"x").unwrap();
        fs::write(folder.path().join("root/file"), b"x").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("root/link")).unwrap();
        let root = fs::File::open(folder.path().join("root")).unwrap();
        let fifo = FileType::Fifo;
        rustix::fs::mknodat(&root, "fifo", fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let open = |path: &[u8]| open_file(root.as_fd(), path, Mounts::Stay).map(|_| ());
        assert_eq!(open(b"file"), Ok(()));
        assert_eq!(open(b"fifo"), Err(Errno::NXIO));
        assert_eq!(open(b"folder"), Err(Errno::NXIO));
        // O_PATH with O_NOFOLLOW opens the link itself, RESOLVE_NO_SYMLINKS forbids even that.
        assert!(matches!(open(b"link"), Err(Errno::LOOP | Errno::NXIO)));
        assert_eq!(open(b"../outside"), Err(Errno::XDEV));
    }
}
