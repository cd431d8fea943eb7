//! Layers: each a folder with only its own difference, named by the digest of its uncompressed tar (diffID).
//!
//! ```text
//!   sha256/HEX/diff       the tree; whiteouts as overlayfs wants them (char 0:0, trusted.overlay.opaque or, of a user, user.overlay.opaque)
//!   sha256/HEX/size       bytes of its files
//!   sha256/HEX/unsynced   the boot in which it was unpacked, until its bytes are known to be on disk
//!   bottom                what every container has unless its image has it, below its layers
//!   tmp/...               half-unpacked and half-removed trees, removed at start
//!   mnt/...               where id-mapped layers are attached on kernels older than 6.15
//! ```
//!
//! ```text
//!   tar --unpack--> tmp/ID --rename--> sha256/HEX (unsynced) --sync--> sha256/HEX --remove--> tmp/ID --> gone
//! ```
//!
//! **Durability.** A layer is complete as soon as it has its name: a killed process leaves only garbage in `tmp`. It
//! survives a power cut after [`Store::sync`]; a layer that was still `unsynced` when the machine went down is removed
//! at the next [`Store::open`], because nobody can know which of its bytes reached the disk.
//!
//! **Kernels.** Id-mapped layers need Linux 5.19. Since 6.15 lowers go into the overlay by fd and are mounted nowhere; for
//! older kernels they are attached in `mnt/`, and since 6.7 added one by one, before that in one string. [`Store::open`]
//! finds out which way it is.
#![forbid(unsafe_code)]

mod adopt;
mod bottom;
mod capture;
mod host;
mod lower;
mod mount;
mod quota;
mod store;
mod unpack;
mod upkeep;
mod way;

pub use adopt::{Adopted, Work};
pub use capture::{Change, ChangeKind, View, repack_of};
pub use host::{Submount, host_submounts};
pub use store::{Store, tree_of};
pub use upkeep::{Trash, Verified};

use base::Digest;
use std::path::PathBuf;

/// One lower folder of a container's root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lower {
    Layer(Digest),
    /// A folder of the host, as it is (the `host` image).
    Folder(PathBuf),
    /// The whiteouts of [`Store::hide_from_host_image`], to stand above `Folder("/")`.
    HostMask,
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
    #[error("an image of {count} layers: overlayfs takes at most {most}")]
    TooManyLayers { count: usize, most: usize },
    /// In Docker's words.
    #[error("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")]
    NoQuota,
    #[error("cannot map the owners of {path}: its file system has no id-mapped mounts (use --userns=host)")]
    NoIdMap { path: PathBuf, source: std::io::Error },
}

impl base::Kinded for Error {
    fn kind(&self) -> base::Kind {
        match self {
            Error::NotFound(_) => base::Kind::NotFound,
            Error::Io { source, .. } => base::Kinded::kind(source),
            Error::Archive(error) => error.kind(),
            Error::WrongDiffId { .. } | Error::TooManyLayers { .. } => base::Kind::Invalid,
            Error::NoIdMap { .. } => base::Kind::Unsupported,
            // As Docker: what the engine lies on is not the asker's fault.
            Error::NoQuota => base::Kind::Internal,
            Error::Mount { .. } => base::Kind::Internal,
        }
    }
}

/// How a container's root is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Written data reach the disk when the container ends.
    AtUnmount,
    /// overlayfs `volatile`: for containers that are removed when they end.
    Never,
}
