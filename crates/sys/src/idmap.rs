//! Id-mapped mounts: mount_setattr(2), Linux 5.12.

use crate::mount::{Change, Reach, set_attributes};
use std::io;
use std::os::fd::BorrowedFd;

/// Gives a detached mount the id map of a user namespace: what is 0 on disk is the namespace's 0 to who looks through
/// the mount.
///
/// Linux 5.12; EINVAL means that the file system cannot be id-mapped, or that the mount is mapped or attached already.
pub fn set_idmap(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    set_attributes(mount, Change { id_map: Some(user_namespace), ..Change::default() }, Reach::One)
}
