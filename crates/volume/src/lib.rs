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
//! Start at [`Store`]. `store` knows the layout, `record` the file, `copy` the walk of a copy-up, `file` one file of it.
#![forbid(unsafe_code)]

mod copy;
mod file;
mod record;
mod store;

pub use base::tree::remove as remove_tree;
pub use store::Store;

use base::{Kind, Kinded};
use std::path::PathBuf;

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
    #[error("no such volume: {0}")]
    NotFound(String),
    #[error("invalid volume name {0:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    Name(String),
    #[error("cannot {action} volume {name}")]
    Io { action: &'static str, name: String, source: std::io::Error },
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::NotFound(_) => Kind::NotFound,
            Error::Name(_) => Kind::Invalid,
            Error::Io { .. } => Kind::Internal,
        }
    }
}
