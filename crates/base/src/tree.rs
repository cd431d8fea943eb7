//! Trees of files, however deep: got rid of, or measured, without following a link and with a bounded stack.

use rustix::fs::{AtFlags, Dir, FileType, IFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Folders held open at a time. What lies deeper is first moved up to the top: a tree that a container nested by the
/// thousand must neither exhaust the descriptors nor the stack.
const MAX_DEPTH: usize = 32;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Bytes of a block in `st_blocks` (stat(3type)), whatever the file system.
const BLOCK: u64 = 512;

/// The names in a folder, without `.` and `..`.
pub fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    Ok(entries(folder)?.into_iter().map(|(name, _)| name).collect())
}

/// The names in a folder, and what the folder says they are.
pub fn entries(folder: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(entries)
}

/// Paths of what is in `folder` under names that are not `known`: strangers in a folder that one program keeps.
pub fn others(folder: &Path, known: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !known(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Asks ext4 to place the trees that are made in `folder` far from each other on the disk (`chattr +T`, chattr(1)); other file
/// systems do so anyway, or know no such wish.
///
/// ext4 gives an inode of a deleted file to no other for a minute or five, and looks through all of them for each new file in
/// the same part of the disk: unpacking where a tree was deleted just before takes ten times as long (Linux 6.18,
/// fs/ext4/ialloc.c, `recently_deleted`).
pub fn spread(folder: &Path) {
    let set = || -> Result<(), Errno> {
        let folder = rustix::fs::open(folder, FOLDER, Mode::empty())?;
        let flags = rustix::fs::ioctl_getflags(&folder)?;
        if flags.contains(IFlags::TOPDIR) {
            return Ok(());
        }
        rustix::fs::ioctl_setflags(&folder, flags | IFlags::TOPDIR)
    };
    // A wish: nothing depends on it.
    let _ = set();
}

pub fn is_empty(folder: BorrowedFd<'_>) -> Result<bool, Errno> {
    for entry in Dir::read_from(folder)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes what is at `path` with all that is below it. No link is followed but those on the way to `path`.
pub fn remove(path: &Path) -> io::Result<()> {
    match rustix::fs::open(path, FOLDER, Mode::empty()) {
        Ok(folder) => {
            empty(folder.as_fd())?;
            Ok(rustix::fs::rmdir(path)?)
        }
        Err(Errno::NOTDIR | Errno::LOOP) => Ok(rustix::fs::unlink(path)?),
        Err(e) => Err(e.into()),
    }
}

/// Deletes everything in a folder, which itself stays. What is mounted there is not touched: EBUSY.
pub fn empty(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    // Every round takes at least one level of depth away.
    while !is_empty(folder)? {
        inside(folder, folder, 0)?;
    }
    Ok(())
}

/// A folder in a folder, unless another file system is mounted there: its files are somebody else's.
fn child(folder: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    loop {
        match rustix::fs::openat2(folder, name, FOLDER, Mode::empty(), resolve) {
            // A rename elsewhere on the system raced with the walk (openat2(2), EAGAIN).
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::XDEV) => return Err(Errno::BUSY),
            other => return other,
        }
    }
}

fn inside(folder: BorrowedFd<'_>, top: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
    for (name, kind) in entries(folder)? {
        if kind != FileType::Directory && kind != FileType::Unknown {
            rustix::fs::unlinkat(folder, &name, AtFlags::empty())?;
            continue;
        }
        match child(folder, &name) {
            Ok(_) if depth >= MAX_DEPTH => {
                rustix::fs::renameat(folder, &name, top, format!("deep-{}", crate::Id::random()))?;
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

/// Bytes that the tree at `path` takes up on disk, folders included, each inode once: what `du -s` says. What vanishes
/// meanwhile counts nothing.
pub fn disk_usage(path: &Path) -> io::Result<u64> {
    let top = rustix::fs::open(path, FOLDER, Mode::empty())?;
    let mut bytes = blocks(&rustix::fs::fstat(&top)?);
    let mut links = HashSet::new();
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let open = match open_below(&top, &folder) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            other => other?,
        };
        for name in names(open.as_fd())? {
            let stat = match rustix::fs::statat(&open, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_folder || stat.st_nlink == 1 || links.insert((stat.st_dev, stat.st_ino)) {
                bytes += blocks(&stat);
            }
            if is_folder {
                folders.push(below(&folder, name.to_bytes()));
            }
        }
    }
    Ok(bytes)
}

/// Bytes on disk of one file or folder.
pub fn blocks(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK
}

fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') }
}

fn open_below(top: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(top, path, FOLDER, Mode::empty(), resolve) {
            // A rename elsewhere on the system raced with the walk (openat2(2), EAGAIN).
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_tree_that_is_deeper_than_the_stack_goes_and_what_its_links_point_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        fs::write(folder.path().join("kept"), b"x").unwrap();
        let mut open = rustix::fs::open(&top, FOLDER, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::symlinkat("/proc", &open, "link").unwrap();
            rustix::fs::mkdirat(&open, "d", Mode::from_raw_mode(0o700)).unwrap();
            open = rustix::fs::openat(&open, "d", FOLDER, Mode::empty()).unwrap();
        }
        std::os::unix::fs::symlink(folder.path().join("kept"), top.join("out")).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists());
        remove(&folder.path().join("kept")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn usage_is_what_du_says() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        fs::write(folder.path().join("a/b/file"), vec![1; 300_000]).unwrap();
        fs::hard_link(folder.path().join("a/b/file"), folder.path().join("a/same")).unwrap();
        fs::File::create(folder.path().join("hole")).unwrap().set_len(1 << 30).unwrap();
        let du = std::process::Command::new("du").args(["-s", "-B1"]).arg(folder.path()).output().unwrap();
        let du = String::from_utf8(du.stdout).unwrap();
        assert_eq!(disk_usage(folder.path()).unwrap().to_string(), du.split_whitespace().next().unwrap());
    }
}
