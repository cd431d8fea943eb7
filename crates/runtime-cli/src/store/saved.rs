//! state.json: what later calls must know of a container.

use cgroup::Record;
use oci::runtime::{Hooks, IntelRdt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Read by every call, so it holds what most of them need; the whole configuration is a file of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// The version of this file's layout.
    pub version: u32,
    pub id: String,
    pub init_process_pid: i32,
    /// Clock ticks since boot (proc_pid_stat(5), field 22): tells whether the number is still the same process.
    pub init_process_start: u64,
    /// RFC 3339, UTC.
    pub created: String,
    pub bundle: PathBuf,
    /// Absolute.
    pub rootfs: PathBuf,
    /// `ociVersion` of the configuration.
    pub oci_version: String,
    pub annotations: BTreeMap<String, String>,
    /// Errors of cgroups are forgiven.
    pub rootless: bool,
    /// Its first process is number 1 of a pid namespace of its own: when that dies, all die.
    pub own_pid_namespace: bool,
    /// Only `poststart` and `poststop` are wanted later.
    pub hooks: Hooks,
    /// By controller, `""` for v2.
    pub cgroup_paths: BTreeMap<String, PathBuf>,
    pub cgroup: Record,
    /// By runc's names: NEWNS, NEWNET, ...
    pub namespace_paths: BTreeMap<String, PathBuf>,
    /// What its group of Intel RDT was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    /// What the standard streams of the process are, for CRIU.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_descriptors: Vec<String>,
}

impl Saved {
    /// The layout that this program writes.
    pub const VERSION: u32 = 1;
}
