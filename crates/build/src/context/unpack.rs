//! A context that comes as a tar: unpacked into a folder of its own, which goes with the build.

use super::Folder;
use crate::{Error, Result};
use archive::{Destination, Replacing};
use base::Id;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where it lies; dropped, it is gone.
#[derive(Debug)]
pub struct Unpacked {
    path: PathBuf,
}

impl Unpacked {
    /// A fresh, empty folder in `parent`.
    pub fn make(parent: &Path) -> Result<Unpacked> {
        let path = parent.join(Id::random().to_string());
        std::fs::create_dir_all(&path).map_err(Error::io(format!("make {}", path.display())))?;
        Ok(Unpacked { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder, to be read while the build goes on.
    pub fn into_folder(self) -> Result<Folder> {
        Ok(Folder::open(&self.path)?.keeping(Box::new(self)))
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        if let Err(error) = base::tree::remove(&self.path) {
            tracing::warn!("cannot delete {}: {error}", self.path.display());
        }
    }
}

/// Unpacks a tar (plain, or compressed with gzip, bzip2, xz or zstd) below `parent`.
pub fn unpack(tar: impl Read, parent: &Path) -> Result<Unpacked> {
    let unpacked = Unpacked::make(parent)?;
    let plain = archive::decompress_any(tar)?;
    let root = std::fs::File::open(&unpacked.path).map_err(Error::io("open a context"))?;
    let destination = Destination {
        root: root.as_fd(),
        folder: root.as_fd(),
        path: "/",
        named: "/",
        renamed: None,
        owner: 0,
        of: None,
        replacing: Replacing::Anything,
    };
    archive::copy_in(plain, destination)?;
    Ok(unpacked)
}
