//! What is made and not opened: symlinks, devices and pipes; and whose capabilities count.

use crate::extract::attributes;
use crate::{Entry, EntryKind, beneath, owners};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags, makedev};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;

/// Makes `name` in `folder`. Its mode and attributes are given to what was made, not to what has the name then: a symlink that
/// took its place would lead the engine anywhere.
pub(super) fn make(folder: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> io::Result<()> {
    let (uid, gid) = owners::of(entry);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let Some(kind) = kind(entry.kind) else {
        rustix::fs::symlinkat(&entry.link[..], folder, name)?;
        rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        return Ok(rustix::fs::utimensat(folder, name, &attributes::times(entry), AtFlags::SYMLINK_NOFOLLOW)?);
    };
    let device = makedev(entry.device.0, entry.device.1);
    let device = if kind == FileType::Fifo { 0 } else { device };
    rustix::fs::mknodat(folder, name, kind, Mode::RUSR | Mode::WUSR, device)?;
    let made = beneath::open(folder, name, OFlags::PATH)?;
    let stat = rustix::fs::fstat(&made)?;
    if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_rdev != device {
        return Err(Errno::STALE.into());
    }
    rustix::fs::chownat(&made, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    let itself = PathBuf::from(format!("/proc/self/fd/{}", made.as_raw_fd()));
    rustix::fs::chmodat(rustix::fs::CWD, &itself, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    for (attribute, value) in entry.kept_xattrs() {
        attributes::tolerate(attribute, rustix::fs::setxattr(&itself, attribute, value, XattrFlags::empty()))?;
    }
    Ok(rustix::fs::utimensat(rustix::fs::CWD, &itself, &attributes::times(entry), AtFlags::empty())?)
}

/// `None` is a symlink.
fn kind(kind: EntryKind) -> Option<FileType> {
    match kind {
        EntryKind::Char => Some(FileType::CharacterDevice),
        EntryKind::Block => Some(FileType::BlockDevice),
        EntryKind::Fifo => Some(FileType::Fifo),
        _ => None,
    }
}

/// A capability of the container's root, as this process must write it: with that root's id (`vfs_ns_cap_data`,
/// include/uapi/linux/capability.h). A plain one could not be written through an id-mapped mount.
pub(super) fn own_capability(entry: &mut Entry, owner: u32) {
    const VERSION_2: u8 = 2;
    const VERSION_3: u8 = 3;
    const LENGTH_2: usize = 20;
    for (name, value) in &mut entry.xattrs {
        if name == b"security.capability" && value.len() == LENGTH_2 && value[3] == VERSION_2 {
            value[3] = VERSION_3;
            value.extend(owner.to_le_bytes());
        }
    }
}
