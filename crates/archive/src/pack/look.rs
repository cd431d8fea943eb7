//! What a name in a tree is: its kind, owner, mode, time and extended attributes, read without following anything.

use crate::Time;
use crate::overlay::Marks;
use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Ids of a container (ARCHITECTURE.md, "Ids").
const RANGE: u32 = 65_536;
/// Most bytes of one attribute's value (XATTR_SIZE_MAX) and of all names (XATTR_LIST_MAX).
const LARGEST: usize = 65_536;
/// `security.capability` of a user namespace (VFS_CAP_REVISION_3), and where its root's id is.
const NAMESPACED: (u8, usize) = (3, 20);

/// What statx(2) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub kind: FileType,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub size: u64,
    /// Bytes that have room on the disk.
    pub stored: u64,
    pub modified: Time,
    /// When anything of it changed, its attributes included.
    pub changed: Time,
    /// What two names of one file have in common.
    pub inode: (u32, u32, u64),
    pub device: (u32, u32),
    pub is_mount_point: bool,
}

impl Look {
    /// Of `name` in `folder`, a symlink itself.
    pub fn of(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<Look> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        Ok(Look::from(rustix::fs::statx(folder, name, flags, StatxFlags::BASIC_STATS)?))
    }

    /// Of what is open.
    pub fn of_open(file: impl AsFd) -> io::Result<Look> {
        Ok(Look::from(rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
    }

    /// overlayfs' mark for a name that is gone.
    pub fn is_whiteout(&self) -> bool {
        self.kind == FileType::CharacterDevice && self.device == (0, 0)
    }

    /// With its owners counted from `owner`.
    pub fn counted_from(self, owner: u32) -> Look {
        Look { uid: counted(self.uid, owner), gid: counted(self.gid, owner), ..self }
    }
}

impl From<Statx> for Look {
    fn from(stat: Statx) -> Look {
        let mode = u32::from(stat.stx_mode);
        Look {
            kind: FileType::from_raw_mode(mode),
            mode: mode & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            links: stat.stx_nlink,
            size: stat.stx_size,
            stored: stat.stx_blocks.saturating_mul(512),
            modified: Time { seconds: stat.stx_mtime.tv_sec, nanoseconds: stat.stx_mtime.tv_nsec },
            changed: Time { seconds: stat.stx_ctime.tv_sec, nanoseconds: stat.stx_ctime.tv_nsec },
            inode: (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino),
            device: (stat.stx_rdev_major, stat.stx_rdev_minor),
            is_mount_point: stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        }
    }
}

/// Ids outside the container's range stay.
fn counted(id: u32, owner: u32) -> u32 {
    match id.checked_sub(owner) {
        Some(inner) if inner < RANGE => inner,
        _ => id,
    }
}

/// Where attributes are read.
#[derive(Clone, Copy)]
pub enum At<'a> {
    Open(BorrowedFd<'a>),
    /// What cannot be opened: a symlink, a device, a pipe.
    Name(BorrowedFd<'a>, &'a CStr),
    /// An O_PATH descriptor of a file or a folder.
    Path(BorrowedFd<'a>),
}

impl At<'_> {
    fn list(self, into: &mut [u8]) -> Result<usize, Errno> {
        match self {
            At::Open(file) => rustix::fs::flistxattr(file, into),
            At::Name(folder, name) => rustix::fs::llistxattr(by_name(folder, name), into),
            At::Path(file) => rustix::fs::listxattr(by_fd(file), into),
        }
    }

    fn get(self, attribute: &str, into: &mut [u8]) -> Result<usize, Errno> {
        match self {
            At::Open(file) => rustix::fs::fgetxattr(file, attribute, into),
            At::Name(folder, name) => rustix::fs::lgetxattr(by_name(folder, name), attribute, into),
            At::Path(file) => rustix::fs::getxattr(by_fd(file), attribute, into),
        }
    }
}

fn by_name(folder: BorrowedFd<'_>, name: &CStr) -> PathBuf {
    by_fd(folder).join(OsStr::from_bytes(name.to_bytes()))
}

fn by_fd(file: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Reads attributes, with one buffer for all.
pub struct Attributes {
    /// Host id that is the container's root.
    owner: u32,
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Attributes {
    pub fn new(owner: u32) -> Attributes {
        Attributes { owner, names: vec![0; LARGEST], value: vec![0; LARGEST] }
    }

    /// Those that belong into an archive, sorted by name.
    pub fn read(&mut self, at: At<'_>) -> io::Result<Vec<(String, Vec<u8>)>> {
        let length = match at.list(&mut self.names) {
            Err(Errno::OPNOTSUPP) => 0,
            other => other?,
        };
        let names = self.names[..length].split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
        let names: Vec<String> = names.filter(|name| belongs(name)).map(str::to_owned).collect();
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            match at.get(&name, &mut self.value) {
                // Removed since it was listed.
                Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                other => {
                    let value = &self.value[..other?];
                    let value = if name == CAPABILITY { capability(value, self.owner) } else { value.to_vec() };
                    found.push((name, value));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// `security.capability` of what is open, as the container sees it.
    pub fn capability(&mut self, at: At<'_>) -> io::Result<Option<Vec<u8>>> {
        match at.get(CAPABILITY, &mut self.value) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            other => Ok(Some(capability(&self.value[..other?], self.owner))),
        }
    }

    /// Whether overlayfs hides what lower folders have here.
    pub fn is_opaque(&mut self, folder: BorrowedFd<'_>) -> io::Result<bool> {
        match rustix::fs::fgetxattr(folder, Marks::of_this_process().opaque(), &mut self.value[..]) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
            other => Ok(self.value[..other?] == *b"y"),
        }
    }

    /// Whether overlayfs copied the folder from a lower one.
    pub fn is_copied_up(&mut self, folder: BorrowedFd<'_>) -> io::Result<bool> {
        match rustix::fs::fgetxattr(folder, Marks::of_this_process().origin(), &mut self.value[..]) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
            other => Ok(other.map(|_| true)?),
        }
    }
}

const CAPABILITY: &str = "security.capability";

/// Labels and signatures of this very host (SELinux, AppArmor, EVM) mean nothing elsewhere; overlayfs' own attributes
/// are marks, not content. ACLs (`system.`) name host ids: Docker and Podman leave them out, too.
fn belongs(name: &str) -> bool {
    let overlay = name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
    let ours = name.starts_with("user.") || name.starts_with("trusted.");
    // A PAX key ends at the first `=`.
    let sayable = !name.contains('=');
    sayable && (matches!(name, CAPABILITY | "security.ima") || (ours && !overlay))
}

/// A capability that only the container's own user namespace knows (linux/capability.h, `vfs_ns_cap_data`) becomes a plain
/// one; of another root it stays, counted from the container's ids.
fn capability(value: &[u8], owner: u32) -> Vec<u8> {
    let mut value = value.to_vec();
    let (revision, at) = NAMESPACED;
    let Some(root) = value.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()) else { return value };
    if value[3] != revision {
        return value;
    }
    match counted(u32::from_le_bytes(root), owner) {
        0 => {
            value.truncate(at);
            value[3] = 2;
        }
        other => value[at..at + 4].copy_from_slice(&other.to_le_bytes()),
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_container_are_counted_and_others_stay() {
        assert_eq!(counted(0x7000_0000, 0x7000_0000), 0);
        assert_eq!(counted(0x7000_ffff, 0x7000_0000), 65_535);
        assert_eq!(counted(0x7001_0000, 0x7000_0000), 0x7001_0000);
        assert_eq!(counted(7, 0x7000_0000), 7);
        assert_eq!(counted(70_000, 0), 70_000);
    }

    #[test]
    fn capabilities_of_the_containers_root_become_plain() {
        let namespaced = |root: u32| {
            let mut value = vec![1, 0, 0, 3, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            value.extend(root.to_le_bytes());
            value
        };
        let plain = capability(&namespaced(0x7000_0000), 0x7000_0000);
        assert_eq!(plain, [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(capability(&plain, 0x7000_0000), plain);
        assert_eq!(capability(&namespaced(0x7000_0005), 0x7000_0000), namespaced(5));
        assert_eq!(capability(b"", 0), b"");
    }

    #[test]
    fn attributes_of_this_host_stay_here() {
        for kept in ["security.capability", "security.ima", "user.note", "trusted.note"] {
            assert!(belongs(kept), "{kept}");
        }
        for left in ["security.selinux", "security.evm", "trusted.overlay.origin", "user.overlay.x", "user.a=b", ""] {
            assert!(!belongs(left), "{left}");
        }
        assert!(!belongs("system.posix_acl_access"));
    }
}
