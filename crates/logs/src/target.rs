//! Where a container's output goes.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A log driver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Driver {
    /// One JSON object a line, as Docker's `json-file`.
    #[default]
    JsonFile,
    /// Output is read and dropped.
    None,
}

/// A container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub driver: Driver,
    /// The current file; rotated ones are `PATH.1`, `PATH.2`, ...
    pub path: PathBuf,
    /// Bytes after which the file is rotated; 0 is never.
    pub max_size: u64,
    /// Files kept, the current one included; at least 1.
    pub max_file: u32,
}

impl Target {
    /// The rotated file number `index`; 0 is the current file.
    pub(crate) fn rotated(&self, index: u32) -> PathBuf {
        if index == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{index}"));
        name.into()
    }
}
