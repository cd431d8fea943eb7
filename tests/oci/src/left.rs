//! What a runtime may leave behind, and must not.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of the container's cgroup in every hierarchy, found below the mounts of cgroup file systems.
pub fn cgroup_folders(path: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let roots = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, root, kind) = (words.next()?, words.next()?, words.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(root))
    });
    let mut found: Vec<_> =
        roots.map(|root| root.join(path.trim_start_matches('/'))).filter(|path| path.is_dir()).collect();
    found.dedup();
    found
}

/// Mounts of this mount namespace at or below a folder.
pub fn mounts_below(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|at| at.starts_with(&folder)))
        .map(str::to_owned)
        .collect()
}

/// Processes whose root, program or working folder lies below `folder`, as `pid: link`.
pub fn processes_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else { continue };
        let links = ["root", "cwd"].map(|link| fs::read_link(format!("/proc/{pid}/{link}")));
        if pid != std::process::id().to_string() && links.iter().flatten().any(|at| at.starts_with(folder)) {
            found.push(format!("{pid}: {links:?}"));
        }
    }
    found
}
