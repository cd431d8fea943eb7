//! A process on its way into a running container.

use super::course::{Course, Errand};
use super::process::{self, Absent, Streams};
use super::{become_root, conceal, enter_cgroups, settle, tell_forked, terminal};
use crate::exec::Target;
use crate::failure::at;
use crate::{Failure, ProcessPlan, Stdio, Step, affinity, launch, limits, park, wire};
use rustix::fs::{CWD, Mode, OFlags};
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::namespace::setns;
use sys::process::{Birth, Child, Fork, Namespaces, SingleThread};

/// What an exec needs.
#[derive(Debug)]
pub(crate) struct Joining<'a> {
    pub(crate) target: Target<'a>,
    pub(crate) plan: &'a ProcessPlan,
    /// cgroup.procs files (v1).
    pub(crate) procs: &'a [OwnedFd],
    pub(crate) stdio: Stdio<'a>,
    pub(crate) errand: Option<&'a Errand<'a>>,
}

/// The life of an exec'ed process.
pub(crate) fn join(child: &Child, control: OwnedFd, joining: &Joining<'_>) -> ! {
    let course = Course::begin(child, control, joining.errand);
    match walk(&course, joining) {
        Ok(never) => match never {},
        Err(failure) => course.report(&failure),
    }
    sys::process::exit(1)
}

fn walk(course: &Course<'_>, joining: &Joining<'_>) -> Result<Infallible, Failure> {
    let Joining { target, plan, procs, stdio, .. } = joining;
    let mut keep: Vec<_> = procs.iter().map(AsRawFd::as_raw_fd).collect();
    keep.push(target.pidfd.as_raw_fd());
    if let Stdio::Files(streams) = stdio {
        keep.extend(streams.iter().map(AsRawFd::as_raw_fd));
    }
    let own = settle(course, keep)?;
    course.watch_caller()?;
    course.stop_for_group()?;
    // All that needs the host's rights, before they are given up.
    enter_cgroups(&procs.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
    match (plan.cpu_affinity.last.as_slice(), plan.cpu_affinity.initial.as_slice()) {
        ([], []) => course.unbind()?,
        ([], _) => {}
        (last, _) => affinity::set(last)?,
    }
    own.adjust_oom_score(plan.oom_score_adj)?;
    limits::raise(None, &plan.rlimits)?;
    // Without root's rights they stay whose they are.
    if let Stdio::Files(streams) = stdio
        && !course.is_rootless()
    {
        launch::host_owner(target.pid, plan.uid, plan.gid)
            .and_then(|owner| launch::give(*streams, owner))
            .map_err(at(Step::User, "standard streams"))?;
    }
    enter(*target, course)?;
    let streams = streams(course, plan, *stdio)?;
    process::execute(&own, plan, &streams, course, Absent::Refuse)
}

/// Forks by way of a process that joins the user namespace first: without root's rights on the host, all others can be joined
/// only from inside of it. That one stays out of the container's cgroup.
pub(crate) fn fork_inside(
    thread: &SingleThread,
    cgroup: Option<BorrowedFd<'_>>,
    joining: &Joining<'_>,
) -> Result<(i32, OwnedFd, OwnedFd), Failure> {
    let (ours, theirs) = wire::pair().map_err(at(Step::Park, "socket"))?;
    let (hear, tell) = wire::pair().map_err(at(Step::Park, "socket"))?;
    match sys::fork(thread, &Birth::default()).map_err(at(Step::Clone, "process between"))? {
        Fork::Child(_) => fork_sibling(thread, cgroup, joining, tell.as_fd(), theirs),
        Fork::Parent { pidfd, .. } => {
            drop((theirs, tell));
            park::adopt(hear.as_fd(), pidfd.as_fd()).map(|(pid, pidfd)| (pid, pidfd, ours))
        }
    }
}

fn fork_sibling(
    thread: &SingleThread,
    cgroup: Option<BorrowedFd<'_>>,
    joining: &Joining<'_>,
    tell: BorrowedFd<'_>,
    control: OwnedFd,
) -> ! {
    let target = joining.target;
    let rootless = joining.errand.is_some_and(|errand| errand.way.rootless);
    let fork = || {
        conceal(joining.plan.oom_score_adj.filter(|_| rootless))?;
        if differs(target.pid, "user")? {
            setns(target.pidfd, Namespaces::NEWUSER).map_err(at(Step::JoinNamespace, "user"))?;
        }
        let pid_namespace = if differs(target.pid, "pid")? { Some(target.pidfd) } else { None };
        let birth = Birth { pid_namespace, cgroup, sibling: true, ..Birth::default() };
        sys::fork(thread, &birth).map_err(at(Step::Clone, "exec"))
    };
    match fork() {
        Ok(Fork::Child(child)) => join(&child, control, joining),
        Ok(Fork::Parent { pidfd, .. }) => tell_forked(tell, pidfd.as_fd()),
        Err(failure) => {
            wire::report(tell, &failure);
            sys::process::exit(1)
        }
    }
}

/// Root of a user namespace may not join what is the host's, and need not: what it shares with the container is left out then.
fn join_others(target: Target<'_>, others: Namespaces) -> Result<(), Failure> {
    if others.is_empty() {
        return Ok(());
    }
    let failed = at(Step::JoinNamespace, "container");
    match setns(target.pidfd, others) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
        other => return other.map_err(failed),
    }
    let mut foreign = Namespaces::empty();
    for (kind, name) in OTHERS {
        if others.contains(kind) && differs(target.pid, name)? {
            foreign |= kind;
        }
    }
    if foreign.is_empty() { Ok(()) } else { setns(target.pidfd, foreign).map_err(failed) }
}

/// Joins all namespaces. The user namespace last: as the host's root every other one may be joined, whoever owns it. (Without
/// root's rights it was joined before the fork, and only what is another's can be joined.)
/// The pid namespace was joined by the fork.
fn enter(target: Target<'_>, course: &Course<'_>) -> Result<(), Failure> {
    let other_user = differs(target.pid, "user")?;
    let mut others = Namespaces::empty();
    for (kind, name) in OTHERS {
        if !course.is_rootless() || differs(target.pid, name)? {
            others |= kind;
        }
    }
    // Since Linux 5.6. A keeper's containers have the host's.
    if course.is_alone() && differs(target.pid, "time").unwrap_or(false) {
        others |= Namespaces::NEWTIME;
    }
    join_others(target, others)?;
    if other_user {
        setns(target.pidfd, Namespaces::NEWUSER).map_err(at(Step::JoinNamespace, "user"))?;
    }
    if other_user || course.is_rootless() {
        become_root(course.groups()).map_err(at(Step::JoinNamespace, "root of the user namespace"))?;
    }
    Ok(())
}

const OTHERS: [(Namespaces, &str); 5] = [
    (Namespaces::NEWNS, "mnt"),
    (Namespaces::NEWUTS, "uts"),
    (Namespaces::NEWIPC, "ipc"),
    (Namespaces::NEWNET, "net"),
    (Namespaces::NEWCGROUP, "cgroup"),
];

/// Whether a process is in another namespace than this one (namespaces(7): device and inode tell).
fn differs(pid: i32, name: &str) -> Result<bool, Failure> {
    let failed = |e: io::Error| at(Step::JoinNamespace, name)(e);
    let theirs = identity(&format!("/proc/{pid}/ns/{name}")).map_err(failed)?;
    Ok(theirs != identity(&format!("/proc/self/ns/{name}")).map_err(failed)?)
}

fn identity(path: &str) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::stat(path)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn streams<'a>(course: &Course<'_>, plan: &ProcessPlan, stdio: Stdio<'a>) -> Result<Streams<'a>, Failure> {
    let Stdio::Files(files) = stdio else {
        let root = rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let root = root.map_err(at(Step::Console, "/"))?;
        let pair = terminal::open(root.as_fd(), None, plan)?;
        if course.has_plain_lines() {
            terminal::plain_lines(pair.peer.as_fd())?;
        }
        wire::say(course.control(), wire::TERMINAL, &[pair.master.as_fd()]).map_err(at(Step::Console, "socket"))?;
        return Ok(Streams::Terminal(pair.peer));
    };
    Ok(Streams::Files(files))
}
