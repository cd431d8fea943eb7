//! Where a container's output goes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Driver {
    /// One JSON object a line, as Docker's `json-file`.
    #[default]
    JsonFile,
    /// Output is read and dropped.
    None,
    /// Short lines that keep every byte: for `local`, and for what is sent elsewhere too.
    Local,
}

/// A container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub driver: Driver,
    /// The current file; rotated ones are `PATH.1`, `PATH.2`, ..., or `PATH.1.gz` when compressed.
    pub path: PathBuf,
    /// Bytes after which the file is rotated; 0 is never.
    pub max_size: u64,
    /// Files kept, the current one included; at least 1.
    pub max_file: u32,
    /// Rotated files are compressed, by [`crate::compress()`].
    pub compress: bool,
    /// What every entry says besides its line, for `logs --details`.
    pub attributes: BTreeMap<String, String>,
}
