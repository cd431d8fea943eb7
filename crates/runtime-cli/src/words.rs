//! What was typed becomes what is meant: global options, the verb, its options, help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options before the verb.
#[derive(Debug, Clone, Default)]
pub struct Global {
    /// What the program was called as.
    pub name: String,
    /// `--root`: where state folders are. Default /run/<name>, or $XDG_RUNTIME_DIR/<name> without root's rights.
    pub root: PathBuf,
    pub systemd_cgroup: bool,
    /// `--rootless`: `None` is auto.
    pub rootless: Option<bool>,
    pub debug: bool,
}

pub fn run(name: &str, args: Vec<OsString>) -> ExitCode {
    let _ = (name, args);
    todo!()
}
