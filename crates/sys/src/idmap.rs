//! Id-mapped mounts: mount_setattr(2), Linux 5.12.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Gives a detached mount the id map of a user namespace: what is 0 on disk is the namespace's 0 to who looks through
/// the mount.
///
/// Linux 5.12; EINVAL means that the file system cannot be id-mapped, or that the mount is mapped or attached already.
pub fn set_idmap(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    let userns_fd = u64::try_from(user_namespace.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd };
    // SAFETY: the path is an empty NUL-terminated literal and the structure lives until the call returns; the kernel
    // reads as many bytes of it as it is told. Both fds are borrowed, so they stay open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
