//! The root of a container that does not run, put somewhere to be looked at: its mounts over its layers.
//!
//! All of it is in a mount namespace of one thread, at the place of the container's own folder, and gone with the thread.

use super::path;
use crate::containers::mounts::open_subpath;
use crate::containers::neighbour::path_of;
use crate::{Engine, Error, Result};
use container::{Container, MountSource};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::thread::UnshareFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use sys::mount::{Change, Propagation, Reach, attribute};

/// What is done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Whether something that is mounted is a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
}

/// Something to be mounted: a detached copy.
pub(super) struct Source {
    target: String,
    kind: Kind,
    tree: OwnedFd,
    readonly: bool,
}

/// Where a root goes, and whose its files are.
pub(super) struct Seat<'a> {
    /// Covered by the root.
    pub(super) folder: PathBuf,
    /// The user namespace by whose maps mounts are seen; `None` shows owners as they are on disk.
    pub(super) id_map: Option<BorrowedFd<'a>>,
    /// Owner of what is made to mount on.
    pub(super) made_of: u32,
}

/// A root with its mounts. Dropped, it is taken off its place.
pub(super) struct Seated {
    folder: PathBuf,
}

impl Drop for Seated {
    fn drop(&mut self) {
        if let Err(e) = rustix::mount::unmount(&self.folder, UnmountFlags::DETACH) {
            tracing::warn!("cannot unmount {}: {e}", self.folder.display());
        }
    }
}

impl Seated {
    pub(super) fn root(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(&self.folder, flags, Mode::empty()).map_err(|e| failed("/", e))
    }
}

impl Seat<'_> {
    /// Puts `root` in its place, and what belongs over it. On a thread of its own.
    pub(super) fn take(&self, root: BorrowedFd<'_>, sources: &[Source]) -> Result<Seated> {
        // What is made in volumes, seen as they are, is of their own root.
        own_namespace().map_err(|source| Error::Io { action: "make a mount namespace".into(), source })?;
        attach(root, self.open_folder()?.as_fd()).map_err(|e| failed("/", e))?;
        let seated = Seated { folder: self.folder.clone() };
        let top = seated.root()?;
        let at = |target: &str| format!("mount {target}");
        for source in sources {
            self.place(top.as_fd(), source).map_err(|e| Error::Io { action: at(&source.target), source: e })?;
        }
        // Last, so that what is mounted inside of another one finds its place there.
        let readonly = Change { set: attribute::RDONLY, ..Change::default() };
        for source in sources.iter().filter(|source| source.readonly) {
            let done = sys::mount::set_attributes(source.tree.as_fd(), readonly, Reach::Recursive);
            done.map_err(|e| Error::Io { action: at(&source.target), source: e })?;
        }
        Ok(seated)
    }

    fn open_folder(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &self.folder, flags, Mode::empty()).map_err(|e| failed("/", e))
    }

    fn place(&self, top: BorrowedFd<'_>, source: &Source) -> std::io::Result<()> {
        let place = self.make_place(top, &source.target, source.kind)?;
        self.dress(source)?;
        Ok(attach(source.tree.as_fd(), place.as_fd())?)
    }

    /// All id-mapped, else the topmost, else none: as at a start (runtime, prepare/binds.rs).
    fn dress(&self, source: &Source) -> std::io::Result<()> {
        let tree = source.tree.as_fd();
        let plain = Change { propagation: Some(Propagation::Private), ..Change::default() };
        let Some(id_map) = self.id_map else { return sys::mount::set_attributes(tree, plain, Reach::Recursive) };
        let mapped = Change { id_map: Some(id_map), ..plain };
        if sys::mount::set_attributes(tree, mapped, Reach::Recursive).is_ok() {
            return Ok(());
        }
        sys::mount::set_attributes(tree, plain, Reach::Recursive)?;
        let only_map = Change { id_map: Some(id_map), ..Change::default() };
        let _ = sys::mount::set_attributes(tree, only_map, Reach::One);
        Ok(())
    }

    /// What is at `target`, made where it is missing.
    pub(super) fn make_place(
        &self,
        root: BorrowedFd<'_>,
        target: &str,
        kind: Kind,
    ) -> std::result::Result<OwnedFd, Errno> {
        match path::follow_to(root, target) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        let clean = path::cleaned(target);
        let (parent, name) = clean.rsplit_once('/').unwrap_or(("", &clean));
        let parent = match parent {
            "" => path::follow_to(root, "/")?,
            parent => self.make_place(root, parent, Kind::Folder)?,
        };
        let made = match kind {
            Kind::Folder => rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)),
            Kind::File => rustix::fs::mknodat(&parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0),
        };
        match made {
            Ok(()) => {
                let owner = (Some(Uid::from_raw(self.made_of)), Some(Gid::from_raw(self.made_of)));
                rustix::fs::chownat(&parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        path::follow_to(root, target)
    }
}

impl Engine {
    /// Detached copies of what is mounted in a container, parents first: volumes, binds, the engine's own files.
    pub(super) fn seat_sources(&self, record: &Container, access: Access) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        for mount in &record.mounts {
            let (path, recursive) = match &mount.request.source {
                MountSource::Bind { recursive, .. } => (mount.source.clone(), *recursive),
                MountSource::Volume { subpath: None, .. } => (mount.source.clone(), true),
                MountSource::Volume { subpath: Some(subpath), .. } => {
                    let inside = open_subpath(&self.house.volumes.get(&mount.volume)?, subpath)?;
                    sources.push(
                        source(&mount.request.target, &path_of(&inside), true)?.read_only(mount.request.readonly),
                    );
                    continue;
                }
                MountSource::Image { subpath, .. } => {
                    let own_users = access == Access::Write && record.own_user_namespace;
                    let tree = self.image_tree(&mount.source, subpath.as_deref(), own_users)?;
                    let kind = kind_of(rustix::fs::fstat(&tree).map_err(|e| failed(&mount.request.target, e))?.st_mode);
                    sources.push(Source { target: mount.request.target.clone(), kind, tree, readonly: true });
                    continue;
                }
                // What a step of a build is shown is nobody's to copy.
                MountSource::Tmpfs { .. } | MountSource::Layers { .. } => continue,
            };
            sources.push(source(&mount.request.target, &path, recursive)?.read_only(mount.request.readonly));
        }
        let folder = self.house.roots.container(&record.id);
        for (target, name) in FILES {
            let path = folder.join(name);
            let taken = sources.iter().any(|source| source.target == target);
            if !taken && path.exists() {
                sources.push(source(target, &path.display().to_string(), false)?);
            }
        }
        if access == Access::Read {
            sources.iter_mut().for_each(|source| source.readonly = true);
        }
        sources.sort_by_key(|source| source.target.matches('/').count());
        Ok(sources)
    }
}

/// The engine's files of a container, once it was started.
const FILES: [(&str, &str); 3] = [
    ("/etc/hostname", crate::containers::start::HOSTNAME),
    ("/etc/hosts", crate::containers::start::HOSTS),
    ("/etc/resolv.conf", crate::containers::start::RESOLV),
];

impl Source {
    fn read_only(self, readonly: bool) -> Source {
        Source { readonly, ..self }
    }
}

fn source(target: &str, path: &str, recursive: bool) -> Result<Source> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    let used = |e: Errno| Error::Io { action: format!("use the mount source {path}"), source: e.into() };
    let tree = rustix::mount::open_tree(CWD, path, flags).map_err(used)?;
    let kind = kind_of(rustix::fs::fstat(&tree).map_err(used)?.st_mode);
    Ok(Source { target: target.to_owned(), kind, tree, readonly: false })
}

fn kind_of(mode: u32) -> Kind {
    if FileType::from_raw_mode(mode) == FileType::Directory { Kind::Folder } else { Kind::File }
}

/// What a container's volumes and binds are mounted on.
pub(super) fn targets(record: &Container) -> impl Iterator<Item = (&str, Kind)> {
    record.mounts.iter().filter_map(|mount| {
        let kind = match &mount.request.source {
            MountSource::Tmpfs { .. } => return None,
            MountSource::Image { .. } => Kind::Folder,
            _ => kind_of(rustix::fs::stat(mount.source.as_str()).map_or(0o040_000, |stat| stat.st_mode)),
        };
        Some((mount.request.target.as_str(), kind))
    })
}

/// A namespace that hears of what is unmounted outside, and tells nothing.
fn own_namespace() -> std::io::Result<()> {
    sys::namespace::unshare(UnshareFlags::FS | UnshareFlags::NEWNS)?;
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let deaf = Change { propagation: Some(Propagation::Slave), ..Change::default() };
    sys::mount::set_attributes(root.as_fd(), deaf, Reach::Recursive)
}

fn attach(tree: BorrowedFd<'_>, place: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", place, "", flags)
}

pub(super) fn failed(target: &str, e: Errno) -> Error {
    Error::Io { action: format!("mount {target}"), source: e.into() }
}
