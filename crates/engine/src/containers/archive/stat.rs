//! What a path of a container is.

use super::path::{base, evaluated};
use crate::{Error, Result};
use archive::pack::Look;
use rustix::fs::{AtFlags, FileType, StatVfsMountFlags, StatxFlags};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// What a path of a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    pub name: String,
    /// Bytes
    pub size: u64,
    pub kind: FileType,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// Seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// Where a symlink leads in the end; else empty.
    pub link_target: String,
}

pub(super) fn of(root: BorrowedFd<'_>, seen: BorrowedFd<'_>, path: &str) -> Result<FileStat> {
    let look = Look::of_open(seen).map_err(|source| Error::Io { action: format!("look at {path}"), source })?;
    let link_target = match look.kind {
        FileType::Symlink => evaluated(root, path).map_err(|e| super::failed("lstat", path, e))?,
        _ => String::new(),
    };
    Ok(FileStat {
        name: base(path).to_owned(),
        size: look.size,
        kind: look.kind,
        mode: look.mode,
        modified: (look.modified.seconds, look.modified.nanoseconds),
        link_target,
    })
}

pub(super) fn is_folder(seen: BorrowedFd<'_>) -> std::result::Result<bool, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(seen)?.st_mode) == FileType::Directory)
}

/// Whether nothing can be written there. The root of a container that does not run is mounted for writing all the same.
pub(super) fn is_read_only(folder: BorrowedFd<'_>, root: BorrowedFd<'_>, readonly_rootfs: bool) -> bool {
    let flags = rustix::fs::fstatvfs(folder).map(|stat| stat.f_flag);
    flags.is_ok_and(|flags| flags.contains(StatVfsMountFlags::RDONLY))
        || (readonly_rootfs && is_same_mount(folder, root))
}

/// Whether both lie in one mount.
pub(super) fn is_same_mount(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let id = |fd| rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|stat| stat.stx_mnt_id);
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}
