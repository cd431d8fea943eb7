//! Named volumes of the `local` driver: a folder each, `volumes/NAME/_data` below the data root.
//!
//! ```text
//!  create -> empty -> copy_up -> filled ... remove
//!
//!  ROOT/NAME/volume.json   the record
//!  ROOT/NAME/_data         what is mounted; its inode stays the same as long as the volume lives
//!  ROOT/NAME/_data.tmp     copy-up under way: thrown away after a crash
//!  ROOT/NAME/_data.full    copy-up read completely: moved into `_data`, also after a crash
//!  ROOT/.new-ID .gone-ID   volumes being made or removed: thrown away after a crash
//! ```
//!
//! Names begin with a letter or a digit, so nothing that begins with a dot is ever taken for a volume.
//!
//! - *anonymous*: made for one container, without a name of the user's; its name is 64 hex digits.
//! - *copy-up*: what the image has at the mount point becomes the content of a volume that is still empty.
//!
//! - *options*: `type`, `device` and `o` of the `local` driver: another file system, mounted at `_data` while it is used.
//! - *clone*: a copy of a volume, by shared blocks where the file system can.
//!
//! Start at [`Store`]. `store` knows the layout, `record` the file, `copy` the walk of a copy, `file` one file of it, `options`
//! what volumes with options are, `clone` copies and new names.
#![forbid(unsafe_code)]

mod clone;
mod copy;
mod file;
mod options;
mod record;
mod store;

pub use base::tree::remove as remove_tree;
pub use store::Store;

use base::{Kind, Kinded};
use std::path::PathBuf;

/// The label that Docker gives to anonymous volumes.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// A volume, and whether it was made just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub volume: Volume,
    pub is_new: bool,
}

impl Made {
    fn new(volume: Volume) -> Made {
        Made { volume, is_new: true }
    }
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Volume {
    pub name: String,
    /// RFC 3339.
    pub created_at: String,
    pub labels: std::collections::BTreeMap<String, String>,
    pub options: std::collections::BTreeMap<String, String>,
    /// Made for one container, without a name of the user's.
    pub anonymous: bool,
    /// The folder that is mounted.
    pub mountpoint: PathBuf,
}

/// Why a volume operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("get {0}: no such volume")]
    NotFound(String),
    #[error("invalid volume name {0:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    Name(String),
    #[error("create {name}: {why}")]
    Options { name: String, why: String },
    #[error("volume {0} is there already")]
    Taken(String),
    #[error("cannot clone volume {name}: {why}")]
    Uncloneable { name: String, why: String },
    #[error("cannot rename volume {name}: {why}")]
    Unrenamable { name: String, why: String },
    #[error("cannot {action} volume {name}")]
    Io { action: &'static str, name: String, source: std::io::Error },
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::NotFound(_) => Kind::NotFound,
            Error::Name(_) | Error::Options { .. } => Kind::Invalid,
            Error::Taken(_) | Error::Unrenamable { .. } => Kind::Conflict,
            Error::Uncloneable { .. } => Kind::Unsupported,
            Error::Io { .. } => Kind::Internal,
        }
    }
}
