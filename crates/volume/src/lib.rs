//! Named volumes of the `local` driver: a folder each, `volumes/NAME/_data` below the data root.
#![forbid(unsafe_code)]

use std::path::PathBuf;

/// All volumes.
#[derive(Debug)]
pub struct Store {
    // private
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
    #[error("no such volume: {0}")]
    NotFound(String),
    #[error("invalid volume name {0:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    Name(String),
    #[error("cannot {action} volume {name}")]
    Io { action: &'static str, name: String, source: std::io::Error },
}

impl Store {
    pub fn open(root: PathBuf) -> Result<Store, Error> {
        let _ = root;
        todo!()
    }
    /// The volume of that name, made when missing; `None` makes an anonymous one with a name of 64 hex digits.
    pub fn create(&self, name: Option<&str>, labels: std::collections::BTreeMap<String, String>) -> Result<Volume, Error> {
        let _ = (name, labels);
        todo!()
    }
    pub fn get(&self, name: &str) -> Result<Volume, Error> {
        let _ = name;
        todo!()
    }
    pub fn list(&self) -> Result<Vec<Volume>, Error> {
        todo!()
    }
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let _ = name;
        todo!()
    }
    /// Copy-up: fills an empty volume from `source` (a folder opened below a container's root), owners, modes, times, xattrs and
    /// hard links kept; owners are taken as the kernel shows them through `source`, minus `id_base` where they are at least that
    /// (the source is seen through an id-mapped mount).
    pub fn copy_up(&self, volume: &Volume, source: std::os::fd::BorrowedFd<'_>, id_base: u32) -> Result<(), Error> {
        let _ = (volume, source, id_base);
        todo!()
    }
}
