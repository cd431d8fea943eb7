//! What runs in the forked children, from the fork to execve: one thread, no way back, every failure told to the keeper.

mod below_root;
mod copy_up;
mod course;
mod halts;
mod home;
mod init;
pub(crate) mod joining;
mod masks;
mod nodes;
mod null;
mod own_cgroups;
mod process;
pub(crate) mod program;
mod resolve;
mod terminal;
mod tree;
mod tuning;

pub(crate) use course::{Errand, Sort};
pub(crate) use init::named;
pub(crate) use tree::create as create_file_system;

use crate::failure::at;
use crate::{Failure, Step, wire};
use course::Course;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use sys::namespace::{setns, unshare};
use sys::process::{Birth, Child, Fork, Namespaces, SingleThread};

/// Where a process waits for its plan.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) user: User<'a>,
    pub(crate) network: Network<'a>,
    pub(crate) cgroup_procs: Vec<BorrowedFd<'a>>,
}

impl<'a> Place<'a> {
    /// Into `new` namespaces, made by the fork, and those existing ones (user, network) that are given.
    pub(crate) fn of(
        new: Namespaces,
        [user, network]: [Option<BorrowedFd<'a>>; 2],
        cgroup_procs: Vec<BorrowedFd<'a>>,
    ) -> Self {
        let user = match user {
            Some(fd) => User::Join(fd),
            None if new.contains(Namespaces::NEWUSER) => User::Born,
            None => User::Stay,
        };
        let network = match network {
            Some(fd) => Network::Join(fd),
            None if new.contains(Namespaces::NEWNET) => Network::Born,
            None => Network::Stay,
        };
        Self { user, network, cgroup_procs }
    }

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
    /// Or what it is, where it may not be written.
    oom_score_adj: Result<OwnedFd, Option<i32>>,
    /// AppArmor's; `None` without AppArmor.
    label: Option<OwnedFd>,
    /// Of the time namespace for children; only for one that asks for such a namespace.
    clock_offsets: Option<OwnedFd>,
}

impl OwnFiles {
    fn open(course: &Course<'_>) -> Result<Self, Failure> {
        let open = |path: &str| rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let oom_score_adj = open(OOM_SCORE_ADJ).map_err(|_| own_oom_score());
        let clock_offsets = match course.wants_time() {
            true => Some(open("/proc/self/timens_offsets").map_err(at(Step::Clone, "time namespace"))?),
            false => None,
        };
        Ok(Self { oom_score_adj, label: open("/proc/self/attr/apparmor/exec").ok(), clock_offsets })
    }

    fn numbers(&self) -> impl Iterator<Item = i32> {
        let optional = [&self.label, &self.clock_offsets].into_iter().flatten();
        optional.chain(&self.oom_score_adj).map(AsRawFd::as_raw_fd)
    }

    /// Lowering it needs CAP_SYS_RESOURCE on the host: EACCES.
    fn adjust_oom_score(&self, score: Option<i32>) -> Result<(), Failure> {
        let Some(score) = score else { return Ok(()) };
        let written = match &self.oom_score_adj {
            Ok(file) => rustix::io::write(file, score.to_string().as_bytes()).map(drop),
            Err(is) if *is == Some(score) => Ok(()),
            Err(_) => Err(Errno::ACCESS),
        };
        written.map_err(at(Step::Rlimit, "oom_score_adj"))
    }

    /// The label that execve gives.
    fn set_label(&self, profile: Option<&str>) -> Result<(), Failure> {
        let Some(profile) = profile else { return Ok(()) };
        let file = self.label.as_ref().ok_or_else(|| Failure::new(Step::Label, Errno::OPNOTSUPP, profile))?;
        rustix::io::write(file, format!("exec {profile}").as_bytes()).map(drop).map_err(at(Step::Label, profile))
    }
}

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

fn own_oom_score() -> Option<i32> {
    std::fs::read_to_string(OOM_SCORE_ADJ).ok()?.trim().parse().ok()
}

/// Makes a process between one that cannot be traced or looked into, and so what it forks in the sight of a container
/// (CVE-2016-9962). Without root's rights that one could not open its own files any more, so what it inherits is set now.
pub(crate) fn conceal(oom_score: Option<i32>) -> Result<(), Failure> {
    if let Some(score) = oom_score {
        std::fs::write(OOM_SCORE_ADJ, score.to_string()).map_err(at(Step::Rlimit, "oom_score_adj"))?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at(Step::Park, "dumpable"))
}

/// The ends that a process between hands on.
#[derive(Debug)]
pub(crate) struct Between<'a> {
    /// Where it tells of the process that it forked.
    pub(crate) tell: BorrowedFd<'a>,
    /// For that process.
    pub(crate) control: OwnedFd,
    pub(crate) errand: Option<&'a Errand<'a>>,
}

/// The short life of a process that joins namespaces only to fork, as its sibling, one that is born inside.
///
/// It keeps the host root's ids, so it may put that one into a cgroup.
pub(crate) fn fork_from_inside(thread: &SingleThread, birth: &Birth<'_>, place: Place<'_>, between: Between<'_>) -> ! {
    let rootless = between.errand.filter(|errand| errand.way.rootless);
    let score = rootless.and_then(|errand| errand.spec.process.as_ref()?.oom_score_adj);
    match conceal(score).and_then(|()| join(&place)) {
        Ok(()) => fork_sibling(thread, birth, place.entered(), between),
        Err(failure) => end_between(between.tell, &failure),
    }
}

/// Forks a child of the caller's own parent, and ends.
pub(crate) fn fork_sibling(
    thread: &SingleThread,
    birth: &Birth<'_>,
    place: Place<'_>,
    Between { tell, control, errand }: Between<'_>,
) -> ! {
    let birth = Birth { sibling: true, ..*birth };
    match sys::fork(thread, &birth).map_err(at(Step::Clone, "init")) {
        Ok(Fork::Child(child)) => parked(&child, control, place, errand),
        Ok(Fork::Parent { pidfd, .. }) => tell_forked(tell, pidfd.as_fd()),
        Err(failure) => end_between(tell, &failure),
    }
}

fn end_between(tell: BorrowedFd<'_>, failure: &Failure) -> ! {
    wire::report(tell, failure);
    sys::process::exit(1)
}

/// The end of a process between.
pub(crate) fn tell_forked(tell: BorrowedFd<'_>, pidfd: BorrowedFd<'_>) -> ! {
    let told = wire::say(tell, wire::FORKED, &[pidfd]);
    sys::process::exit(if told.is_ok() { 0 } else { 1 })
}

/// The life of a parked process, or with an errand that of a process without a keeper.
pub(crate) fn parked(child: &Child, control: OwnedFd, place: Place<'_>, errand: Option<&Errand<'_>>) -> ! {
    let course = Course::begin(child, control, errand);
    let failure = match wait_in_place(&course, &place) {
        Ok(None) => sys::process::exit(0),
        Ok(Some((own, plan, fds))) => {
            let host_network = matches!(place.network, Network::Stay);
            match init::become_container(&course, &own, host_network, &plan, &fds) {
                Ok(never) => match never {},
                Err(failure) => failure,
            }
        }
        Err(failure) => failure,
    };
    course.report(&failure);
    sys::process::exit(1)
}

type Order = (OwnFiles, Box<crate::Plan>, Vec<OwnedFd>);

fn wait_in_place(course: &Course<'_>, place: &Place<'_>) -> Result<Option<Order>, Failure> {
    let mut keep: Vec<_> = place.cgroup_procs.iter().map(AsRawFd::as_raw_fd).collect();
    if let User::Join(fd) = place.user {
        keep.push(fd.as_raw_fd());
    }
    if let Network::Join(fd) = place.network {
        keep.push(fd.as_raw_fd());
    }
    let own = settle(course, keep)?;
    course.watch_caller()?;
    enter(place)?;
    if !become_root_of(course, place.user)? {
        return Ok(None);
    }
    course.close_all_but(own.numbers().collect())?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Step::Park, "death signal"))?;
    course.say_ready()?;
    let order = match wire::await_order::<Box<crate::Plan>>(course.control()).map_err(at(Step::Park, "plan"))? {
        None => return Ok(None),
        Some(wire::Order::This(plan, fds)) => (own, plan, fds),
        Some(wire::Order::Own) => {
            let (plan, fds) = course.compile()?;
            (own, plan, fds)
        }
        Some(wire::Order::Network) => return Err(Failure::new(Step::Park, Errno::PROTO, "plan")),
    };
    course.stop_watching_keeper()?;
    course.unbind()?;
    Ok(Some(order))
}

/// What every forked process does first: it lets go of what is the keeper's.
///
/// Its descriptors (a pipe held open here would never end there), its keys, its signals; and it can no longer be traced or
/// looked into by a process of the container that it will meet (CVE-2016-9962).
fn settle(course: &Course<'_>, keep: Vec<i32>) -> Result<OwnFiles, Failure> {
    // Without root's rights these can be opened only while they are ours: not after the next line.
    let early = if course.awaits_maps() { Some(OwnFiles::open(course)?) } else { None };
    if !course.awaits_maps() {
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at(Step::Park, "dumpable"))?;
    }
    let mut keep = keep;
    keep.extend(early.iter().flat_map(OwnFiles::numbers));
    course.close_all_but(keep)?;
    rustix::thread::set_name(course.name()).map_err(at(Step::Park, "name"))?;
    sys::signal::reset_all().map_err(at(Step::Park, "signals"))?;
    if course.wants_keyring() {
        // A kernel without keyrings, or a full quota, is no reason to fail.
        let _ = sys::process::new_session_keyring();
    }
    match early {
        Some(own) => Ok(own),
        None => OwnFiles::open(course),
    }
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
fn become_root_of(course: &Course<'_>, user: User<'_>) -> Result<bool, Failure> {
    match user {
        User::Stay => return Ok(true),
        User::Join(_) | User::Entered => {}
        User::Born => {
            if wire::await_word(course.control()).map_err(at(Step::Park, "socket"))? != Some(wire::MAPPED) {
                return Ok(false);
            }
        }
    }
    become_root(course.groups()).map_err(at(Step::Park, "root of the user namespace"))?;
    Ok(true)
}

/// The files were opened by the host's root, whose right counts (cgroup_procs_write in kernel/cgroup), not ours by now.
fn enter_cgroups(procs: &[BorrowedFd<'_>]) -> Result<(), Failure> {
    for file in procs {
        rustix::io::write(file, b"0").map_err(at(Step::Cgroup, "cgroup.procs"))?;
    }
    Ok(())
}

/// Takes the ids of root in the user namespace just entered; until then the process has the host root's, unmapped.
fn become_root(groups: Groups) -> Result<(), Errno> {
    groups.set(&[])?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    // The kernel resets this with the ids, to what the host's administrator chose (fs.suid_dumpable).
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Whether supplementary groups can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    Settable,
    /// In a user namespace whose owner had no right to write its gid map as it liked, setgroups(2) is denied
    /// (user_namespaces(7)): the groups stay what they are on the host.
    PerhapsDenied,
}

impl Groups {
    /// What holds in the caller's user namespace and so in all below it. First asked before a fork: after it, /proc may be a
    /// container's.
    pub(crate) fn here() -> Groups {
        static FOUND: OnceLock<Groups> = OnceLock::new();
        *FOUND.get_or_init(|| match std::fs::read_to_string("/proc/self/setgroups") {
            Ok(text) if text.trim() == "deny" => Groups::PerhapsDenied,
            _ => Groups::Settable,
        })
    }

    fn set(self, wanted: &[Gid]) -> Result<(), Errno> {
        match set_thread_groups(wanted) {
            Err(Errno::PERM) if self == Groups::PerhapsDenied && wanted.is_empty() => Ok(()),
            other => other,
        }
    }
}
