//! Which limits this machine's groups can have: some controllers are left out of kernels, or have less on v2.

use crate::{Groups, Tree};

/// What not every machine can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Abilities {
    pub memory: bool,
    pub cpu_shares: bool,
    /// Time in a period.
    pub cpu_quota: bool,
    /// Binding to processors and memory nodes.
    pub cpu_set: bool,
    /// The number of processes.
    pub pids: bool,
    /// Memory and swap together, or swap alone.
    pub swap: bool,
    /// v1 only.
    pub swappiness: bool,
    /// v1 only.
    pub oom_kill_disable: bool,
    /// v1 of kernels with `CONFIG_RT_GROUP_SCHED`.
    pub cpu_realtime: bool,
    /// Needs an I/O scheduler that knows them.
    pub block_io_weight: bool,
    pub block_io_weight_device: bool,
    pub block_io_throttle: bool,
}

impl Groups {
    /// What groups below this parent can be limited in.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        match &*self.tree {
            Tree::V1(tree) => {
                let has = |controller, files: &[&str]| tree.has_file(controller, files);
                Abilities {
                    memory: has("memory", &["memory.limit_in_bytes"]),
                    cpu_shares: has("cpu", &["cpu.shares"]),
                    cpu_quota: has("cpu", &["cpu.cfs_quota_us"]),
                    cpu_set: has("cpuset", &["cpuset.cpus"]),
                    pids: has("pids", &["pids.max"]),
                    swap: has("memory", &["memory.memsw.limit_in_bytes"]),
                    swappiness: has("memory", &["memory.swappiness"]),
                    oom_kill_disable: has("memory", &["memory.oom_control"]),
                    cpu_realtime: has("cpu", &["cpu.rt_period_us"]),
                    block_io_weight: has("blkio", &["blkio.weight", "blkio.bfq.weight"]),
                    block_io_weight_device: has("blkio", &["blkio.weight_device", "blkio.bfq.weight_device"]),
                    block_io_throttle: has("blkio", &["blkio.throttle.read_bps_device"]),
                }
            }
            Tree::V2(tree) => {
                let weight = tree.has_file(&["io.weight", "io.bfq.weight"]);
                Abilities {
                    memory: tree.has_file(&["memory.max"]),
                    cpu_shares: tree.has_file(&["cpu.weight"]),
                    cpu_quota: tree.has_file(&["cpu.max"]),
                    cpu_set: tree.has_file(&["cpuset.cpus"]),
                    pids: tree.has_file(&["pids.max"]),
                    swap: tree.has_file(&["memory.swap.max"]),
                    block_io_weight: weight,
                    block_io_weight_device: weight,
                    block_io_throttle: tree.has_file(&["io.max"]),
                    ..Abilities::default()
                }
            }
            Tree::Absent => Abilities::default(),
        }
    }
}
