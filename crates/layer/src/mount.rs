//! The overlay of a container, by the new mount API (fsopen(2), Linux 5.2; Documentation/filesystems/overlayfs.rst).
//!
//! It stays detached: whoever gets the fd decides where it goes, and it is gone when the last fd is.

use crate::lower::{Lowers, Opened, step};
use crate::store::fail;
use crate::{Error, Sync};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// The writable part of an overlay.
struct Writable {
    upper: OwnedFd,
    work: OwnedFd,
}

/// How a folder is handed to overlayfs.
#[derive(Clone, Copy)]
enum Hand {
    /// FSCONFIG_SET_FD: Linux 6.13.
    Fd,
    /// A path below `/proc/self/fd`: Linux 6.7 for `lowerdir+`.
    Path,
}

pub fn mount(lowers: &Lowers, opened: &[Arc<Opened>], rw: &Path, owner: u32, sync: Sync) -> Result<OwnedFd, Error> {
    let Some(top) = opened.first() else {
        return Err(step("find a layer of the image")(io::ErrorKind::InvalidInput.into()));
    };
    let writable = prepare(rw, owner, top)?;
    match overlay(Hand::Fd, opened, &writable, sync) {
        // Before 6.13 overlayfs knows no fds, before 6.15 no detached lowers; both say EINVAL.
        Err(Error::Mount { source, .. }) if source.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            older_kernel(lowers, opened, &writable, sync, source)
        }
        other => other,
    }
}

fn older_kernel(
    lowers: &Lowers,
    opened: &[Arc<Opened>],
    writable: &Writable,
    sync: Sync,
    refused: io::Error,
) -> Result<OwnedFd, Error> {
    if let Ok(mount) = overlay(Hand::Path, opened, writable, sync) {
        return Ok(mount);
    }
    let attached = lowers.attached(opened)?;
    let Ok(mount) = overlay(Hand::Path, &attached, writable, sync) else {
        return Err(step("create the overlay")(refused));
    };
    lowers.attach_from_now();
    Ok(mount)
}

/// Makes `upper` and `work`. What is there already stays: the container ran before.
fn prepare(rw: &Path, owner: u32, top: &Opened) -> Result<Writable, Error> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let rw_fd = match rustix::fs::open(rw, folder, Mode::empty()) {
        Err(Errno::NOENT) => {
            std::fs::create_dir_all(rw).map_err(fail("make", rw))?;
            rustix::fs::open(rw, folder, Mode::empty())
        }
        other => other,
    }
    .map_err(|e| fail("open", rw)(e.into()))?;
    let make = |name: &str, mode: u32| match rustix::fs::mkdirat(&rw_fd, name, Mode::from_raw_mode(mode)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(e) => Err(fail("make a folder in", rw)(e.into())),
    };
    if make("upper", 0o700)? {
        dress(rw_fd.as_fd(), owner, top).map_err(fail("prepare", rw))?;
    }
    if !make("work", 0o700)? {
        forget_volatile(rw)?;
    }
    let open =
        |name: &str| rustix::fs::openat(&rw_fd, name, folder, Mode::empty()).map_err(|e| fail("open", rw)(e.into()));
    Ok(Writable { upper: open("upper")?, work: open("work")? })
}

/// The root of an overlay shows the owner and the mode of its upper folder: those of the image.
fn dress(rw: BorrowedFd<'_>, owner: u32, top: &Opened) -> io::Result<()> {
    // An owner outside the container's range would be nobody there.
    let inside = |id: u32| if id < 65_536 { owner.saturating_add(id) } else { owner };
    let (uid, gid) = (inside(top.uid), inside(top.gid));
    if uid != 0 || gid != 0 {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(rw, "upper", Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(rustix::fs::chmodat(rw, "upper", Mode::from_raw_mode(top.mode), AtFlags::empty())?)
}

/// overlayfs refuses a folder that was once mounted `volatile`: it cannot know whether the machine went down meanwhile.
/// Here the data were allowed to be lost, so the mark goes.
fn forget_volatile(rw: &Path) -> Result<(), Error> {
    let mark = rw.join("work/work/incompat");
    match std::fs::remove_dir_all(&mark) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(fail("remove", &mark)),
    }
}

fn overlay(hand: Hand, lowers: &[Arc<Opened>], writable: &Writable, sync: Sync) -> Result<OwnedFd, Error> {
    let at = |what: &'static str| move |e: Errno| step(what)(e.into());
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at("open overlayfs"))?;
    let fs = fs.as_fd();
    rustix::mount::fsconfig_set_string(fs, "source", "overlay").map_err(at("name the overlay"))?;
    for lower in lowers {
        set(hand, fs, "lowerdir+", lower.fd.as_fd()).map_err(at("add a layer"))?;
    }
    set(hand, fs, "upperdir", writable.upper.as_fd()).map_err(at("set the upper folder"))?;
    set(hand, fs, "workdir", writable.work.as_fd()).map_err(at("set the work folder"))?;
    // Each can be a default of the distribution's kernel. They would write into the upper folder what is no plain
    // difference any more.
    for option in ["index", "redirect_dir", "metacopy"] {
        rustix::mount::fsconfig_set_string(fs, option, "off").map_err(at("set the options of the overlay"))?;
    }
    if sync == Sync::Never {
        rustix::mount::fsconfig_set_flag(fs, "volatile").map_err(at("make the overlay volatile"))?;
    }
    rustix::mount::fsconfig_create(fs).map_err(at("create the overlay"))?;
    rustix::mount::fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map_err(at("mount the overlay"))
}

fn set(hand: Hand, fs: BorrowedFd<'_>, key: &str, folder: BorrowedFd<'_>) -> Result<(), Errno> {
    match hand {
        Hand::Fd => rustix::mount::fsconfig_set_fd(fs, key, folder),
        Hand::Path => rustix::mount::fsconfig_set_string(fs, key, format!("/proc/self/fd/{}", folder.as_raw_fd())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lower;
    use std::fs;

    /// What kernels before 6.15 need works on every later one too.
    #[test]
    fn detached_lowers_can_be_attached_for_older_kernels() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("mnt")).unwrap();
        fs::create_dir_all(at("layer")).unwrap();
        fs::write(at("layer/file"), b"1").unwrap();
        let lowers = Lowers::new(at("mnt"));
        lowers.hide(&["/file".into()]);
        let which = [Lower::HostMask, Lower::Folder(at("layer"))];
        let opened = lowers.open(&which, None, |_| unreachable!()).unwrap();
        let attached = lowers.attached(&opened).unwrap();
        assert_eq!(fs::read_dir(at("mnt")).unwrap().count(), 1);
        let writable = prepare(&at("rw"), 0, &opened[0]).unwrap();
        let mount = overlay(Hand::Path, &attached, &writable, Sync::Never).unwrap();
        drop((attached, opened));
        assert_eq!(fs::read_dir(at("mnt")).unwrap().count(), 0);
        let inside = format!("/proc/self/fd/{}", mount.as_raw_fd());
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);

        lowers.attach_from_now();
        let again = lowers.open(&which, None, |_| unreachable!()).unwrap();
        assert_eq!(fs::read_dir(at("mnt")).unwrap().count(), 1);
        // As the next process finds them.
        Lowers::new(at("mnt")).sweep();
        assert_eq!(fs::read_dir(at("mnt")).unwrap().count(), 0);
        drop(again);
    }
}
