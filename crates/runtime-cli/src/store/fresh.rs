//! The folder of a container that is being made.

use super::{CONFIG, Container, GATE, GROUPS, STATE, Saved, remove, write};
use crate::error::{Error, Result};
use oci::runtime::Spec;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder just made for a new container; dropped without [`Fresh::into_container`] it is removed again.
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
        let path = root.join(id);
        make_folder(root, &path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Error::new("container with given ID already exists"),
            _ => cannot(&e),
        })?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| cannot(&e))?;
        Ok(Fresh { path, directory, kept: false })
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

    pub fn save(&self, saved: &Saved) -> Result<()> {
        write(&self.path, STATE, saved)
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
        if !self.kept {
            let _ = remove(&self.path);
        }
    }
}
