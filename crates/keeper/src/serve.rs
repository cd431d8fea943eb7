//! The keeper process itself.

use std::path::Path;
use std::process::ExitCode;

/// `dhow keeper EXEC_ROOT`: serves until no container and no engine is left.
pub fn main(exec_root: &Path) -> ExitCode {
    let _ = exec_root;
    todo!()
}
