//! The command line: docker's words and flags, over the same API that docker uses.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Runs `dhow ARGS...` (without argv 0).
pub fn main(args: Vec<std::ffi::OsString>) -> ExitCode {
    let _ = args;
    ExitCode::SUCCESS
}
