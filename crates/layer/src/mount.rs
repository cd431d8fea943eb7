//! The overlay of a container, by the new mount API (fsopen(2), Linux 5.2; Documentation/filesystems/overlayfs.rst).
//!
//! It stays detached: whoever gets the fd decides where it goes, and it is gone when the last fd is.

use crate::host::host_id;
use crate::lower::{Lowers, Opened, step};
use crate::store::fail;
use crate::way::{Way, add_options, by_fd, set_options};
use crate::{Error, Sync};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use sys::mount::{Change, Propagation, Reach};

/// The writable part of an overlay.
struct Writable {
    upper: OwnedFd,
    work: OwnedFd,
}

/// What fsconfig(2) takes as a string, without its NUL.
const LONGEST_STRING: usize = 255;
/// What mount(2) takes as options, with its NUL: a page.
const LONGEST_OPTIONS: usize = 4096;
/// Layers that surely fit into it: `/proc/self/fd/12345:` each, and 200 bytes for the rest.
const MOST_LISTED: usize = 194;

pub fn mount(lowers: &Lowers, opened: &[Arc<Opened>], rw: &Path, owner: u32, sync: Sync) -> Result<OwnedFd, Error> {
    let Some(top) = opened.first() else {
        return Err(step("find a layer of the image")(io::ErrorKind::InvalidInput.into()));
    };
    let writable = prepare(rw, owner, top)?;
    match lowers.way() {
        Way::List if list(opened).len() > LONGEST_STRING => by_options(lowers, opened, &writable, sync),
        way => overlay(way, opened, &writable, sync),
    }
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
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(fail("make a folder in", rw)(e.into())),
    };
    make("upper", 0o700)?;
    // `work` comes last: a process that is killed between the two leaves an upper folder that is not dressed.
    match rustix::fs::statat(&rw_fd, "work", AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {
            dress(rw_fd.as_fd(), owner, top).map_err(fail("prepare", rw))?;
            make("work", 0o700)?;
            crate::quota::share(rw).map_err(fail("limit what is written to", rw))?;
        }
        _ => forget_volatile(rw)?,
    }
    let open =
        |name: &str| rustix::fs::openat(&rw_fd, name, folder, Mode::empty()).map_err(|e| fail("open", rw)(e.into()));
    Ok(Writable { upper: open("upper")?, work: open("work")? })
}

/// The root of an overlay shows the owner and the mode of its upper folder: those of the image.
fn dress(rw: BorrowedFd<'_>, owner: u32, top: &Opened) -> io::Result<()> {
    let (uid, gid) = (host_id(owner, top.uid), host_id(owner, top.gid));
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

fn overlay(way: Way, lowers: &[Arc<Opened>], writable: &Writable, sync: Sync) -> Result<OwnedFd, Error> {
    let at = |what: &'static str| move |e: Errno| step(what)(e.into());
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at("open overlayfs"))?;
    let fs = fs.as_fd();
    rustix::mount::fsconfig_set_string(fs, "source", "overlay").map_err(at("name the overlay"))?;
    if way == Way::List {
        rustix::mount::fsconfig_set_string(fs, "lowerdir", list(lowers)).map_err(at("add the layers"))?;
    } else {
        for lower in lowers {
            set(way, fs, "lowerdir+", lower.fd.as_fd()).map_err(at("add a layer"))?;
        }
    }
    set(way, fs, "upperdir", writable.upper.as_fd()).map_err(at("set the upper folder"))?;
    set(way, fs, "workdir", writable.work.as_fd()).map_err(at("set the work folder"))?;
    set_options(fs).map_err(at("set the options of the overlay"))?;
    if sync == Sync::Never {
        rustix::mount::fsconfig_set_flag(fs, "volatile").map_err(at("make the overlay volatile"))?;
    }
    rustix::mount::fsconfig_create(fs).map_err(at("create the overlay"))?;
    rustix::mount::fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map_err(at("mount the overlay"))
}

fn set(way: Way, fs: BorrowedFd<'_>, key: &str, folder: BorrowedFd<'_>) -> Result<(), Errno> {
    match way {
        Way::Fds => rustix::mount::fsconfig_set_fd(fs, key, folder),
        Way::Paths | Way::List => rustix::mount::fsconfig_set_string(fs, key, by_fd(folder)),
    }
}

fn list(lowers: &[Arc<Opened>]) -> String {
    lowers.iter().map(|lower| by_fd(lower.fd.as_fd())).collect::<Vec<_>>().join(":")
}

/// More layers than a string of fsconfig(2) holds, on a kernel without `lowerdir+`: by mount(2), whose options may be longer,
/// and taken off its place at once.
fn by_options(lowers: &Lowers, opened: &[Arc<Opened>], writable: &Writable, sync: Sync) -> Result<OwnedFd, Error> {
    let (upper, work) = (by_fd(writable.upper.as_fd()), by_fd(writable.work.as_fd()));
    let mut options = format!("lowerdir={},upperdir={upper},workdir={work}", list(opened));
    add_options(&mut options);
    if sync == Sync::Never {
        options.push_str(",volatile");
    }
    if options.len() >= LONGEST_OPTIONS {
        return Err(Error::TooManyLayers { count: opened.len(), most: MOST_LISTED });
    }
    let at = |what: &'static str| move |e: Errno| step(what)(e.into());
    let options = CString::new(options).map_err(|e| step("name the layers")(e.into()))?;
    let place = lowers.place()?;
    rustix::mount::mount("overlay", place.path(), "overlay", MountFlags::empty(), &*options)
        .map_err(at("mount the overlay"))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(CWD, place.path(), flags).map_err(at("detach the overlay"))?;
    // What it was cloned from may have spread to copies of this mount namespace; the container's root must not.
    let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
    sys::mount::set_attributes(mount.as_fd(), private, Reach::One).map_err(step("make the overlay private"))?;
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lower;
    use crate::lower::Ids;
    use std::fs;

    /// What older kernels need works on every later one too.
    fn check_way(way: Way, count: usize) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("mnt")).unwrap();
        let mut which = vec![Lower::HostMask];
        for number in 0..count {
            fs::create_dir_all(at(&format!("layer{number}"))).unwrap();
            fs::write(at(&format!("layer{number}/file{number}")), b"1").unwrap();
            which.push(Lower::Folder(at(&format!("layer{number}"))));
        }
        let lowers = Lowers::new(at("mnt"), way);
        lowers.hide(&["/file0".into()]);
        let ids = Ids { namespace: None, owner: 0 };
        let opened = lowers.open(&which, ids, |_| unreachable!()).unwrap();
        let attached = || fs::read_dir(at("mnt")).unwrap().count();
        assert_eq!(attached(), usize::from(way != Way::Fds));
        let overlay = mount(&lowers, &opened, &at("rw"), 0, Sync::Never).unwrap();
        assert_eq!(attached(), usize::from(way != Way::Fds));
        let inside = by_fd(overlay.as_fd());
        assert_eq!(fs::read_dir(&inside).unwrap().count(), count - 1);
        // As the next process finds them.
        Lowers::new(at("mnt"), way).sweep();
        assert_eq!(attached(), 0);
        drop(opened);
        lowers.close();
        lowers.open(&which, ids, |_| unreachable!()).unwrap();
        assert_eq!(attached(), usize::from(way != Way::Fds));
        lowers.close();
        assert_eq!(attached(), 0);
        assert_eq!(fs::read_dir(&inside).unwrap().count(), count - 1);
    }

    #[test]
    fn lowers_go_in_by_path_one_by_one() {
        check_way(Way::Paths, 3);
    }

    #[test]
    fn lowers_go_in_by_a_list() {
        check_way(Way::List, 3);
    }

    #[test]
    fn a_long_list_of_lowers_needs_another_system_call() {
        check_way(Way::List, 150);
    }

    #[test]
    fn a_list_that_is_too_long_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("mnt")).unwrap();
        let lowers = Lowers::new(folder.path().join("mnt"), Way::List);
        let which = [Lower::Folder(folder.path().to_owned())];
        let opened = lowers.open(&which, Ids { namespace: None, owner: 0 }, |_| unreachable!()).unwrap();
        let many: Vec<_> = opened.iter().cycle().take(400).cloned().collect();
        let refused = mount(&lowers, &many, &folder.path().join("rw"), 0, Sync::Never);
        assert!(matches!(refused, Err(Error::TooManyLayers { count: 400, .. })));
    }
}
