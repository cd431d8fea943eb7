//! Project quotas: how much a tree of files may take up (quotactl(2), ioctl FS_IOC_FSSETXATTR).
//!
//! A folder has the number of a project; what is made in it inherits the number. The file system counts by number.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct fsxattr` (linux/fs.h).
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// `struct if_dqblk` (linux/quota.h): blocks of 1 KiB.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct Limits {
    hard_blocks: u64,
    soft_blocks: u64,
    bytes: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

/// _IOR('X', 31, struct fsxattr) and _IOW('X', 32, struct fsxattr); the same on x86-64 and arm64.
const GET_ATTRIBUTES: libc::Ioctl = 0x801c_581f_u32 as libc::Ioctl;
const SET_ATTRIBUTES: libc::Ioctl = 0x401c_5820;
/// FS_XFLAG_PROJINHERIT
const INHERIT: u32 = 0x200;

/// Of linux/quota.h; the type of quota stands in the low eight bits of a command.
const SET_QUOTA: u32 = 0x80_0008;
const GET_QUOTA: u32 = 0x80_0007;
const PROJECT: u32 = 2;
/// QIF_BLIMITS
const BLOCK_LIMITS: u32 = 1;
const BLOCK: u64 = 1024;

/// The project of a folder; 0 is none.
pub fn project(folder: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(attributes(folder)?.project)
}

/// Gives a folder to a project, and everything that is made in it from now on.
pub fn set_project(folder: BorrowedFd<'_>, project: u32) -> io::Result<()> {
    let mut attributes = attributes(folder)?;
    attributes.project = project;
    attributes.flags |= INHERIT;
    // SAFETY: the kernel reads one `struct fsxattr` from the pointer, which is one for the time of the call.
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), SET_ATTRIBUTES, &raw const attributes) };
    checked(i64::from(result))
}

fn attributes(folder: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes one `struct fsxattr` to the pointer, which is one for the time of the call.
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), GET_ATTRIBUTES, &raw mut attributes) };
    checked(i64::from(result)).map(|()| attributes)
}

/// What a project may take up on the file system of `folder`, in bytes; 0 is no limit. Linux 5.14.
pub fn set_limit(folder: BorrowedFd<'_>, project: u32, bytes: u64) -> io::Result<()> {
    let blocks = bytes.div_ceil(BLOCK);
    let mut limits = Limits { hard_blocks: blocks, soft_blocks: blocks, valid: BLOCK_LIMITS, ..Limits::default() };
    quotactl(folder, SET_QUOTA, project, &mut limits)
}

/// What a project takes up there, in bytes, and whether it is limited. An error where projects are not counted.
pub fn usage(folder: BorrowedFd<'_>, project: u32) -> io::Result<(u64, bool)> {
    let mut limits = Limits::default();
    quotactl(folder, GET_QUOTA, project, &mut limits)?;
    Ok((limits.bytes, limits.hard_blocks > 0))
}

fn quotactl(folder: BorrowedFd<'_>, command: u32, project: u32, limits: &mut Limits) -> io::Result<()> {
    let (fd, command) = (i64::from(folder.as_raw_fd()), i64::from((command << 8) | PROJECT));
    let limits: *mut Limits = limits;
    // SAFETY: the kernel reads or writes one `struct if_dqblk` at the pointer, which is one for the time of the call.
    let result = unsafe { libc::syscall(libc::SYS_quotactl_fd, fd, command, i64::from(project), limits) };
    checked(result)
}

fn checked(result: i64) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
