//! From the order to the program: the init of a container walks its plan.

use super::process::{self, Streams};
use super::tree::{HostOwned, Tree};
use super::{OwnFiles, resolve, terminal};
use crate::failure::at;
use crate::{Failure, FdIndex, Plan, Step, Unshare, wire};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::mount::{Change, Reach, attribute};
use sys::namespace::{setns, unshare};
use sys::process::Namespaces;

/// Becomes what `plan` says. Returns only a failure. `host_network`: the process is in the host's network namespace.
pub(super) fn become_container(
    control: BorrowedFd<'_>,
    own: &OwnFiles,
    host_network: bool,
    plan: &Plan,
    fds: &[OwnedFd],
) -> Result<Infallible, Failure> {
    own.adjust_oom_score(plan.process.oom_score_adj)?;
    enter_namespaces(plan, fds)?;
    name_host(plan)?;
    let root = named(fds, plan.root)?;
    // Mount points and folders are made with exactly the modes asked for.
    sys::umask(0);
    place_root(root)?;
    let mut tree = Tree::new(root, HostOwned { processes: plan.pid == Unshare::Host, network: host_network });
    for step in &plan.mounts {
        tree.place(step, fds)?;
    }
    for (key, value) in &plan.sysctls {
        tree.set_sysctl(key, value)?;
    }
    let streams = streams(control, plan, fds, &tree)?;
    tree.close()?;
    tree.protect(plan, plan.null.map(|index| named(fds, index)).transpose()?)?;
    if plan.root_readonly {
        let change = Change { set: attribute::RDONLY, ..Change::default() };
        sys::mount::set_attributes(root, change, Reach::One).map_err(at(Step::Root, "/"))?;
    }
    pivot(root)?;
    process::execute(own, &plan.process, &streams)
}

/// The descriptor a plan names.
pub(super) fn named(fds: &[OwnedFd], index: FdIndex) -> Result<BorrowedFd<'_>, Failure> {
    let position = usize::try_from(index).unwrap_or(usize::MAX);
    fds.get(position).map(AsFd::as_fd).ok_or_else(|| Failure::new(Step::Park, Errno::BADF, "file descriptors"))
}

fn enter_namespaces(plan: &Plan, fds: &[OwnedFd]) -> Result<(), Failure> {
    let mut new = Namespaces::NEWNS;
    let wanted = [
        (plan.ipc, Namespaces::NEWIPC, "ipc"),
        (plan.uts, Namespaces::NEWUTS, "uts"),
        (plan.cgroup, Namespaces::NEWCGROUP, "cgroup"),
    ];
    for (way, kind, name) in wanted {
        match way {
            Unshare::Host => {}
            Unshare::New => new |= kind,
            Unshare::Join(index) => setns(named(fds, index)?, kind).map_err(at(Step::JoinNamespace, name))?,
        }
    }
    unshare(new).map_err(at(Step::Clone, "namespaces"))
}

fn name_host(plan: &Plan) -> Result<(), Failure> {
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name.as_bytes()).map_err(at(Step::Hostname, name))?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name.as_bytes()).map_err(at(Step::Hostname, name))?;
    }
    Ok(())
}

/// Puts the root of the container over that of the host, which stays below until `pivot`: a new procfs or sysfs is only
/// allowed in a user namespace while one that shows everything is there (mount_too_revealing in fs/namespace.c).
fn place_root(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let failed = |e: Errno| at(Step::Root, "/")(e);
    // Nothing mounted from here on may reach the host. In a user namespace the copies are no longer shared anyway.
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).map_err(failed)?;
    rustix::mount::move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(failed)
}

/// Makes the root of the container that of the process, and drops the host's. pivot_root(2), notes.
fn pivot(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let failed = |e: Errno| at(Step::Root, "pivot")(e);
    rustix::process::fchdir(root).map_err(failed)?;
    rustix::process::pivot_root(".", ".").map_err(failed)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}

fn streams<'a>(
    control: BorrowedFd<'_>,
    plan: &Plan,
    fds: &'a [OwnedFd],
    tree: &Tree<'_>,
) -> Result<Streams<'a>, Failure> {
    if !plan.process.terminal {
        let last = fds.last_chunk::<3>();
        let [stdin, stdout, stderr] = last.ok_or_else(|| Failure::new(Step::Park, Errno::BADF, "standard streams"))?;
        return Ok(Streams::Files([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]));
    }
    let pair = terminal::open(tree.root(), tree.devpts(), &plan.process)?;
    let console = at(Step::Console, "/dev/console");
    // By descriptor: the number of the terminal in /dev/pts proves nothing (CVE-2025-52565).
    terminal::bind_console(pair.peer.as_fd(), || resolve::mount_point(tree.root(), "dev/console", resolve::Sort::File))
        .map_err(console)?;
    wire::say(control, wire::TERMINAL, &[pair.master.as_fd()]).map_err(at(Step::Console, "socket"))?;
    Ok(Streams::Terminal(pair.peer))
}
