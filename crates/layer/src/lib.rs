//! Layers: each a folder with only its own difference, named by the digest of its uncompressed tar (diffID).
//!
//! ```text
//!   layers/sha256/HEX/diff     the tree; whiteouts as overlayfs wants them (char 0:0, trusted.overlay.opaque)
//!   layers/sha256/HEX/size     bytes of its files
//!   layers/tmp/...             half-unpacked trees, removed at start
//! ```
#![forbid(unsafe_code)]

use base::Digest;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// All layers of an engine.
#[derive(Debug)]
pub struct Store {
    // private
}

/// One lower folder of a container's root, lowest last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lower {
    Layer(Digest),
    /// A folder of the host, as it is (the `host` image).
    Folder(PathBuf),
}

/// Why a layer operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("layer {0} is not in the store")]
    NotFound(Digest),
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the layer's tar is broken")]
    Archive(#[from] archive::Error),
    #[error("wrong diff id: the layer is {actual}, the image says {expected}")]
    WrongDiffId { expected: Digest, actual: Digest },
    #[error("cannot mount the container's root: {step}")]
    Mount { step: &'static str, source: std::io::Error },
}

/// How a container's root is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Written data reach the disk when the container ends.
    AtUnmount,
    /// overlayfs `volatile`: for containers that are removed when they end.
    Never,
}

impl Store {
    /// Opens the store at `root` (mode 0700) and removes what an earlier process left half-done.
    pub fn open(root: &Path) -> Result<Store, Error> {
        let _ = root;
        todo!()
    }
    pub fn has(&self, diff_id: &Digest) -> bool {
        let _ = diff_id;
        todo!()
    }
    /// Unpacks a tar stream (plain, gzip or zstd, found by its first bytes). Verifies `expected` when given. Same layer twice at once: unpacked once.
    pub fn unpack(&self, tar: &mut dyn std::io::Read, expected: Option<&Digest>) -> Result<Digest, Error> {
        let _ = (tar, expected);
        todo!()
    }
    /// Bytes of the files of a layer.
    pub fn size(&self, diff_id: &Digest) -> Result<u64, Error> {
        let _ = diff_id;
        todo!()
    }
    pub fn list(&self) -> Result<Vec<Digest>, Error> {
        todo!()
    }
    pub fn remove(&self, diff_id: &Digest) -> Result<(), Error> {
        let _ = diff_id;
        todo!()
    }
    /// Mounts an overlay of `lowers` (topmost first) and the writable folder `rw` as a detached mount.
    ///
    /// `rw` gets `upper` (owned by `owner`, mode 0755) and `work`. With `user_namespace` every lower is id-mapped with its maps, so
    /// that root on disk is root of the container.
    pub fn mount(
        &self,
        lowers: &[Lower],
        rw: &Path,
        user_namespace: Option<BorrowedFd<'_>>,
        owner: u32,
        sync: Sync,
    ) -> Result<OwnedFd, Error> {
        let _ = (lowers, rw, user_namespace, owner, sync);
        todo!()
    }
}
