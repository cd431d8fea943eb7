//! Owner, mode, extended attributes and time of what was unpacked, in the order that keeps all of them.
//!
//! chown(2) clears set-user-id bits and `security.capability`; so owner first, then mode, then attributes, the time
//! last.

use crate::overlay::Marks;
use crate::{Entry, EntryKind, owners};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// Of an open file or folder. New files already belong to 0:0.
pub fn on_file(file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    let (uid, gid) = owners::of(entry);
    if uid != 0 || gid != 0 || entry.kind == EntryKind::Folder {
        rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
    for (name, value) in entry.kept_xattrs() {
        tolerate(name, rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()))?;
    }
    Ok(rustix::fs::futimens(file, &times(entry))?)
}

/// Of a symlink, a device or a pipe, which is not opened.
pub fn on_name(folder: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> io::Result<()> {
    let no_follow = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = owners::of(entry);
    if uid != 0 || gid != 0 {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(folder, name, Some(uid), Some(gid), no_follow)?;
    }
    if entry.kind != EntryKind::Symlink {
        rustix::fs::chmodat(folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    for (attribute, value) in entry.kept_xattrs() {
        let path = std::path::PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let path = path.join(OsStr::from_bytes(name));
        tolerate(attribute, rustix::fs::lsetxattr(&path, attribute, value, XattrFlags::empty()))?;
    }
    Ok(rustix::fs::utimensat(folder, name, &times(entry), no_follow)?)
}

/// What this file system or this kernel cannot keep is left out, as other engines do; capabilities are never lost
/// silently.
pub fn tolerate(name: &[u8], set: Result<(), Errno>) -> io::Result<()> {
    match set {
        Err(Errno::OPNOTSUPP) => Ok(()),
        Err(Errno::INVAL | Errno::PERM) if name.starts_with(b"security.") && name != b"security.capability" => Ok(()),
        // `user.` attributes exist on files and folders only (xattr(7)).
        Err(Errno::PERM) if name.starts_with(b"user.") => Ok(()),
        // Root of the machine alone can set these.
        Err(Errno::PERM) if name.starts_with(b"trusted.") && Marks::of_this_process() == Marks::User => Ok(()),
        other => Ok(other?),
    }
}

pub fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.modified.seconds, tv_nsec: entry.modified.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}
