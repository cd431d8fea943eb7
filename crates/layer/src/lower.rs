//! Lower folders, opened and id-mapped once and then shared by all mounts of the same user namespace.
//!
//! An id-mapped clone of a layer is a detached mount (open_tree(2) with OPEN_TREE_CLONE, mount_setattr(2)). Making one
//! costs more than mounting the overlay that uses it, and it serves any number of overlays.

use crate::store::fail;
use crate::{Error, Lower, host};
use base::Digest;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// overlayfs' limit (OVL_MAX_STACK).
const MOST_LOWERS: usize = 500;
/// Lowers kept open at most, over all namespaces.
const MOST_OPEN: usize = 2048;

/// The lowers of one store.
#[derive(Debug)]
pub struct Lowers {
    /// Where mapped lowers are attached when the kernel wants it.
    mnt: PathBuf,
    /// Set once a kernel refused a detached lower.
    attach: AtomicBool,
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
    /// A mount that is nowhere yet, and not just a folder.
    detached: bool,
    attached: Option<PathBuf>,
}

impl Lowers {
    pub fn new(mnt: PathBuf) -> Lowers {
        Lowers { mnt, attach: AtomicBool::new(false), cache: Mutex::default() }
    }

    /// Detaches what an earlier process attached.
    pub fn sweep(&self) {
        for entry in fs::read_dir(&self.mnt).into_iter().flatten().flatten() {
            detach(&entry.path());
        }
    }

    /// Opens lowers in their order; `diff` says where a layer lies.
    pub fn open(
        &self,
        lowers: &[Lower],
        user_namespace: Option<BorrowedFd<'_>>,
        diff: impl Fn(&Digest) -> PathBuf,
    ) -> Result<Vec<Arc<Opened>>, Error> {
        if lowers.is_empty() {
            return Err(Error::Mount { step: "find a layer of the image", source: io::ErrorKind::InvalidInput.into() });
        }
        if lowers.len() > MOST_LOWERS {
            return Err(Error::TooManyLayers { count: lowers.len(), most: MOST_LOWERS });
        }
        let namespace = user_namespace.map(inode).transpose()?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.open.len() + lowers.len() > MOST_OPEN {
            cache.open.clear();
            cache.namespaces.clear();
        }
        if let (Some(number), Some(fd)) = (namespace, user_namespace)
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
            let fresh = Arc::new(self.open_one(lower, &cache.hidden, user_namespace, &diff)?);
            cache.open.insert(key, Arc::clone(&fresh));
            opened.push(fresh);
        }
        Ok(opened)
    }

    /// Drops all handles of a layer.
    pub fn forget(&self, digest: &Digest) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.open.retain(|(lower, _), _| *lower != Lower::Layer(*digest));
    }

    pub fn hide(&self, paths: &[PathBuf]) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.hidden = paths.to_vec();
        cache.open.retain(|(lower, _), _| *lower != Lower::HostMask);
    }

    /// From now on mapped lowers are attached in `mnt/` when they are opened.
    pub fn attach_from_now(&self) {
        if !self.attach.swap(true, Ordering::Relaxed) {
            self.cache.lock().unwrap_or_else(PoisonError::into_inner).open.clear();
        }
    }

    /// Copies of lowers that the kernel refused, attached for as long as they live.
    pub fn attached(&self, lowers: &[Arc<Opened>]) -> Result<Vec<Arc<Opened>>, Error> {
        let copy = |lower: &Arc<Opened>| {
            if lower.detached { self.attached_copy(lower).map(Arc::new) } else { Ok(Arc::clone(lower)) }
        };
        lowers.iter().map(copy).collect()
    }

    fn open_one(
        &self,
        lower: &Lower,
        hidden: &[PathBuf],
        user_namespace: Option<BorrowedFd<'_>>,
        diff: impl Fn(&Digest) -> PathBuf,
    ) -> Result<Opened, Error> {
        let (fd, path) = match lower {
            Lower::HostMask => (host::mask(hidden)?, PathBuf::from("the mask of the host image")),
            Lower::Layer(digest) => {
                let path = diff(digest);
                let fd = open_folder(&path, user_namespace.is_some()).map_err(|e| match e.kind() {
                    io::ErrorKind::NotFound => Error::NotFound(*digest),
                    _ => fail("open", &path)(e),
                })?;
                (fd, path)
            }
            Lower::Folder(path) => {
                (open_folder(path, user_namespace.is_some()).map_err(fail("open", path))?, path.clone())
            }
        };
        let look = rustix::fs::fstat(&fd).map_err(|e| fail("look at", &path)(e.into()))?;
        if let Some(namespace) = user_namespace {
            sys::idmap::set_idmap(fd.as_fd(), namespace).map_err(|source| match source.kind() {
                io::ErrorKind::InvalidInput => Error::NoIdMap { path: path.clone(), source },
                _ => Error::Mount { step: "map the owners of a layer", source },
            })?;
        }
        let detached = user_namespace.is_some() || *lower == Lower::HostMask;
        let (mode, uid, gid) = (look.st_mode & 0o7777, look.st_uid, look.st_gid);
        let opened = Opened { fd, mode, uid, gid, detached, attached: None };
        if detached && self.attach.load(Ordering::Relaxed) { self.attach(opened) } else { Ok(opened) }
    }

    fn attach(&self, mut opened: Opened) -> Result<Opened, Error> {
        let place = self.mnt.join(base::Id::random().to_string());
        fs::create_dir(&place).map_err(fail("make", &place))?;
        opened.attached = Some(place.clone());
        opened.detached = false;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&opened.fd, "", CWD, &place, flags)
            .map_err(|e| fail("attach a layer at", &place)(e.into()))?;
        Ok(opened)
    }

    fn attached_copy(&self, lower: &Opened) -> Result<Opened, Error> {
        let fd = lower.fd.try_clone().map_err(step("copy a layer"))?;
        self.attach(Opened { fd, mode: lower.mode, uid: lower.uid, gid: lower.gid, detached: true, attached: None })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(place) = &self.attached {
            detach(place);
        }
    }
}

fn detach(place: &Path) {
    let _ = rustix::mount::unmount(place, UnmountFlags::DETACH);
    let _ = fs::remove_dir(place);
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
