//! What is filled or made in a container's root and volumes before its first process.

use crate::{Engine, Error, Result};
use container::{MountPoint, MountSource};
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
}

/// The folder at `path` of a container, found inside its root only.
fn folder_in(root: BorrowedFd<'_>, path: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), inside).ok()
}

/// The host's path of a folder or file inside a volume; nothing outside of it can be named.
pub(super) fn volume_subpath(volume: &volume::Volume, subpath: &str) -> Result<String> {
    let failed =
        |source: std::io::Error| Error::Io { action: format!("use {subpath:?} of volume {}", volume.name), source };
    let root = std::fs::File::open(&volume.mountpoint).map_err(failed)?;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(&root, subpath, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), beneath)
        .map_err(|e| failed(e.into()))?;
    Ok(volume.mountpoint.join(subpath).display().to_string())
}
