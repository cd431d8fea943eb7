//! What runs in the forked children, from the fork to execve: one thread, no way back, every failure told to the keeper.

mod init;
pub(crate) mod joining;
mod masks;
mod process;
pub(crate) mod program;
mod resolve;
mod terminal;
mod tree;

pub(crate) use tree::create as create_file_system;

use crate::failure::at;
use crate::{Failure, Step, wire};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::namespace::{setns, unshare};
use sys::process::{Birth, Child, Fork, Namespaces, SingleThread};

/// Where a process waits for its plan.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) user: User<'a>,
    pub(crate) network: Network<'a>,
    pub(crate) cgroup_procs: Vec<BorrowedFd<'a>>,
}

impl Place<'_> {
    /// What is left of the way for one that was forked inside.
    fn entered(mut self) -> Self {
        if let User::Join(_) = self.user {
            self.user = User::Entered;
        }
        if let Network::Join(_) = self.network {
            self.network = Network::Entered;
        }
        self
    }
}

/// The way into a user namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) enum User<'a> {
    Stay,
    /// Made by the fork; the keeper writes its maps.
    Born,
    Join(BorrowedFd<'a>),
    /// Forked from inside of it; root's ids are still to be taken.
    Entered,
}

/// The way into a network namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Network<'a> {
    /// In the host's.
    Stay,
    /// Made by the fork.
    Born,
    /// Made after the user namespace was joined, so that this owns it.
    Unshare,
    Join(BorrowedFd<'a>),
    /// Forked from inside of it.
    Entered,
}

/// Files below /proc/self of the host, opened while the process still has the host's ids: later it may neither open them
/// (it is not dumpable, so they are the host root's) nor trust a /proc that others can mount over (CVE-2025-52881).
#[derive(Debug)]
pub(crate) struct OwnFiles {
    oom_score_adj: OwnedFd,
    /// AppArmor's; `None` without AppArmor.
    label: Option<OwnedFd>,
}

impl OwnFiles {
    fn open() -> Result<Self, Failure> {
        let open = |path: &str| rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let oom_score_adj = open("/proc/self/oom_score_adj").map_err(at(Step::Park, "oom_score_adj"))?;
        Ok(Self { oom_score_adj, label: open("/proc/self/attr/apparmor/exec").ok() })
    }

    /// Lowering it needs CAP_SYS_RESOURCE on the host: EACCES.
    fn adjust_oom_score(&self, score: Option<i32>) -> Result<(), Failure> {
        let Some(score) = score else { return Ok(()) };
        let written = rustix::io::write(&self.oom_score_adj, score.to_string().as_bytes());
        written.map(drop).map_err(at(Step::Rlimit, "oom_score_adj"))
    }

    /// The label that execve gives.
    fn set_label(&self, profile: Option<&str>) -> Result<(), Failure> {
        let Some(profile) = profile else { return Ok(()) };
        let file = self.label.as_ref().ok_or_else(|| Failure::new(Step::Label, Errno::OPNOTSUPP, profile))?;
        rustix::io::write(file, format!("exec {profile}").as_bytes()).map(drop).map_err(at(Step::Label, profile))
    }
}

/// The short life of a process that joins namespaces only to fork, as its sibling, one that is born inside.
///
/// It keeps the host root's ids, so it may put that one into a cgroup.
pub(crate) fn fork_sibling(
    thread: &SingleThread,
    birth: &Birth<'_>,
    place: Place<'_>,
    tell: BorrowedFd<'_>,
    control: OwnedFd,
) -> ! {
    let birth = Birth { sibling: true, ..*birth };
    let forked = set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(at(Step::Park, "dumpable"))
        .and_then(|()| join(&place))
        .and_then(|()| sys::fork(thread, &birth).map_err(at(Step::Clone, "init")));
    match forked {
        Ok(Fork::Child(child)) => parked(&child, control, place.entered()),
        Ok(Fork::Parent { pidfd, .. }) => {
            let told = wire::say(tell, wire::FORKED, &[pidfd.as_fd()]);
            sys::process::exit(if told.is_ok() { 0 } else { 1 })
        }
        Err(failure) => {
            wire::report(tell, &failure);
            sys::process::exit(1)
        }
    }
}

/// The life of a parked process.
pub(crate) fn parked(child: &Child, control: OwnedFd, place: Place<'_>) -> ! {
    let failure = match wait_in_place(child, control.as_fd(), &place) {
        Ok(None) => sys::process::exit(0),
        Ok(Some((own, plan, fds))) => {
            let host_network = matches!(place.network, Network::Stay);
            match init::become_container(control.as_fd(), &own, host_network, &plan, &fds) {
                Ok(never) => match never {},
                Err(failure) => failure,
            }
        }
        Err(failure) => failure,
    };
    wire::report(control.as_fd(), &failure);
    sys::process::exit(1)
}

type Order = (OwnFiles, crate::Plan, Vec<OwnedFd>);

fn wait_in_place(child: &Child, control: BorrowedFd<'_>, place: &Place<'_>) -> Result<Option<Order>, Failure> {
    let mut keep: Vec<_> = place.cgroup_procs.iter().map(AsRawFd::as_raw_fd).collect();
    keep.push(control.as_raw_fd());
    if let User::Join(fd) = place.user {
        keep.push(fd.as_raw_fd());
    }
    if let Network::Join(fd) = place.network {
        keep.push(fd.as_raw_fd());
    }
    let own = settle(child, &mut keep)?;
    enter(place)?;
    if !become_root_of(control, place.user)? {
        return Ok(None);
    }
    let mut keep = vec![control.as_raw_fd(), own.oom_score_adj.as_raw_fd()];
    keep.extend(own.label.as_ref().map(AsRawFd::as_raw_fd));
    child.close_all_but(&mut keep).map_err(at(Step::Park, "file descriptors"))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Step::Park, "death signal"))?;
    wire::say(control, wire::READY, &[]).map_err(at(Step::Park, "socket"))?;
    let Some((plan, fds)) = wire::await_order(control).map_err(at(Step::Park, "plan"))? else { return Ok(None) };
    set_parent_process_death_signal(None).map_err(at(Step::Park, "death signal"))?;
    Ok(Some((own, plan, fds)))
}

/// What every forked process does first: it lets go of what is the keeper's.
///
/// Its descriptors (a pipe held open here would never end there), its keys, its signals; and it can no longer be traced or
/// looked into by a process of the container that it will meet (CVE-2016-9962).
fn settle(child: &Child, keep: &mut [i32]) -> Result<OwnFiles, Failure> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at(Step::Park, "dumpable"))?;
    child.close_all_but(keep).map_err(at(Step::Park, "file descriptors"))?;
    rustix::thread::set_name(c"dhow:parked").map_err(at(Step::Park, "name"))?;
    sys::signal::reset_all().map_err(at(Step::Park, "signals"))?;
    // A kernel without keyrings, or a full quota, is no reason to fail.
    let _ = sys::process::new_session_keyring();
    OwnFiles::open()
}

/// Goes into namespaces and cgroups.
fn enter(place: &Place<'_>) -> Result<(), Failure> {
    join(place)?;
    if let Network::Unshare = place.network {
        unshare(Namespaces::NEWNET).map_err(at(Step::Clone, "network namespace"))?;
    }
    enter_cgroups(&place.cgroup_procs)
}

/// Joins what there is to join, the user namespace last: as the host's root every other one may be joined, whoever owns it.
fn join(place: &Place<'_>) -> Result<(), Failure> {
    if let Network::Join(fd) = place.network {
        setns(fd, Namespaces::NEWNET).map_err(at(Step::JoinNamespace, "network"))?;
    }
    if let User::Join(fd) = place.user {
        setns(fd, Namespaces::NEWUSER).map_err(at(Step::JoinNamespace, "user"))?;
    }
    Ok(())
}

/// Becomes root of a user namespace that is not the host's; false when the keeper closed the socket meanwhile.
fn become_root_of(control: BorrowedFd<'_>, user: User<'_>) -> Result<bool, Failure> {
    match user {
        User::Stay => return Ok(true),
        User::Join(_) | User::Entered => {}
        User::Born => {
            if !mapped(control).map_err(at(Step::Park, "socket"))? {
                return Ok(false);
            }
        }
    }
    become_root().map_err(at(Step::Park, "root of the user namespace"))?;
    Ok(true)
}

/// The files were opened by the host's root, whose right counts (cgroup_procs_write in kernel/cgroup), not ours by now.
fn enter_cgroups(procs: &[BorrowedFd<'_>]) -> Result<(), Failure> {
    for file in procs {
        rustix::io::write(file, b"0").map_err(at(Step::Cgroup, "cgroup.procs"))?;
    }
    Ok(())
}

fn mapped(control: BorrowedFd<'_>) -> io::Result<bool> {
    let mut word = [0];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(control, &mut word))?;
    Ok(read == 1 && word[0] == wire::MAPPED)
}

/// Takes the ids of root in the user namespace just entered; until then the process has the host root's, unmapped.
fn become_root() -> Result<(), Errno> {
    set_thread_groups(&[])?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    // The kernel resets this with the ids, to what the host's administrator chose (fs.suid_dumpable).
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
