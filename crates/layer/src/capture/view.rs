//! Several trees seen as one: a read-only overlay, attached nowhere.
//!
//! The upper folder of a container takes part as the topmost *lower*: nothing is written into it, so a running container
//! may have it mounted. Whiteouts and opaque folders mean the same there.

use crate::lower::{Ids, MOST_LOWERS, step};
use crate::store::Draft;
use crate::way::{Way, add_options, by_fd, set_options};
use crate::{Error, Lower, Store};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::mount::{Change, Propagation, Reach};

/// What mount(2) takes as options, with its NUL: a page.
const LONGEST_OPTIONS: usize = 4096;

/// Layers, perhaps with what a container wrote above them, as one tree that is only read. Attached nowhere.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
    /// An empty folder below the only other one.
    _bottom: Option<Draft>,
}

impl View {
    /// `lowers` (topmost first), and `top` above them. Owners are what they are on disk.
    pub(crate) fn of(store: &Store, top: Option<BorrowedFd<'_>>, lowers: &[Lower]) -> Result<View, Error> {
        View::with_ids(store, top, lowers, Ids { namespace: None, owner: 0 })
    }

    /// [`View::of`], with the lowers' owners as `ids` has them.
    pub(crate) fn with_ids(
        store: &Store,
        top: Option<BorrowedFd<'_>>,
        lowers: &[Lower],
        ids: Ids<'_>,
    ) -> Result<View, Error> {
        let opened = store.lowers.open(lowers, ids, |digest| store.diff(digest))?;
        let mut folders: Vec<BorrowedFd<'_>> =
            top.into_iter().chain(opened.iter().map(|lower| lower.fd.as_fd())).collect();
        let way = store.lowers.way();
        let mut draft = None;
        let bottom = match folders.len() {
            // An overlay without an upper folder wants two lowers at least.
            1 => Some(empty(draft.insert(store.draft()?))?),
            // The lowest two are one overlay already.
            count if count > MOST_LOWERS && way == Way::Fds => {
                let lowest = folders.split_off(MOST_LOWERS - 1);
                Some(together(store, way, &lowest)?)
            }
            _ => None,
        };
        folders.extend(bottom.as_ref().map(AsFd::as_fd));
        Ok(View { root: together(store, way, &folders)?, _bottom: draft })
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The mount alone: of more than one layer, so that nothing else is a part of it.
    pub(crate) fn into_root(self) -> OwnedFd {
        self.root
    }
}

fn empty(draft: &Draft) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(draft.path.join("diff"), flags, Mode::empty());
    opened.map_err(|e| step("open an empty folder")(e.into()))
}

/// Topmost first.
fn together(store: &Store, way: Way, folders: &[BorrowedFd<'_>]) -> Result<OwnedFd, Error> {
    match way {
        Way::List => by_options(store, folders),
        way => overlay(way, folders).map_err(|e| step("put the layers together")(e.into())),
    }
}

fn overlay(way: Way, folders: &[BorrowedFd<'_>]) -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fs = fs.as_fd();
    rustix::mount::fsconfig_set_string(fs, "source", "overlay")?;
    for folder in folders {
        match way {
            Way::Fds => rustix::mount::fsconfig_set_fd(fs, "lowerdir+", *folder)?,
            Way::Paths | Way::List => rustix::mount::fsconfig_set_string(fs, "lowerdir+", by_fd(*folder))?,
        }
    }
    set_options(fs)?;
    rustix::mount::fsconfig_create(fs)?;
    // A tree to look at: no device of it can be opened.
    let looked_at = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    rustix::mount::fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, looked_at)
}

/// Without `lowerdir+` only mount(2) takes a long list: mounted somewhere, and taken off its place at once.
fn by_options(store: &Store, folders: &[BorrowedFd<'_>]) -> Result<OwnedFd, Error> {
    let list: Vec<String> = folders.iter().map(|folder| by_fd(*folder)).collect();
    let mut options = format!("lowerdir={}", list.join(":"));
    add_options(&mut options);
    if options.len() >= LONGEST_OPTIONS {
        return Err(Error::TooManyLayers { count: folders.len(), most: LONGEST_OPTIONS / list[0].len() });
    }
    let at = |what: &'static str| move |e: Errno| step(what)(e.into());
    let options = CString::new(options).map_err(|e| step("name the layers")(e.into()))?;
    let place = store.lowers.place()?;
    rustix::mount::mount("overlay", place.path(), "overlay", MountFlags::RDONLY | MountFlags::NODEV, &*options)
        .map_err(at("put the layers together"))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(CWD, place.path(), flags).map_err(at("detach the layers"))?;
    let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
    sys::mount::set_attributes(mount.as_fd(), private, Reach::One).map_err(step("make the layers private"))?;
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::Lowers;
    use std::fs;

    /// What older kernels need works on every later one too.
    fn check_way(way: Way, count: usize) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("store")).unwrap();
        store.lowers = Lowers::new(store.root.join("mnt"), way);
        let mut lowers = Vec::new();
        for number in 0..count {
            let path = folder.path().join(format!("layer{number}"));
            fs::create_dir(&path).unwrap();
            fs::write(path.join(format!("file{number}")), b"1").unwrap();
            lowers.push(Lower::Folder(path));
        }
        fs::create_dir(folder.path().join("upper")).unwrap();
        fs::write(folder.path().join("upper/own"), b"1").unwrap();
        let upper = fs::File::open(folder.path().join("upper")).unwrap();
        let left = || ["tmp", "mnt"].map(|name| fs::read_dir(store.root.join(name)).unwrap().count());
        {
            let view = View::of(&store, Some(upper.as_fd()), &lowers).unwrap();
            assert_eq!(fs::read_dir(by_fd(view.root())).unwrap().count(), count + 1);
            assert!(fs::write(format!("{}/own", by_fd(view.root())), b"2").is_err());
        }
        assert_eq!(left(), [0, 0]);
    }

    #[test]
    fn trees_are_put_together_on_every_kernel() {
        check_way(Way::Fds, 1);
        check_way(Way::Fds, 3);
        check_way(Way::Paths, 3);
        check_way(Way::List, 1);
        check_way(Way::List, 150);
    }

    #[test]
    fn as_many_layers_as_can_be_mounted_can_be_seen_below_a_container() {
        check_way(Way::Fds, MOST_LOWERS - 1);
        check_way(Way::Fds, MOST_LOWERS);
    }
}
