//! The keeper's end of an exec: one more process in a running container.

use crate::failure::at;
use crate::stage::joining::{self, Joining};
use crate::{Failure, ProcessPlan, Starting, Stdio, Step, wire};
use std::os::fd::{AsFd, BorrowedFd};
use sys::CgroupEntry;
use sys::process::{Birth, Fork, SingleThread};

/// The init of a running container: a child of the caller, not yet reaped.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub pid: i32,
    pub pidfd: BorrowedFd<'a>,
}

/// Forks a process that joins all namespaces of `target` and executes `plan`.
///
/// Does not wait for it; see [`Starting`]. It is born in the container's pid namespace and, on v2, in its cgroup.
pub fn exec(
    thread: &SingleThread,
    target: Target<'_>,
    plan: &ProcessPlan,
    cgroup: &CgroupEntry,
    stdio: Stdio<'_>,
) -> Result<Starting, Failure> {
    stdio.check(plan.terminal)?;
    let (procs, born) = match cgroup {
        CgroupEntry::V1(procs) => (procs.as_slice(), None),
        CgroupEntry::V2(directory) => (&[][..], Some(directory.as_fd())),
        CgroupEntry::Inherit => (&[][..], None),
    };
    let order = Joining { target, plan, procs, stdio, errand: None };
    if !thread.comes_home() {
        let (pid, pidfd, socket) = joining::fork_inside(thread, born, &order)?;
        return Ok(Starting::new(pid, pidfd, socket, plan.terminal));
    }
    let (ours, theirs) = wire::pair().map_err(at(Step::Park, "socket"))?;
    let birth = Birth { pid_namespace: Some(target.pidfd), cgroup: born, ..Birth::default() };
    match sys::fork(thread, &birth).map_err(at(Step::Clone, "exec"))? {
        Fork::Child(child) => joining::join(&child, theirs, &order),
        Fork::Parent { pid, pidfd } => Ok(Starting::new(pid, pidfd, ours, plan.terminal)),
    }
}
