//! THE unsafe crate: the system calls that rustix lacks, each as one safe function.
//!
//! `unsafe` stands in no other crate. Every block is one operation, with the reason why it is sound.

pub mod idmap;
pub mod shared;

pub use shared::SharedMemory;

use std::os::fd::OwnedFd;

/// How a new process gets into a cgroup.
#[derive(Debug)]
pub enum CgroupEntry {
    /// `cgroup.procs` of every v1 hierarchy, open for writing: the process writes `0` to each.
    V1(Vec<OwnedFd>),
    /// The directory of a v2 cgroup, for CLONE_INTO_CGROUP.
    V2(OwnedFd),
    /// Stay where the parent is.
    Inherit,
}
