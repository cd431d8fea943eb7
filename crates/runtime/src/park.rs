//! The keeper's end of a parked process: one that waits in its user and network namespaces and cgroups for a plan.

use crate::create::Way;
use crate::failure::at;
use crate::stage::{Between, Groups, Network, Place, User, named};
use crate::wire::{self, Word};
use crate::{Failure, FdIndex, NetworkNamespace, ParkPlan, Step, UserNamespace, ids, stage};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::process::{Birth, Fork, Namespaces, SingleThread};

/// A process on its way to being parked, and then parked.
///
/// Put [`socket`](Self::socket) into an epoll and call [`on_readable`](Self::on_readable) until it gives the
/// [`ParkedNamespaces`]; then it may be launched. Dropping this lets the process go: it exits by itself, and the caller reaps it
/// as any other child. It is killed when the calling thread dies.
#[derive(Debug)]
pub struct Parking {
    pid: i32,
    pidfd: OwnedFd,
    pub(crate) socket: OwnedFd,
    pub(crate) user: UserNamespace,
    /// Kept for a process that has to take this one's place.
    pub(crate) cgroup_procs: Vec<OwnedFd>,
}

/// What a parked process is in.
#[derive(Debug)]
pub struct ParkedNamespaces {
    /// `None`: the caller's own.
    pub user: Option<OwnedFd>,
    pub network: OwnedFd,
}

/// Forks a process that will wait in the namespaces and cgroups of `plan`; `fds` are those that the plan names.
///
/// Does not wait for anything: entering a v1 cgroup alone takes milliseconds. The new process is the first of a new pid namespace.
pub fn park(thread: &SingleThread, plan: &ParkPlan, fds: &[OwnedFd]) -> Result<Parking, Failure> {
    Groups::here();
    let named = |index: FdIndex| named(fds, index);
    let procs = plan.cgroup_procs.iter().map(|index| named(*index)).collect::<Result<Vec<_>, _>>()?;
    let (user, network) = places(plan, fds)?;
    let mut namespaces = Namespaces::NEWPID;
    namespaces.set(Namespaces::NEWUSER, matches!(user, User::Born));
    namespaces.set(Namespaces::NEWNET, matches!(network, Network::Born));
    let cgroup_procs =
        procs.iter().map(|fd| fd.try_clone_to_owned()).collect::<Result<_, _>>().map_err(at(Step::Park, "cgroup"))?;
    let place = Place { user, network, cgroup_procs: procs };
    let (pid, pidfd, socket) = fork(thread, &Birth { namespaces, ..Birth::default() }, place)?;
    let parking = Parking { pid, pidfd, socket, user: plan.user.clone(), cgroup_procs };
    if namespaces.contains(Namespaces::NEWUSER) {
        parking.map_ids()?;
    }
    Ok(parking)
}

/// Which way a process gets into its namespaces.
fn places<'a>(plan: &ParkPlan, fds: &'a [OwnedFd]) -> Result<(User<'a>, Network<'a>), Failure> {
    let network = match plan.network {
        NetworkNamespace::Host => Network::Stay,
        NetworkNamespace::Join(index) => Network::Join(named(fds, index)?),
        // So that the user namespace owns it.
        NetworkNamespace::New if matches!(plan.user, UserNamespace::Join(_)) => Network::Unshare,
        NetworkNamespace::New => Network::Born,
    };
    let user = match &plan.user {
        UserNamespace::Host => User::Stay,
        UserNamespace::Join(index) => User::Join(named(fds, *index)?),
        UserNamespace::New { .. } => User::Born,
    };
    Ok((user, network))
}

/// Forks a process that goes to its `place` and waits there for an order.
pub(crate) fn fork(
    thread: &SingleThread,
    birth: &Birth<'_>,
    mut place: Place<'_>,
) -> Result<(i32, OwnedFd, OwnedFd), Failure> {
    if joins_first(birth, &mut place, Way::default())? {
        return fork_inside(thread, birth, place);
    }
    let (ours, theirs) = wire::pair().map_err(at(Step::Park, "socket"))?;
    match sys::fork(thread, birth).map_err(at(Step::Clone, "init"))? {
        Fork::Child(child) => stage::parked(&child, theirs, place, None),
        Fork::Parent { pid, pidfd } => Ok((pid, pidfd, ours)),
    }
}

/// Whether a process for this `place` is to be forked from inside of namespaces that are joined first. What is ours already is
/// taken out of the way.
///
/// A pid namespace belongs to the user namespace in which it is made, and only root of that one may mount a proc of it: to
/// be the first of a pid namespace in a user namespace that exists, a process has to be forked from inside of that. And a
/// network namespace may belong to a user namespace over which a new one has no power: it is joined before that is made.
pub(crate) fn joins_first(birth: &Birth<'_>, place: &mut Place<'_>, way: Way) -> Result<bool, Failure> {
    if let Network::Join(namespace) = place.network
        && is_ours(namespace).map_err(at(Step::JoinNamespace, "network"))?
    {
        place.network = Network::Stay;
    }
    // Without root's rights a pid namespace is joined from inside of its user namespace only.
    let joins_rootless = birth.pid_namespace.is_some() && way.rootless;
    let elsewhere = birth.namespaces.contains(Namespaces::NEWPID) || joins_rootless;
    let user_first = matches!(place.user, User::Join(_)) && elsewhere;
    let network_first = matches!((place.user, place.network), (User::Born, Network::Join(_)));
    Ok(user_first || network_first)
}

/// Whether the caller is in this network namespace (namespaces(7): device and inode tell).
fn is_ours(namespace: BorrowedFd<'_>) -> io::Result<bool> {
    let (that, ours) = (rustix::fs::fstat(namespace)?, rustix::fs::stat("/proc/self/ns/net")?);
    Ok((that.st_dev, that.st_ino) == (ours.st_dev, ours.st_ino))
}

/// Forks by way of a process that joins what has to be joined first. It lives for a few system calls: the caller waits for it.
///
/// That one stays out of the container's cgroup, which may be frozen, or have room for a single process.
fn fork_inside(thread: &SingleThread, birth: &Birth<'_>, place: Place<'_>) -> Result<(i32, OwnedFd, OwnedFd), Failure> {
    let (ours, theirs) = wire::pair().map_err(at(Step::Park, "socket"))?;
    let (hear, tell) = wire::pair().map_err(at(Step::Park, "socket"))?;
    match sys::fork(thread, &Birth::default()).map_err(at(Step::Clone, "process between"))? {
        Fork::Child(_) => {
            stage::fork_from_inside(thread, birth, place, Between { tell: tell.as_fd(), control: theirs, errand: None })
        }
        Fork::Parent { pidfd, .. } => {
            drop((theirs, tell));
            adopt(hear.as_fd(), pidfd.as_fd()).map(|(pid, pidfd)| (pid, pidfd, ours))
        }
    }
}

/// Takes over what a process between forked, and reaps that one.
pub(crate) fn adopt(hear: BorrowedFd<'_>, between: BorrowedFd<'_>) -> Result<(i32, OwnedFd), Failure> {
    let forked = await_forked(hear, between);
    let ended = WaitId::PidFd(between);
    let _ = rustix::io::retry_on_intr(|| rustix::process::waitid(ended.clone(), WaitIdOptions::EXITED));
    let pidfd = forked?;
    Ok((pid_of(pidfd.as_fd()).map_err(at(Step::Park, "pidfd"))?, pidfd))
}

/// Waits for the word or the end of the process between: the socket alone would not tell of an end after the fork.
pub(crate) fn await_forked(hear: BorrowedFd<'_>, between: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let mut ready = [hear, between].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut ready, None)).map_err(at(Step::Park, "socket"))?;
    match wire::listen(hear) {
        Some(Word::Said(wire::FORKED, Some(pidfd))) => Ok(pidfd),
        Some(Word::Failed(failure)) => Err(failure),
        _ => Err(Failure::new(Step::Park, Errno::PIPE, "a process that ended")),
    }
}

/// The number of a process as this one sees it (proc_pid_fdinfo(5), `Pid:`).
pub(crate) fn pid_of(pidfd: BorrowedFd<'_>) -> io::Result<i32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number.filter(|pid| *pid > 0).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

impl Parking {
    /// Process id as the caller sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable when the process has ended (pidfd_open(2)).
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Readable when [`on_readable`](Self::on_readable) has something to do.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Goes on with the making, without waiting: the namespaces once the process is parked, `None` before.
    pub fn on_readable(&mut self) -> Result<Option<ParkedNamespaces>, Failure> {
        match wire::listen(self.socket()) {
            None => Ok(None),
            Some(Word::Said(wire::READY, _)) => self.namespaces().map(Some).map_err(at(Step::Park, "namespaces")),
            Some(Word::Failed(failure)) => Err(failure),
            Some(Word::Said(..) | Word::Listener(_) | Word::Map(..) | Word::End) => {
                Err(Failure::new(Step::Park, Errno::PIPE, "a process that ended"))
            }
        }
    }

    fn map_ids(&self) -> Result<(), Failure> {
        if let UserNamespace::New { uid, gid } = &self.user {
            ids::write(self.pid, uid, gid).map_err(at(Step::Park, "id maps"))?;
        }
        wire::say(self.socket(), wire::MAPPED, &[]).map_err(at(Step::Park, "socket"))
    }

    /// The process is our child and not yet reaped, so its number cannot have become another's.
    pub(crate) fn namespaces(&self) -> io::Result<ParkedNamespaces> {
        let open = |kind| {
            rustix::fs::open(format!("/proc/{}/ns/{kind}", self.pid), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        };
        let user = if self.user == UserNamespace::Host { None } else { Some(open("user")?) };
        Ok(ParkedNamespaces { user, network: open("net")? })
    }

    pub(crate) fn into_parts(self) -> (i32, OwnedFd, OwnedFd) {
        (self.pid, self.pidfd, self.socket)
    }
}
