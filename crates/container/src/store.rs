//! How records and states are kept: one SQLite file (WAL, synchronous=NORMAL), one row a container.

use crate::{Container, State};
use base::Id;
use std::path::Path;

/// All records of an engine. Callable from many threads at once.
#[derive(Debug)]
pub struct Store {
    // private
}

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the container database {path}")]
    Database { path: std::path::PathBuf, source: rusqlite::Error },
    #[error("the record of container {id} is broken")]
    Record { id: String, source: serde_json::Error },
    #[error("the container database {path} is of version {found}, this engine knows up to {known}: use a newer dhow")]
    Version { path: std::path::PathBuf, found: i64, known: i64 },
}

impl Store {
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let _ = path;
        todo!()
    }
    pub fn insert(&self, container: &Container, state: &State) -> Result<(), StoreError> {
        let _ = (container, state);
        todo!()
    }
    pub fn save_state(&self, id: &Id, state: &State) -> Result<(), StoreError> {
        let _ = (id, state);
        todo!()
    }
    pub fn rename(&self, id: &Id, name: &str) -> Result<(), StoreError> {
        let _ = (id, name);
        todo!()
    }
    pub fn remove(&self, id: &Id) -> Result<(), StoreError> {
        let _ = id;
        todo!()
    }
    pub fn all(&self) -> Result<Vec<(Container, State)>, StoreError> {
        todo!()
    }
}
