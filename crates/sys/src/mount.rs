//! Attributes of mounts: mount_setattr(2), Linux 5.12.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// MOUNT_ATTR_ bits, linux/mount.h.
pub mod attribute {
    pub const RDONLY: u64 = 0x1;
    pub const NOSUID: u64 = 0x2;
    pub const NODEV: u64 = 0x4;
    pub const NOEXEC: u64 = 0x8;
    /// The field that the three below are values of.
    pub const ATIME_FIELD: u64 = 0x70;
    pub const RELATIME: u64 = 0x0;
    pub const NOATIME: u64 = 0x10;
    pub const STRICTATIME: u64 = 0x20;
    pub const NODIRATIME: u64 = 0x80;
    pub const IDMAP: u64 = 0x10_0000;
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
}

/// How mounts and unmounts spread between copies of a mount, mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    Shared,
    Private,
    Slave,
    Unbindable,
}

/// What to change of a mount. The default changes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// `attribute` bits to set.
    pub set: u64,
    /// `attribute` bits to clear; to set a kind of atime, clear `ATIME_FIELD` too.
    pub clear: u64,
    pub propagation: Option<Propagation>,
    /// The user namespace by whose maps ids are translated; only for a detached mount that has none yet.
    pub id_map: Option<BorrowedFd<'a>>,
}

/// Which mounts are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    One,
    /// The mount and all below it, or none of them when one cannot be changed.
    Recursive,
}

/// Changes the mount whose root `mount` refers to (O_PATH or a mount object).
///
/// EINVAL or EPERM for an `id_map` mean that this file system, or this mount, cannot be id-mapped.
pub fn set_attributes(mount: BorrowedFd<'_>, change: Change<'_>, reach: Reach) -> io::Result<()> {
    let mut attributes = libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation.map_or(0, propagation_bits),
        userns_fd: 0,
    };
    if let Some(user) = change.id_map {
        attributes.attr_set |= attribute::IDMAP;
        attributes.userns_fd = u64::from(user.as_raw_fd().unsigned_abs());
    }
    let recursive = if reach == Reach::Recursive { libc::AT_RECURSIVE } else { 0 };
    let (fd, flags) = (mount.as_raw_fd(), libc::AT_EMPTY_PATH | recursive);
    let (pointer, size) = (&raw const attributes, size_of::<libc::mount_attr>());
    // SAFETY: `attributes` lives through the call and `size` is its size; the path is the empty string.
    match unsafe { libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, pointer, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

const fn propagation_bits(propagation: Propagation) -> u64 {
    match propagation {
        Propagation::Unbindable => 1 << 17,
        Propagation::Private => 1 << 18,
        Propagation::Slave => 1 << 19,
        Propagation::Shared => 1 << 20,
    }
}
