//! From the order to the program: the init of a container walks its plan.

use super::course::Course;
use super::process::{self, Absent, Streams};
use super::tree::{self, HostOwned, Tree};
use super::{OwnFiles, below_root, null, resolve, terminal};
use crate::failure::at;
use crate::{Failure, FdIndex, Plan, Step, TimeNamespace, Unshare, wire};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags};
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount::{Change, Reach, attribute};
use sys::namespace::{setns, unshare};
use sys::process::Namespaces;

/// Becomes what `plan` says. Returns only a failure. `host_network`: the process is in the host's network namespace.
pub(super) fn become_container(
    course: &Course<'_>,
    own: &OwnFiles,
    host_network: bool,
    plan: &Plan,
    fds: &[OwnedFd],
) -> Result<Infallible, Failure> {
    own.adjust_oom_score(plan.process.oom_score_adj)?;
    enter_namespaces(course, own, plan, fds)?;
    name_host(plan)?;
    let root = named(fds, plan.root)?;
    // Mount points and folders are made with exactly the modes asked for.
    sys::umask(0);
    place_root(course, plan, root)?;
    let mut tree = Tree::new(root, host_owned(plan, host_network), course);
    for step in &plan.mounts {
        tree.place(step, fds)?;
    }
    for (key, value) in &plan.sysctls {
        tree.set_sysctl(key, value)?;
    }
    let given = streams(course, plan, fds, &tree)?;
    let null = if course.is_alone() { null::open(&given, root) } else { None };
    let streams = match &null {
        Some(null) => null::replace(given, null.as_fd()),
        None => given,
    };
    // Hooks may make files and mounts in the root, and see all of it.
    course.stop_for_hooks(root)?;
    course.stop_for_plan(plan, fds)?;
    close(&mut tree, plan, fds)?;
    enter_root(course, plan, root)?;
    if let Some(spreading) = plan.root_propagation {
        tree::spread_root(spreading).map_err(at(Step::Root, "propagation"))?;
    }
    process::execute(own, &plan.process, &streams, course, Absent::Make)
}

/// From here on nothing is made in the container any more: what is to be read-only or hidden becomes so.
fn close(tree: &mut Tree<'_>, plan: &Plan, fds: &[OwnedFd]) -> Result<(), Failure> {
    tree.close()?;
    tree.protect(plan, plan.null.map(|index| named(fds, index)).transpose()?)?;
    if plan.root_readonly {
        let change = Change { set: attribute::RDONLY, ..Change::default() };
        sys::mount::set_attributes(tree.root(), change, Reach::One).map_err(at(Step::Root, "/"))?;
    }
    Ok(())
}

fn host_owned(plan: &Plan, network: bool) -> HostOwned {
    HostOwned { processes: plan.pid == Unshare::Host, network, cgroups: plan.cgroup == Unshare::Host }
}

/// The descriptor a plan names.
pub(crate) fn named(fds: &[OwnedFd], index: FdIndex) -> Result<BorrowedFd<'_>, Failure> {
    let position = usize::try_from(index).unwrap_or(usize::MAX);
    fds.get(position).map(AsFd::as_fd).ok_or_else(|| Failure::new(Step::Park, Errno::BADF, "file descriptors"))
}

fn enter_namespaces(course: &Course<'_>, own: &OwnFiles, plan: &Plan, fds: &[OwnedFd]) -> Result<(), Failure> {
    let mut new = Namespaces::empty();
    let mounts = if course.has_unshared_mounts() { Unshare::Host } else { plan.mount };
    let wanted = [
        (mounts, Namespaces::NEWNS, "mount"),
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
    unshare(new).map_err(at(Step::Clone, "namespaces"))?;
    enter_time(own, &plan.time, fds)
}

/// A new time namespace is at first that of the children only: its clocks are set, then it is joined.
fn enter_time(own: &OwnFiles, time: &TimeNamespace, fds: &[OwnedFd]) -> Result<(), Failure> {
    let failed = |e: io::Error| at(Step::Clone, "time namespace")(e);
    match time {
        TimeNamespace::Host => Ok(()),
        TimeNamespace::Join(index) => {
            setns(named(fds, *index)?, Namespaces::NEWTIME).map_err(at(Step::JoinNamespace, "time"))
        }
        TimeNamespace::New { offsets } => {
            unshare(Namespaces::NEWTIME).map_err(failed)?;
            if !offsets.is_empty() {
                write_offsets(own.clock_offsets.as_ref(), offsets).map_err(|e| failed(e.into()))?;
            }
            let path = "/proc/self/ns/time_for_children";
            let made = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            setns(made.map_err(|e| failed(e.into()))?.as_fd(), Namespaces::NEWTIME).map_err(failed)
        }
    }
}

/// A parked process did not know that it would want them: it can open them still while it has the host root's ids.
fn write_offsets(opened: Option<&OwnedFd>, offsets: &str) -> Result<(), Errno> {
    let late = match opened {
        Some(_) => None,
        None => {
            let path = "/proc/self/timens_offsets";
            Some(rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?)
        }
    };
    let file = opened.or(late.as_ref()).ok_or(Errno::BADF)?;
    rustix::io::write(file, offsets.as_bytes()).map(drop)
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
///
/// For hooks it goes where the bundle has it: they mount into it by that path. In the caller's mount namespace as well: it stays
/// there, and whoever unmounts it takes all mounts of the container away with it.
fn place_root(course: &Course<'_>, plan: &Plan, root: BorrowedFd<'_>) -> Result<(), Failure> {
    let failed = |e: Errno| at(Step::Root, "/")(e);
    if plan.mount != Unshare::Host {
        // Nothing mounted from here on may reach the host. In a user namespace the copies are no longer shared anyway.
        rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .map_err(failed)?;
    }
    let halted = || plan.halts.as_ref().map(|halts| PathBuf::from(&halts.root));
    let path = course.root_path().or_else(halted).unwrap_or_else(|| "/".into());
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    rustix::mount::move_mount(root, "", CWD, &path, flags).map_err(at(Step::Root, &path.to_string_lossy()))
}

/// Makes the root of the container that of the process, and drops the host's. pivot_root(2), notes.
fn enter_root(course: &Course<'_>, plan: &Plan, root: BorrowedFd<'_>) -> Result<(), Failure> {
    let failed = |e: Errno| at(Step::Root, "pivot")(e);
    rustix::process::fchdir(root).map_err(failed)?;
    if plan.mount == Unshare::Host || course.has_no_pivot() {
        if plan.mount != Unshare::Host {
            below_root::drop_revealing(course.root_path().as_deref().and_then(Path::to_str)).map_err(failed)?;
            cover_root(course, root).map_err(failed)?;
        }
        rustix::process::chroot(".").map_err(failed)?;
        return rustix::process::chdir("/").map_err(failed);
    }
    rustix::process::pivot_root(".", ".").map_err(failed)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}

/// Brings a root that hooks saw in its bundle over that of the host: who leaves a chroot(2) comes out at what lies uppermost there.
fn cover_root(course: &Course<'_>, root: BorrowedFd<'_>) -> Result<(), Errno> {
    if course.root_path().is_none() {
        return Ok(());
    }
    rustix::mount::move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn streams<'a>(course: &Course<'a>, plan: &Plan, fds: &'a [OwnedFd], tree: &Tree<'_>) -> Result<Streams<'a>, Failure> {
    if !plan.process.terminal {
        if let Some(streams) = course.streams() {
            return Ok(Streams::Files(streams));
        }
        let last = fds.last_chunk::<3>();
        let [stdin, stdout, stderr] = last.ok_or_else(|| Failure::new(Step::Park, Errno::BADF, "standard streams"))?;
        return Ok(Streams::Files([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]));
    }
    let pair = terminal::open(tree.root(), tree.devpts(), &plan.process)?;
    if course.has_plain_lines() {
        terminal::plain_lines(pair.peer.as_fd())?;
    }
    let console = at(Step::Console, "/dev/console");
    // By descriptor: the number of the terminal in /dev/pts proves nothing (CVE-2025-52565).
    terminal::bind_console(pair.peer.as_fd(), || resolve::mount_point(tree.root(), "dev/console", resolve::Sort::File))
        .map_err(console)?;
    wire::say(course.control(), wire::TERMINAL, &[pair.master.as_fd()]).map_err(at(Step::Console, "socket"))?;
    Ok(Streams::Terminal(pair.peer))
}
