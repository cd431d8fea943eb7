//! The folder of a container that is being made.

use super::{CONFIG, Container, GATE, GROUPS, STATE, Saved, folder, write};
use crate::error::{Error, Result};
use crate::log;
use oci::runtime::Spec;
use rustix::fs::AtFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder just made for a new container; dropped without [`Fresh::into_container`] it is removed again. It is held until what
/// others need is saved: nobody takes it for what a killed call left behind.
#[derive(Debug)]
pub struct Fresh {
    pub path: PathBuf,
    directory: OwnedFd,
    kept: bool,
}

impl Fresh {
    pub(super) fn make(root: &Path, id: &str) -> Result<Fresh> {
        let cannot =
            |e: &dyn std::error::Error| Error::because(format_args!("cannot make the state folder of {id}"), e);
        let exists = || Error::new("container with given ID already exists");
        let path = root.join(id);
        log::debug(&format!("making the state folder {}", path.display()));
        loop {
            make_folder(root, &path).map_err(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => exists(),
                _ => cannot(&e),
            })?;
            // Before it was held, a `delete --force` could take it away and somebody else make it again.
            let Some(directory) = folder::open_locked(&path).map_err(|e| cannot(&e))? else { continue };
            return match rustix::fs::statat(&directory, STATE, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(exists()),
                Err(_) => Ok(Fresh { path, directory, kept: false }),
            };
        }
    }

    /// Opens the gate: a listening SOCK_SEQPACKET socket at `start.sock`, however long the path is.
    pub fn gate(&self) -> Result<OwnedFd> {
        let open = || -> rustix::io::Result<OwnedFd> {
            // sun_path holds 108 bytes, a state folder may have a longer path.
            let path = format!("/proc/self/fd/{}/{GATE}", self.directory.as_raw_fd());
            let socket =
                rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
            rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
            rustix::net::listen(&socket, 1)?;
            Ok(socket)
        };
        open().map_err(|e| Error::because("cannot open the gate of the container", &e))
    }

    /// Notes where the groups will be, so that `delete` finds them when this process is killed before it could save more: as
    /// the target of a link, which is one system call.
    pub fn note_groups(&self, cgroups_path: &str) -> Result<()> {
        rustix::fs::symlinkat(cgroups_path, &self.directory, GROUPS)
            .map_err(|e| Error::because("cannot note the cgroups of the container", &e))
    }

    /// Saves what others need, and lets them come.
    pub fn save(&self, saved: &Saved) -> Result<()> {
        write(&self.path, STATE, saved)?;
        folder::unlock(&self.directory);
        Ok(())
    }

    pub fn save_config(&self, config: &Spec) -> Result<()> {
        write(&self.path, CONFIG, config)
    }

    /// Keeps it, as the container that `saved` tells of.
    pub fn into_container(mut self, saved: Saved) -> Result<Container> {
        let directory = self.directory.try_clone().map_err(|e| Error::of(&e))?;
        self.kept = true;
        Ok(Container { folder: self.path.clone(), saved, directory })
    }
}

/// Most often the root is there already.
fn make_folder(root: &Path, path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match builder.create(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o700).recursive(true).create(root)?;
            builder.create(path)
        }
        made => made,
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Since it was saved, a `delete` may have been here, and somebody else have made the next one.
        let ours = folder::lock(&self.directory).and_then(|()| folder::is_at(&self.directory, &self.path));
        if ours.unwrap_or(true) {
            let _ = folder::remove(&self.path);
        }
    }
}
