//! What is filled or made in a container's root and volumes before its first process.

use super::neighbour::{open_folder, path_of};
use crate::{Engine, Error, Result};
use container::{Container, MountPoint, MountSource};
use rustix::fs::{Mode, OFlags, ResolveFlags};
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

    /// Finds the folders inside of volumes that are mounted, for one start. By name they could be another's at the next moment: a
    /// container that has the whole volume puts a link where the folder was. The sources are paths of descriptors, which hold as
    /// long as those are open.
    pub(super) fn pin_subpaths(&self, record: &mut Container) -> Result<Vec<OwnedFd>> {
        let mut pinned = Vec::new();
        for mount in &mut record.mounts {
            let MountSource::Volume { subpath: Some(subpath), .. } = &mount.request.source else { continue };
            let inside = open_subpath(&self.house.volumes.get(&mount.volume)?, subpath)?;
            mount.source = path_of(&inside);
            pinned.push(inside);
        }
        Ok(pinned)
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

fn open_subpath(volume: &volume::Volume, subpath: &str) -> Result<OwnedFd> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let opened = open_folder(&volume.mountpoint)
        .and_then(|root| rustix::fs::openat2(&root, subpath, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), beneath));
    let action = || format!("use {subpath:?} of volume {}", volume.name);
    opened.map_err(|e| Error::Io { action: action(), source: e.into() })
}
