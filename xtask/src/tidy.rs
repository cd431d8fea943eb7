//! The house rules that a program can check: which way calls go, what every file opens with, words that have no place.

use crate::suite::root;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Crates by level: calls go down.
const LEVELS: &[(&str, &[&str])] = &[
    ("ground", &["base", "oci"]),
    (
        "tools",
        &["sys", "cgroup", "seccomp", "netlink", "archive", "registry", "rootless", "dns", "cni", "dockerfile", "criu"],
    ),
    ("nouns", &["content", "layer", "image", "volume", "network", "container", "logs", "runtime", "keeper"]),
    ("use cases", &["engine", "build"]),
    ("doors", &["api", "buildkit", "server", "cli", "registry-server", "runtime-cli"]),
    ("outside", &["dhow", "xtask", "it", "compat", "oci-tests", "floor"]),
];

/// The only arrows within a level.
const SIDEWAYS: &[(&str, &str)] = &[
    ("oci", "base"),
    ("cgroup", "sys"),
    ("netlink", "sys"),
    ("rootless", "sys"),
    ("dns", "netlink"),
    ("criu", "sys"),
    ("image", "content"),
    ("image", "layer"),
    ("keeper", "runtime"),
    ("keeper", "logs"),
    ("build", "engine"),
    ("server", "api"),
    ("server", "buildkit"),
    ("registry-server", "api"),
    ("cli", "api"),
];

/// Only these may say `unsafe`.
const UNSAFE: &[&str] = &["crates/sys/"];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helper", "helpers", "manager", "misc"];

/// Lines of a source file above which it is about more than one idea; tables may be longer.
const MOST_LINES: usize = 700;
const TABLES: &[&str] =
    &["crates/seccomp/src/", "crates/container/src/name.rs", "crates/api/src/types", "crates/cli/src/", "/tests/"];

/// All checks; `Err` lists what is wrong.
pub fn run() -> Result<(), String> {
    let mut wrong = arrows()?;
    for file in files()? {
        let text =
            std::fs::read_to_string(root().join(&file)).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        wrong.extend(file_rules(&file, &text));
    }
    if wrong.is_empty() {
        eprintln!("== tidy: in order");
        return Ok(());
    }
    Err(format!("not tidy:\n  {}", wrong.join("\n  ")))
}

fn level(name: &str) -> Option<usize> {
    LEVELS.iter().position(|(_, names)| names.contains(&name))
}

fn arrows() -> Result<Vec<String>, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("cannot run cargo metadata: {e}"))?;
    said(&output, "cargo metadata")?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cannot read cargo metadata: {e}"))?;
    let mut wrong = Vec::new();
    let mut packages = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let uses = package["dependencies"].as_array().into_iter().flatten();
        let uses = uses.filter(|dependency| dependency["kind"].is_null()).filter_map(|d| d["name"].as_str());
        packages.insert(name, uses.collect::<Vec<_>>());
    }
    for (name, uses) in &packages {
        let Some(from) = level(name) else {
            wrong.push(format!("crate {name} has no level: add it to xtask/src/tidy.rs"));
            continue;
        };
        for used in uses.iter().filter(|used| packages.contains_key(*used)) {
            let to = level(used).unwrap_or(usize::MAX);
            if to > from || (to == from && from < LEVELS.len() - 1 && !SIDEWAYS.contains(&(*name, *used))) {
                wrong.push(format!("{name} ({}) must not use {used}", LEVELS[from].0));
            }
        }
    }
    Ok(wrong)
}

fn files() -> Result<Vec<PathBuf>, String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("cannot run git: {e}"))?;
    said(&output, "git ls-files")?;
    let files = String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect::<Vec<_>>();
    Ok(files.into_iter().filter(|file| root().join(file).is_file()).collect())
}

/// What a program says counts only if it succeeded: an empty list would be in order.
fn said(output: &Output, command: &str) -> Result<(), String> {
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command} failed: {}", String::from_utf8_lossy(&output.stderr).trim_end())),
    }
}

fn file_rules(file: &Path, text: &str) -> Vec<String> {
    let shown = file.display().to_string();
    let mut wrong = Vec::new();
    if !text.starts_with("//!") {
        wrong.push(format!("{shown}: opens without a `//!` sentence"));
    }
    if file.components().any(|part| EMPTY_NAMES.contains(&part.as_os_str().to_string_lossy().trim_end_matches(".rs"))) {
        wrong.push(format!("{shown}: a name that says nothing"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES && !TABLES.iter().any(|table| shown.contains(table)) {
        wrong.push(format!("{shown}: {lines} lines, at most {MOST_LINES}"));
    }
    let says_unsafe = text.lines().any(|line| {
        let code = line.split("//").next().unwrap_or_default();
        code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
    });
    if says_unsafe && !UNSAFE.iter().any(|folder| shown.starts_with(folder)) && !shown.starts_with("xtask/") {
        wrong.push(format!("{shown}: `unsafe` stands in crates/sys only"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_failed_has_said_nothing() {
        let output = |line| Command::new("sh").args(["-c", line]).output().expect("a shell");
        assert_eq!(said(&output("echo file.rs"), "x"), Ok(()));
        assert_eq!(said(&output("echo no repository >&2; exit 128"), "x"), Err("x failed: no repository".to_owned()));
    }
}
