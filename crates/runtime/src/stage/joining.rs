//! A process on its way into a running container.

use super::process::{self, Streams};
use super::{become_root, enter_cgroups, settle, terminal};
use crate::exec::Target;
use crate::failure::at;
use crate::{Failure, ProcessPlan, Stdio, Step, launch, limits, wire};
use rustix::fs::{CWD, Mode, OFlags};
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::namespace::setns;
use sys::process::{Child, Namespaces};

/// What an exec needs.
#[derive(Debug)]
pub(crate) struct Joining<'a> {
    pub(crate) target: Target<'a>,
    pub(crate) plan: &'a ProcessPlan,
    /// cgroup.procs files (v1).
    pub(crate) procs: &'a [OwnedFd],
    pub(crate) stdio: Stdio<'a>,
}

/// The life of an exec'ed process.
pub(crate) fn join(child: &Child, control: OwnedFd, joining: &Joining<'_>) -> ! {
    match walk(child, control.as_fd(), joining) {
        Ok(never) => match never {},
        Err(failure) => wire::report(control.as_fd(), &failure),
    }
    sys::process::exit(1)
}

fn walk(child: &Child, control: BorrowedFd<'_>, joining: &Joining<'_>) -> Result<Infallible, Failure> {
    let Joining { target, plan, procs, stdio } = joining;
    let mut keep: Vec<_> = procs.iter().map(AsRawFd::as_raw_fd).collect();
    keep.extend([control.as_raw_fd(), target.pidfd.as_raw_fd()]);
    if let Stdio::Files(streams) = stdio {
        keep.extend(streams.iter().map(AsRawFd::as_raw_fd));
    }
    let own = settle(child, &mut keep)?;
    // All that needs the host's rights, before they are given up.
    enter_cgroups(&procs.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
    own.adjust_oom_score(plan.oom_score_adj)?;
    limits::raise(None, &plan.rlimits)?;
    if let Stdio::Files(streams) = stdio {
        launch::host_owner(target.pid, plan.uid, plan.gid)
            .and_then(|owner| launch::give(*streams, owner))
            .map_err(at(Step::User, "standard streams"))?;
    }
    enter(*target)?;
    let streams = streams(control, plan, *stdio)?;
    process::execute(&own, plan, &streams)
}

/// Joins all namespaces. The user namespace last: as the host's root every other one may be joined, whoever owns it.
/// The pid namespace was joined by the fork.
fn enter(target: Target<'_>) -> Result<(), Failure> {
    let other_user = namespace_of(target.pid)? != namespace_of_self()?;
    let others =
        Namespaces::NEWNS | Namespaces::NEWUTS | Namespaces::NEWIPC | Namespaces::NEWNET | Namespaces::NEWCGROUP;
    setns(target.pidfd, others).map_err(at(Step::JoinNamespace, "container"))?;
    if other_user {
        setns(target.pidfd, Namespaces::NEWUSER).map_err(at(Step::JoinNamespace, "user"))?;
        become_root().map_err(at(Step::JoinNamespace, "root of the user namespace"))?;
    }
    Ok(())
}

/// What tells namespaces apart, namespaces(7): device and inode.
fn namespace_of(pid: i32) -> Result<(u64, u64), Failure> {
    identity(&format!("/proc/{pid}/ns/user")).map_err(at(Step::JoinNamespace, "user"))
}

fn namespace_of_self() -> Result<(u64, u64), Failure> {
    identity("/proc/self/ns/user").map_err(at(Step::JoinNamespace, "user"))
}

fn identity(path: &str) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::stat(path)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn streams<'a>(control: BorrowedFd<'_>, plan: &ProcessPlan, stdio: Stdio<'a>) -> Result<Streams<'a>, Failure> {
    let Stdio::Files(files) = stdio else {
        let root = rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let root = root.map_err(at(Step::Console, "/"))?;
        let pair = terminal::open(root.as_fd(), None, plan)?;
        wire::say(control, wire::TERMINAL, &[pair.master.as_fd()]).map_err(at(Step::Console, "socket"))?;
        return Ok(Streams::Terminal(pair.peer));
    };
    Ok(Streams::Files(files))
}
