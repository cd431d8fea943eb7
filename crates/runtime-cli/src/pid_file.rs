//! The file that tells the number of a process (`--pid-file`).

use crate::error::{Error, Result};
use base::atomic::{self, Durability};
use std::path::Path;

/// Writes it whole; whoever waits for it never sees half a number.
pub fn write(path: Option<&Path>, pid: i32) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    atomic::write(path, pid.to_string().as_bytes(), 0o666, Durability::Process)
        .map_err(|e| Error::new(format!("cannot write pid file {}: {e}", path.display())))
}
