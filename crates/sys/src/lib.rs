//! THE unsafe crate: the system calls that rustix lacks, each as one safe function.
//!
//! `unsafe` stands in no other crate. Every block is one operation, with the reason why it is sound.
//!
//! - [`process`]: fork from a single-threaded process, execve, descriptors of a child. [`pidfd`]: processes by descriptor.
//! - [`namespace`], [`netns`], [`mount`], [`idmap`], [`filter`]: what a container is made of. [`bpf`]: what it may use.
//! - [`schedule`]: how the kernel treats a process. [`message`]: file descriptors over sockets. [`netlink`]: the kernel's sockets.
//! - [`quota`]: how much a tree of files may take up.
//! - [`owner`]: in whose name a thread touches files. [`shared`], [`memfd`]: memory between processes. [`heap`]: a process's own.
//! - [`signal`]: dispositions and waiting. [`signalfd`]: all of them by descriptor. [`daemon`]: signals of a process that stays.

pub mod bpf;
pub mod daemon;
pub mod filter;
pub mod heap;
pub mod idmap;
pub mod memfd;
pub mod message;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod netns;
pub mod owner;
pub mod pidfd;
pub mod process;
pub mod quota;
pub mod schedule;
pub mod shared;
pub mod signal;
pub mod signalfd;

pub use memfd::sealed as sealed_memfd;
pub use message::{recv_with_fds, send_with_fds};
pub use process::{Fork, SingleThread, fork, umask};
pub use shared::SharedMemory;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How a new process gets into a cgroup.
#[derive(Debug)]
pub enum CgroupEntry {
    /// `tasks` of every v1 hierarchy, and perhaps `cgroup.procs` of the v2 one beside them, open for writing: the process, while
    /// it has one thread, writes `0` to each.
    V1(Vec<OwnedFd>),
    /// The directory of a v2 cgroup, for CLONE_INTO_CGROUP.
    V2(OwnedFd),
    /// Both: v1 hierarchies, and a v2 one beside them (hybrid).
    Hybrid(Vec<OwnedFd>, OwnedFd),
    /// Stay where the parent is.
    Inherit,
}

impl CgroupEntry {
    /// What the process writes to, and where it is born.
    #[must_use]
    pub fn ways(&self) -> (&[OwnedFd], Option<BorrowedFd<'_>>) {
        match self {
            CgroupEntry::V1(tasks) => (tasks, None),
            CgroupEntry::V2(directory) => (&[], Some(directory.as_fd())),
            CgroupEntry::Hybrid(tasks, directory) => (tasks, Some(directory.as_fd())),
            CgroupEntry::Inherit => (&[], None),
        }
    }
}
