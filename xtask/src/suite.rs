//! All tests, in the order in which they are cheapest to fail.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the checkout is.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Runs `cargo WORDS...`; `Err` says which words failed.
pub fn cargo(words: &[&str]) -> Result<(), String> {
    cargo_with(words, &[])
}

/// The same with variables in its environment.
pub fn cargo_with(words: &[&str], env: &[(&str, &OsStr)]) -> Result<(), String> {
    eprintln!("== cargo {}", words.join(" "));
    let status = Command::new("cargo").args(words).envs(env.iter().copied()).current_dir(root()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo {} failed: {status}", words.join(" "))),
        Err(e) => Err(format!("cannot run cargo: {e}")),
    }
}

/// The binary that [`cargo`] builds with `--profile NAME` (`dev` goes to `debug`).
pub fn binary(profile: &str) -> Result<PathBuf, String> {
    let folder = if profile == "dev" { "debug" } else { profile };
    let found = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
        .iter()
        .map(|target| root().join("target").join(target).join(folder).join("dhow"))
        .find(|path| path.is_file());
    found.ok_or_else(|| "the dhow binary is not where cargo should have put it".to_owned())
}

/// Everything.
pub fn run() -> Result<(), String> {
    crate::tidy::run()?;
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo(&["build", "--bin", "dhow"])?;
    cargo(&["test", "--workspace", "--no-fail-fast"])
}

/// Everything, then the suites in machines with cgroup v2, without and with systemd.
pub fn run_in_machines() -> Result<(), String> {
    run()?;
    crate::vm::run(&["smoke", "alone", "systemd"].map(|machine| ["--machine".to_owned(), machine.to_owned()]).concat())
}
