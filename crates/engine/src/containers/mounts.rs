//! What is filled or made in a container's root and volumes before its first process.

use super::neighbour::{open_folder, path_of};
use crate::volumes::Held;
use crate::{Engine, Error, Result};
use container::{Container, MountPoint, MountSource};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl Engine {
    /// Copy-up: an empty volume gets what the image has at its mount point.
    pub(super) fn fill_volumes(&self, mounts: &[MountPoint], root: BorrowedFd<'_>, id_base: u32) -> Result<()> {
        for mount in mounts {
            let MountSource::Volume { copy_up: true, subpath: None, .. } = mount.request.source else { continue };
            let Some(folder) = folder_in(root, &mount.request.target) else { continue };
            let volume = self.house.volumes.get(&mount.volume)?;
            self.house.volumes.copy_up(&volume, folder.as_fd(), id_base)?;
        }
        Ok(())
    }

    /// Makes ready what a start mounts. Volumes with options are mounted. Folders inside of volumes are found: by name they could be
    /// another's at the next moment, as a container that has the whole volume puts a link where the folder was. The sources are
    /// paths of descriptors, which hold as long as those are open.
    pub(super) fn pin_mounts(&self, record: &mut Container) -> Result<Pinned<'_>> {
        let mut pinned = Pinned { inside: Vec::new(), images: Vec::new(), _held: self.hold_volumes(record)? };
        let stand_in = self.house.roots.container(&record.id).display().to_string();
        let own_users = record.own_user_namespace;
        for mount in &mut record.mounts {
            match &mount.request.source {
                MountSource::Volume { subpath: Some(subpath), .. } => {
                    let inside = open_subpath(&self.house.volumes.get(&mount.volume)?, subpath)?;
                    mount.source = path_of(&inside);
                    pinned.inside.push(inside);
                }
                MountSource::Layers { layers, subpath, scratch } => {
                    let tree = self.layers_tree(layers, subpath.as_deref(), scratch.as_deref(), own_users)?;
                    pinned.images.push((mount.request.target.clone(), tree));
                    mount.source.clone_from(&stand_in);
                }
                MountSource::Image { subpath, .. } => {
                    let tree = self.image_tree(&mount.source, subpath.as_deref(), own_users)?;
                    pinned.images.push((mount.request.target.clone(), tree));
                    mount.source.clone_from(&stand_in);
                }
                _ => {}
            }
        }
        Ok(pinned)
    }

    /// The files of an image, or a part of them, as a detached mount that is only read.
    pub(super) fn image_tree(&self, id: &str, subpath: Option<&str>, own_users: bool) -> Result<OwnedFd> {
        let house = &self.house;
        let image = house.images.get(id)?;
        let (namespace, owner) = match own_users && house.settings.shifts_ids() {
            true => (Some(house.user_namespace.as_fd()), house.settings.id_base),
            false => (None, 0),
        };
        let tree = house.images.layers().image_view(&image.lowers, namespace, owner)?;
        let Some(subpath) = subpath else { return Ok(tree) };
        let failed = |e: Errno| Error::Io { action: format!("use {subpath:?} of image {id}"), source: e.into() };
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let found = rustix::fs::openat2(&tree, subpath, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside);
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        found.and_then(|found| rustix::mount::open_tree(&found, "", flags)).map_err(failed)
    }
}

/// What a start holds until its plan has it.
pub(super) struct Pinned<'a> {
    inside: Vec<OwnedFd>,
    /// Where the files of images go. In the plan the container's own folder stands for them: they are detached mounts already,
    /// and before Linux 6.15 such a one cannot be opened as the source of a bind.
    images: Vec<(String, OwnedFd)>,
    /// Volumes that stay mounted until the container runs.
    _held: Held<'a>,
}

impl Pinned<'_> {
    /// Puts the files of images where the plan has their stand-ins.
    pub(super) fn place(&mut self, prepared: &mut runtime::Prepared) -> Result<()> {
        self.inside.clear();
        for (target, tree) in self.images.drain(..) {
            let is_file = rustix::fs::fstat(&tree).map_or(0, |stat| stat.st_mode) & 0o170_000 != 0o040_000;
            let step = prepared.plan.mounts.iter_mut().find(|step| step.destination == target);
            let place = step.and_then(|step| match &mut step.source {
                runtime::MountSource::Detached { fd, file } => {
                    *file = is_file;
                    usize::try_from(*fd).ok()
                }
                _ => None,
            });
            let place = place.and_then(|index| prepared.fds.get_mut(index));
            *place.ok_or_else(|| Error::Conflict(format!("the plan has no place for the image at {target}")))? = tree;
        }
        Ok(())
    }
}

/// The folder at `path` of a container, found inside its root only.
fn folder_in(root: BorrowedFd<'_>, path: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), inside).ok()
}

/// The host's path of a folder or file inside a volume, to be shown; nothing outside of it can be named.
pub(super) fn volume_subpath(volume: &volume::Volume, subpath: &str) -> Result<String> {
    open_subpath(volume, subpath)?;
    Ok(volume.mountpoint.join(subpath).display().to_string())
}

pub(super) fn open_subpath(volume: &volume::Volume, subpath: &str) -> Result<OwnedFd> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let opened = open_folder(&volume.mountpoint)
        .and_then(|root| rustix::fs::openat2(&root, subpath, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), beneath));
    let action = || format!("use {subpath:?} of volume {}", volume.name);
    opened.map_err(|e| Error::Io { action: action(), source: e.into() })
}
