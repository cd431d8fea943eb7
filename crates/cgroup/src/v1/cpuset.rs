//! CPUs and memory nodes on v1: a group without any takes no process (cgroup-v1/cpusets.rst).

use crate::Error;
use crate::folder::{Folder, SELF};
use std::path::Path;

const FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Gives a parent what its own parent has, and to every group made below it, with no write when a group is made.
pub(super) fn inherit_for_all(from: &Folder, to: &Folder) -> Result<(), Error> {
    inherit(from, to)?;
    let file = "cgroup.clone_children";
    to.put(SELF, file, "1").map_err(|e| to.failed("write", file, e))
}

/// Gives a group, and those above it up to the root of the mount, what their parents have; what is set stays.
pub(super) fn inherit_down(root: &Path, group: &Folder) -> Result<(), Error> {
    if group.path() == root || is_set(group)? {
        return Ok(());
    }
    let Some(parent) = group.path().parent() else { return Ok(()) };
    let parent = Folder::open(parent)?;
    inherit_down(root, &parent)?;
    inherit(&parent, group)
}

/// Gives a group what its parent has; what is set stays.
pub(super) fn inherit_from_parent(group: &Folder) -> Result<(), Error> {
    match group.path().parent() {
        Some(parent) if !is_set(group)? => inherit(&Folder::open(parent)?, group),
        _ => Ok(()),
    }
}

fn is_set(group: &Folder) -> Result<bool, Error> {
    for file in FILES {
        if read(group, file)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn inherit(from: &Folder, to: &Folder) -> Result<(), Error> {
    for file in FILES {
        if read(to, file)?.is_empty() {
            to.put(SELF, file, &read(from, file)?).map_err(|e| to.failed("write", file, e))?;
        }
    }
    Ok(())
}

fn read(folder: &Folder, file: &str) -> Result<String, Error> {
    folder.get(SELF, file).map(|text| text.trim().to_owned()).map_err(|e| folder.failed("read", file, e))
}
