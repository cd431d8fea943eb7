//! Lower folders, opened and id-mapped once and then shared by all mounts of the same user namespace.
//!
//! An id-mapped clone of a layer is a detached mount (open_tree(2) with OPEN_TREE_CLONE, mount_setattr(2)). Making one
//! costs more than mounting the overlay that uses it, and it serves any number of overlays.

use crate::store::fail;
use crate::way::Way;
use crate::{Error, Lower, host};
use base::Digest;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// overlayfs' limit (OVL_MAX_STACK).
pub const MOST_LOWERS: usize = 500;
/// Lowers kept open at most, over all namespaces.
const MOST_OPEN: usize = 2048;

/// The lowers of one store.
#[derive(Debug)]
pub struct Lowers {
    /// Where mapped lowers are attached when the kernel wants it.
    mnt: PathBuf,
    way: Way,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    open: HashMap<(Lower, Option<Namespace>), Arc<Opened>>,
    /// Kept open, so that the number of a namespace cannot become another one's while it is a key.
    namespaces: HashMap<Namespace, OwnedFd>,
    hidden: Vec<PathBuf>,
}

/// A user namespace by its inode in nsfs.
type Namespace = u64;

/// One lower, ready for overlayfs.
#[derive(Debug)]
pub struct Opened {
    pub fd: OwnedFd,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    _attached: Option<Place>,
}

/// Whose files a mount shows.
#[derive(Clone, Copy)]
pub struct Ids<'a> {
    pub namespace: Option<BorrowedFd<'a>>,
    /// The host's id of the namespace's root.
    pub owner: u32,
}

/// A folder in `mnt/` for one mount; dropped, both go.
#[derive(Debug)]
pub struct Place(PathBuf);

impl Lowers {
    pub fn new(mnt: PathBuf, way: Way) -> Lowers {
        Lowers { mnt, way, cache: Mutex::default() }
    }

    pub fn way(&self) -> Way {
        self.way
    }

    /// Detaches what an earlier process attached.
    pub fn sweep(&self) {
        for entry in fs::read_dir(&self.mnt).into_iter().flatten().flatten() {
            drop(Place(entry.path()));
        }
    }

    /// Somewhere to mount.
    pub fn place(&self) -> Result<Place, Error> {
        let path = self.mnt.join(base::Id::random().to_string());
        fs::create_dir(&path).map_err(fail("make", &path))?;
        Ok(Place(path))
    }

    /// Opens lowers in their order; `diff` says where a layer lies.
    pub fn open(
        &self,
        lowers: &[Lower],
        ids: Ids<'_>,
        diff: impl Fn(&Digest) -> PathBuf,
    ) -> Result<Vec<Arc<Opened>>, Error> {
        if lowers.is_empty() {
            return Err(Error::Mount { step: "find a layer of the image", source: io::ErrorKind::InvalidInput.into() });
        }
        if lowers.len() > MOST_LOWERS {
            return Err(Error::TooManyLayers { count: lowers.len(), most: MOST_LOWERS });
        }
        let namespace = ids.namespace.map(inode).transpose()?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.open.len() + lowers.len() > MOST_OPEN {
            cache.open.clear();
            cache.namespaces.clear();
        }
        if let (Some(number), Some(fd)) = (namespace, ids.namespace)
            && !cache.namespaces.contains_key(&number)
        {
            let own = fd.try_clone_to_owned().map_err(step("keep the user namespace"))?;
            cache.namespaces.insert(number, own);
        }
        let mut opened = Vec::with_capacity(lowers.len());
        for lower in lowers {
            let key = (lower.clone(), namespace);
            if let Some(known) = cache.open.get(&key) {
                opened.push(Arc::clone(known));
                continue;
            }
            let fresh = Arc::new(self.open_one(lower, &cache.hidden, ids, &diff)?);
            cache.open.insert(key, Arc::clone(&fresh));
            opened.push(fresh);
        }
        Ok(opened)
    }

    /// One lower as a mount of its own, read-only and attached nowhere; `None` when it is no plain folder.
    pub fn alone(
        &self,
        lower: &Lower,
        ids: Ids<'_>,
        diff: impl Fn(&Digest) -> PathBuf,
    ) -> Result<Option<OwnedFd>, Error> {
        let path = match lower {
            Lower::HostMask => return Ok(None),
            Lower::Layer(digest) => diff(digest),
            Lower::Folder(path) => path.clone(),
        };
        let fd = open_folder(&path, true).map_err(fail("open", &path))?;
        if let Some(namespace) = ids.namespace {
            sys::idmap::set_idmap(fd.as_fd(), namespace).map_err(step("map the owners of a layer"))?;
        }
        let set = sys::mount::attribute::RDONLY | sys::mount::attribute::NODEV;
        let propagation = Some(sys::mount::Propagation::Private);
        let change = sys::mount::Change { set, propagation, ..Default::default() };
        sys::mount::set_attributes(fd.as_fd(), change, sys::mount::Reach::One)
            .map_err(step("keep a layer as it is"))?;
        Ok(Some(fd))
    }

    /// Drops all handles of a layer.
    pub fn forget(&self, digest: &Digest) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.open.retain(|(lower, _), _| *lower != Lower::Layer(*digest));
    }

    /// Lets go of everything; mounts that are made already keep what they show.
    pub fn close(&self) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.open.clear();
        cache.namespaces.clear();
    }

    pub fn hide(&self, paths: &[PathBuf]) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.hidden = paths.to_vec();
        cache.open.retain(|(lower, _), _| *lower != Lower::HostMask);
    }

    fn open_one(
        &self,
        lower: &Lower,
        hidden: &[PathBuf],
        ids: Ids<'_>,
        diff: impl Fn(&Digest) -> PathBuf,
    ) -> Result<Opened, Error> {
        let path = match lower {
            Lower::HostMask => return self.open_mask(hidden, ids.owner),
            Lower::Layer(digest) => diff(digest),
            Lower::Folder(path) => path.clone(),
        };
        let fd = open_folder(&path, ids.namespace.is_some()).map_err(|e| match (e.kind(), lower) {
            (io::ErrorKind::NotFound, Lower::Layer(digest)) => Error::NotFound(*digest),
            _ => fail("open", &path)(e),
        })?;
        let look = rustix::fs::fstat(&fd).map_err(|e| fail("look at", &path)(e.into()))?;
        let mut attached = None;
        if let Some(namespace) = ids.namespace {
            sys::idmap::set_idmap(fd.as_fd(), namespace).map_err(|source| match source.kind() {
                io::ErrorKind::InvalidInput => Error::NoIdMap { path: path.clone(), source },
                _ => Error::Mount { step: "map the owners of a layer", source },
            })?;
            attached = self.attach(&fd)?;
        }
        Ok(Opened { fd, mode: look.st_mode & 0o7777, uid: look.st_uid, gid: look.st_gid, _attached: attached })
    }

    /// Its files get the container's ids at once: a tmpfs cannot be id-mapped before Linux 6.3.
    fn open_mask(&self, hidden: &[PathBuf], owner: u32) -> Result<Opened, Error> {
        let fd = host::mask(hidden, owner)?;
        let look = rustix::fs::stat("/").map_err(|e| fail("look at", Path::new("/"))(e.into()))?;
        let attached = self.attach(&fd)?;
        Ok(Opened { fd, mode: look.st_mode & 0o7777, uid: look.st_uid, gid: look.st_gid, _attached: attached })
    }

    /// Where the kernel wants no detached lowers.
    fn attach(&self, mount: &OwnedFd) -> Result<Option<Place>, Error> {
        if self.way == Way::Fds {
            return Ok(None);
        }
        let place = self.place()?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(mount, "", CWD, place.path(), flags)
            .map_err(|e| fail("attach a layer at", place.path())(e.into()))?;
        Ok(Some(place))
    }
}

impl Place {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

/// The folder itself, or a detached clone of its mount that can be id-mapped.
fn open_folder(path: &Path, clone: bool) -> io::Result<OwnedFd> {
    if clone {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        return Ok(rustix::mount::open_tree(CWD, path, flags)?);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn inode(namespace: BorrowedFd<'_>) -> Result<Namespace, Error> {
    let stat = rustix::fs::statat(namespace, "", AtFlags::EMPTY_PATH);
    Ok(stat.map_err(|e| Error::Mount { step: "look at the user namespace", source: e.into() })?.st_ino)
}

pub fn step(step: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Mount { step, source }
}
