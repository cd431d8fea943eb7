//! The keeper's end of an exec: one more process in a running container.

use crate::failure::at;
use crate::stage::Groups;
use crate::stage::joining::{self, Joining};
use crate::{Failure, ProcessPlan, Starting, Stdio, Step, wire};
use std::os::fd::{BorrowedFd, OwnedFd};
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
    Groups::here();
    let (procs, born) = cgroup.ways();
    let order = Joining { target, plan, procs, stdio, errand: None };
    let (pid, pidfd, socket) = match thread.comes_home() {
        true => fork_joining(thread, born, &order),
        false => joining::fork_inside(thread, born, &order),
    }?;
    Ok(Starting::new(pid, pidfd, socket, plan.terminal))
}

/// Forks a process that is born in the pid namespace of its target.
pub(crate) fn fork_joining(
    thread: &SingleThread,
    born: Option<BorrowedFd<'_>>,
    order: &Joining<'_>,
) -> Result<(i32, OwnedFd, OwnedFd), Failure> {
    let (ours, theirs) = wire::pair().map_err(at(Step::Park, "socket"))?;
    let birth = Birth { pid_namespace: Some(order.target.pidfd), cgroup: born, ..Birth::default() };
    match sys::fork(thread, &birth).map_err(at(Step::Clone, "exec"))? {
        Fork::Child(child) => joining::join(&child, theirs, order),
        Fork::Parent { pid, pidfd } => Ok((pid, pidfd, ours)),
    }
}
