//! The keeper's end of a launch: a parked process becomes the init of a container.

use crate::failure::at;
use crate::park::{self, Parking};
use crate::stage::{Network, Place, User};
use crate::wire::{self, Word};
use crate::{Failure, FdIndex, Plan, Step, Unshare, UserNamespace, ids, limits};
use rustix::fs::{FileType, Gid, Uid};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::process::{Birth, Namespaces, SingleThread};

/// Standard streams of a new process: the ends that it gets, in the order stdin, stdout, stderr.
#[derive(Debug, Clone, Copy)]
pub enum Stdio<'a> {
    Files([BorrowedFd<'a>; 3]),
    /// A new pseudo terminal, in the container's own devpts; its master comes with [`Outcome::Started`].
    Terminal,
}

impl Stdio<'_> {
    /// The plan and the streams must agree about the terminal.
    pub(crate) fn check(self, terminal: bool) -> Result<(), Failure> {
        match matches!(self, Stdio::Terminal) == terminal {
            true => Ok(()),
            false => Err(Failure::new(Step::Console, Errno::INVAL, "standard streams")),
        }
    }
}

/// A process between its fork and its execve.
///
/// Put [`socket`](Self::socket) into an epoll and call [`on_readable`](Self::on_readable) until it gives the outcome.
/// The process is the caller's child in any case, and reaped as any other.
#[derive(Debug)]
pub struct Starting {
    pid: i32,
    pidfd: OwnedFd,
    socket: OwnedFd,
    master: Option<OwnedFd>,
    terminal: bool,
}

/// How a launch or an exec went.
#[derive(Debug)]
pub enum Outcome {
    /// execve happened: the socket closed without a word. (Or the process was killed just before: its pidfd tells.)
    Started {
        /// The master of its terminal, if it has one.
        master: Option<OwnedFd>,
    },
    Failed(Failure),
}

/// Turns a parked process into a container; `fds` are those that the plan names.
///
/// Does not wait for it. A container in another pid namespace than its own new one, or in a v2 cgroup, gets a process forked
/// anew, which takes the parked one's place ([`Starting::pid`] differs from [`Parking::pid`] then).
pub fn launch(
    thread: &SingleThread,
    parked: Parking,
    plan: &Plan,
    fds: &[BorrowedFd<'_>],
    stdio: Stdio<'_>,
) -> Result<Starting, Failure> {
    stdio.check(plan.process.terminal)?;
    if let Stdio::Files(streams) = stdio {
        own_streams(&parked, plan, streams)?;
    }
    let anew = plan.cgroup_dir.is_some() || plan.pid != Unshare::New;
    let (pid, pidfd, socket) = if anew { replace(thread, &parked, plan, fds)? } else { parked.into_parts() };
    limits::raise(Some(pid), &plan.process.rlimits)?;
    let mut fds = fds.to_vec();
    if let Stdio::Files(streams) = stdio {
        fds.extend(streams);
    }
    wire::order(socket.as_fd(), plan, &fds).map_err(at(Step::Park, "socket"))?;
    Ok(Starting::new(pid, pidfd, socket, plan.process.terminal))
}

/// Forks a process that joins the parked one's namespaces and cgroups.
fn replace(
    thread: &SingleThread,
    parked: &Parking,
    plan: &Plan,
    fds: &[BorrowedFd<'_>],
) -> Result<(i32, OwnedFd, OwnedFd), Failure> {
    let named = |index: FdIndex| {
        let position = usize::try_from(index).unwrap_or(usize::MAX);
        fds.get(position).copied().ok_or_else(|| Failure::new(Step::Clone, Errno::BADF, "file descriptors"))
    };
    let spaces = parked.namespaces().map_err(at(Step::JoinNamespace, "the parked process"))?;
    let mut birth = Birth { cgroup: plan.cgroup_dir.map(named).transpose()?, ..Birth::default() };
    match plan.pid {
        Unshare::Host => {}
        Unshare::New => birth.namespaces = Namespaces::NEWPID,
        Unshare::Join(index) => birth.pid_namespace = Some(named(index)?),
    }
    let place = Place {
        user: spaces.user.as_ref().map_or(User::Stay, |user| User::Join(user.as_fd())),
        network: Network::Join(spaces.network.as_fd()),
        cgroup_procs: parked.cgroup_procs.iter().map(AsFd::as_fd).collect(),
    };
    park::fork(thread, &birth, place)
}

/// Gives pipes to the user of the container, who could not open /dev/stdout and its like otherwise.
fn own_streams(parked: &Parking, plan: &Plan, streams: [BorrowedFd<'_>; 3]) -> Result<(), Failure> {
    let (uid, gid) = (plan.process.uid, plan.process.gid);
    let owner = match &parked.user {
        UserNamespace::Host => Ok((Some(uid), Some(gid))),
        UserNamespace::New { uid: uids, gid: gids } => Ok((ids::host_id(uids, uid), ids::host_id(gids, gid))),
        UserNamespace::Join(_) => host_owner(parked.pid(), uid, gid),
    };
    owner.and_then(|owner| give(streams, owner)).map_err(at(Step::User, "standard streams"))
}

/// The host's ids for a user of the process `pid`.
pub(crate) fn host_owner(pid: i32, uid: u32, gid: u32) -> io::Result<(Option<u32>, Option<u32>)> {
    Ok((ids::host_id(&ids::read(pid, "uid_map")?, uid), ids::host_id(&ids::read(pid, "gid_map")?, gid)))
}

/// Changes the owner of those that are pipes; ids that are not mapped stay.
pub(crate) fn give(streams: [BorrowedFd<'_>; 3], (uid, gid): (Option<u32>, Option<u32>)) -> io::Result<()> {
    for stream in streams {
        if FileType::from_raw_mode(rustix::fs::fstat(stream)?.st_mode) == FileType::Fifo {
            let (uid, gid) = (uid.filter(|id| *id != u32::MAX), gid.filter(|id| *id != u32::MAX));
            rustix::fs::fchown(stream, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
        }
    }
    Ok(())
}

impl Starting {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd, socket: OwnedFd, terminal: bool) -> Self {
        Self { pid, pidfd, socket, master: None, terminal }
    }

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

    /// The pidfd, once the outcome is known.
    #[must_use]
    pub fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }

    /// Hears what the process says, without waiting; `None` while it is still on its way.
    pub fn on_readable(&mut self) -> Option<Outcome> {
        loop {
            match wire::listen(self.socket())? {
                Word::Said(wire::TERMINAL, master) => self.master = master,
                Word::Said(..) | Word::Listener(_) | Word::Map(..) => {}
                Word::Failed(failure) => return Some(Outcome::Failed(failure)),
                Word::End if self.terminal && self.master.is_none() => {
                    return Some(Outcome::Failed(Failure::new(Step::Console, Errno::PIPE, "a process that ended")));
                }
                Word::End => return Some(Outcome::Started { master: self.master.take() }),
            }
        }
    }
}
