//! The host as an image: what is hidden from it, and what an overlay of `/` leaves out.

use crate::Error;
use crate::lower::step;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file system of a disk that is mounted somewhere below `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submount {
    pub path: PathBuf,
    /// `ext4`, `xfs`, ...
    pub kind: String,
}

/// The disks mounted below `/` (`/home` on a partition of its own), in mount order. An overlay of `/` shows their mount
/// points empty.
///
/// Errors: those of reading `/proc/self/mountinfo`.
pub fn host_submounts() -> io::Result<Vec<Submount>> {
    Ok(submounts(&std::fs::read_to_string("/proc/self/mountinfo")?))
}

/// proc_pid_mountinfo(5): `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS] - TYPE SOURCE SUPER`.
fn submounts(mountinfo: &str) -> Vec<Submount> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut right = right.split(' ');
        let (kind, source) = (right.next().unwrap_or(""), right.next().unwrap_or(""));
        let point = unescape(left.split(' ').nth(4).unwrap_or(""));
        let of_disk = source.starts_with("/dev/") || matches!(kind, "zfs" | "btrfs" | "bcachefs");
        if of_disk && point != "/" && kind != "squashfs" {
            found.push(Submount { path: point.into(), kind: kind.to_owned() });
        }
    }
    found
}

/// Spaces and the like are written as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

/// A folder of whiteouts at `hidden`, on a file system of its own: overlayfs refuses lowers that contain each other,
/// and the engine's folders lie below `/`. Its owners are the host's, counted from `owner`.
pub fn mask(hidden: &[PathBuf], owner: u32) -> Result<OwnedFd, Error> {
    let at = |what: &'static str| move |e: Errno| step(what)(e.into());
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at("open tmpfs"))?;
    rustix::mount::fsconfig_set_string(&fs, "source", "dhow-mask").map_err(at("name the mask"))?;
    rustix::mount::fsconfig_set_string(&fs, "mode", "0755").map_err(at("set the mode of the mask"))?;
    rustix::mount::fsconfig_create(&fs).map_err(at("create the mask"))?;
    let root = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .map_err(at("mount the mask"))?;
    copy_look(root.as_fd(), ".", Path::new("/"), owner).map_err(step("copy the look of /"))?;
    let spellings: BTreeSet<PathBuf> =
        hidden.iter().flat_map(|path| [Some(path.clone()), real(path)]).flatten().collect();
    for path in spellings {
        cover(root.as_fd(), &path, owner).map_err(step("hide the engine's files from the host image"))?;
    }
    Ok(root)
}

/// The host's id for an id of an image, in a container whose root is `owner`; one outside the container's range would be
/// nobody there and becomes root.
pub fn host_id(owner: u32, id: u32) -> u32 {
    match (owner, id) {
        (0, id) => id,
        (owner, 0..65_536) => owner.saturating_add(id),
        (owner, _) => owner,
    }
}

/// The path without symlinks, as far as it exists: an overlay of `/` resolves the link inside and arrives there.
fn real(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    Some(real(path.parent()?)?.join(path.file_name()?))
}

fn cover(root: BorrowedFd<'_>, path: &Path, owner: u32) -> io::Result<()> {
    let normal = |component: std::path::Component<'_>| matches!(component, std::path::Component::Normal(_));
    let parts: Vec<_> = path.components().filter(|c| normal(*c)).map(|c| c.as_os_str()).collect();
    let Some((name, parents)) = parts.split_last() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the root cannot be hidden"));
    };
    let mut below = root.try_clone_to_owned()?;
    let mut real = PathBuf::from("/");
    for part in parents {
        real.push(part);
        // A symlink in the way: the real spelling of the path is covered too.
        if real.is_symlink() {
            return Ok(());
        }
        match rustix::fs::mkdirat(&below, *part, Mode::from_raw_mode(0o755)) {
            Ok(()) => copy_look(below.as_fd(), *part, &real, owner)?,
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        below = match rustix::fs::openat2(&below, *part, flags, Mode::empty(), resolve) {
            // A parent of it is hidden already.
            Err(Errno::NOTDIR) => return Ok(()),
            other => other?,
        };
    }
    whiteout(below.as_fd(), name)
}

fn whiteout(folder: BorrowedFd<'_>, name: &std::ffi::OsStr) -> io::Result<()> {
    let make = || rustix::fs::mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), 0);
    match make() {
        Err(Errno::EXIST) => {
            let whole =
                Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&folder).to_string()).join(name);
            if std::fs::symlink_metadata(&whole)?.is_dir() {
                std::fs::remove_dir_all(&whole)?;
                make()?;
            }
            Ok(())
        }
        other => Ok(other?),
    }
}

/// A folder of the mask stands for the host's one: same owner, mode and time.
fn copy_look(folder: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy, real: &Path, owner: u32) -> io::Result<()> {
    let Ok(look) = std::fs::metadata(real) else { return Ok(()) };
    let (uid, gid) = (Uid::from_raw(host_id(owner, look.uid())), Gid::from_raw(host_id(owner, look.gid())));
    rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::empty())?;
    rustix::fs::chmodat(folder, name, Mode::from_raw_mode(look.mode() & 0o7777), AtFlags::empty())?;
    let time = Timespec { tv_sec: look.mtime(), tv_nsec: look.mtime_nsec() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(folder, name, &times, AtFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_disks_below_the_root_are_listed() {
        let mountinfo = "\
22 1 254:0 / / rw - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
24 22 254:1 / /home\\040of\\040all rw,noatime shared:3 - xfs /dev/vdb rw
25 22 7:1 / /snap/x ro - squashfs /dev/loop1 ro
26 22 0:50 / /tank rw - zfs tank rw
27 22 0:51 / /tmp rw - tmpfs tmpfs rw
";
        let paths: Vec<_> = submounts(mountinfo).into_iter().map(|s| s.path).collect();
        assert_eq!(paths, [Path::new("/home of all"), Path::new("/tank")]);
    }

    #[test]
    fn a_path_becomes_real_as_far_as_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("data")).unwrap();
        std::os::unix::fs::symlink("data", base.join("link")).unwrap();
        assert_eq!(real(&base.join("link/x/y")), Some(base.join("data/x/y")));
    }
}
