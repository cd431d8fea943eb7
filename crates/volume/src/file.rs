//! One file of a copy-up: its data, owner, mode, times and extended attributes.

use crate::copy::Scope;
use rustix::fs::{Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const CAPABILITY: &CStr = c"security.capability";
/// Longest value of an extended attribute (include/uapi/linux/limits.h, XATTR_SIZE_MAX), in bytes.
const MAX_VALUE: usize = 65_536;
/// Longest list of their names (XATTR_LIST_MAX), in bytes.
const MAX_NAMES: usize = 65_536;
/// Bytes copied with one call at the most.
const CHUNK: usize = 1 << 30;

/// Everything about a file but its data.
#[derive(Debug)]
pub(crate) struct Attributes {
    uid: Uid,
    gid: Gid,
    mode: Mode,
    times: Timestamps,
    extended: Vec<(CString, Vec<u8>)>,
}

/// The owner as it is stored on disk.
pub(crate) fn owner(stat: &Stat, scope: Scope) -> (Uid, Gid) {
    let id_base = base_of(scope);
    (Uid::from_raw(unshifted(stat.st_uid, id_base)), Gid::from_raw(unshifted(stat.st_gid, id_base)))
}

fn base_of(scope: Scope) -> u32 {
    match scope {
        Scope::Image { id_base } => id_base,
        Scope::Volume => 0,
    }
}

fn unshifted(id: u32, id_base: u32) -> u32 {
    id.checked_sub(id_base).unwrap_or(id)
}

/// When it was read and written last.
pub(crate) fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanoseconds).unwrap_or(0) };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

impl Attributes {
    /// Reads them from an open file or folder.
    pub(crate) fn read(file: BorrowedFd<'_>, scope: Scope) -> Result<Attributes, Errno> {
        Attributes::of(file, &rustix::fs::fstat(file)?, scope)
    }

    pub(crate) fn of(file: BorrowedFd<'_>, stat: &Stat, scope: Scope) -> Result<Attributes, Errno> {
        let (uid, gid) = owner(stat, scope);
        let mode = Mode::from_raw_mode(stat.st_mode);
        Ok(Attributes { uid, gid, mode, times: times(stat), extended: extended(file, scope)? })
    }

    /// Gives them to another. The order matters: a new owner clears setuid bits and capabilities, anything clears times.
    pub(crate) fn give(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        rustix::fs::fchown(file, Some(self.uid), Some(self.gid))?;
        rustix::fs::fchmod(file, self.mode)?;
        for (name, value) in &self.extended {
            match rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(e) => return Err(e),
            }
        }
        rustix::fs::futimens(file, &self.times)
    }
}

/// `user.*` and file capabilities; others belong to the file system they are on. Of a volume all, as it stays on that.
fn extended(file: BorrowedFd<'_>, scope: Scope) -> Result<Vec<(CString, Vec<u8>)>, Errno> {
    let mut names = [0u8; 1024];
    let names = match rustix::fs::flistxattr(file, &mut names) {
        Ok(length) => names[..length].to_vec(),
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            let mut names = vec![0; MAX_NAMES];
            let length = rustix::fs::flistxattr(file, &mut names[..])?;
            names[..length].to_vec()
        }
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for name in names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        if scope != Scope::Volume && name != CAPABILITY && !name.to_bytes().starts_with(b"user.") {
            continue;
        }
        let mut value = vec![0; MAX_VALUE];
        match rustix::fs::fgetxattr(file, name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(e) => return Err(e),
        }
        if name == CAPABILITY {
            value = unshifted_capability(value, base_of(scope));
        }
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

/// Through an id-mapped mount the kernel shows a capability as one of the user namespace whose root is `id_base`
/// (`struct vfs_ns_cap_data`, include/uapi/linux/capability.h); on disk it has no such root.
fn unshifted_capability(value: Vec<u8>, id_base: u32) -> Vec<u8> {
    const VERSION_2: u8 = 2;
    const VERSION_3: u8 = 3;
    const LENGTH_2: usize = 20;
    let root = value.get(LENGTH_2..LENGTH_2 + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let (Some(root), Some(&VERSION_3)) = (root, value.get(3)) else { return value };
    let root = unshifted(root, id_base);
    let mut plain = value;
    if root == 0 {
        plain.truncate(LENGTH_2);
        plain[3] = VERSION_2;
    } else {
        plain[LENGTH_2..LENGTH_2 + 4].copy_from_slice(&root.to_le_bytes());
    }
    plain
}

/// Copies a file's data. Holes stay holes: a file of terabytes with nothing in it costs nothing.
pub(crate) fn data(from: &OwnedFd, to: &OwnedFd, size: u64) -> Result<(), Errno> {
    // FICLONE (ioctl_ficlone(2)): one call, no bytes, holes and all; btrfs, XFS and others can.
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    rustix::fs::ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(()),
            // A file system that knows no holes.
            Err(Errno::INVAL) => at,
            start => start?,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start)).unwrap_or(size).min(size);
        if end <= start {
            return Ok(());
        }
        part(from, to, start, end)?;
        at = end;
    }
    Ok(())
}

fn part(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> Result<(), Errno> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let left = usize::try_from(end - read_at).unwrap_or(CHUNK).min(CHUNK);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), left) {
            // It became shorter meanwhile.
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            // Other file system (before Linux 5.19 any, since then of another type), or a lazy one.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::seek(to, SeekFrom::Start(read_at))?;
                return by_sendfile(from, to, read_at, end);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn by_sendfile(from: &OwnedFd, to: &OwnedFd, mut at: u64, end: u64) -> Result<(), Errno> {
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        match rustix::fs::sendfile(to, from, Some(&mut at), left) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Makes a new file for data, and nothing but a new one.
pub(crate) fn make(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder.as_fd(), name, flags, Mode::RUSR | Mode::WUSR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_seen_through_an_id_mapped_mount_loses_the_mounts_root() {
        let mut shown = vec![1, 0, 0, 3];
        shown.extend([7; 16]);
        shown.extend(0x7000_0000u32.to_le_bytes());
        let mut plain = vec![1, 0, 0, 2];
        plain.extend([7; 16]);
        assert_eq!(unshifted_capability(shown.clone(), 0x7000_0000), plain);
        let other = unshifted_capability(shown.clone(), 0x6fff_ffff);
        assert_eq!((other[3], &other[20..]), (3, &[1, 0, 0, 0][..]));
        assert_eq!(unshifted_capability(plain.clone(), 0x7000_0000), plain);
        assert_eq!(unshifted_capability(vec![3, 3, 3], 0), [3, 3, 3]);
    }

    #[test]
    fn ids_below_the_base_stay() {
        assert_eq!([0, 65_534, 0x7000_0000, 0x7000_03e8].map(|id| unshifted(id, 0x7000_0000)), [0, 65_534, 0, 1000]);
    }
}
