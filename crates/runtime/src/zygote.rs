//! A process started ahead that forks the first process of a container.
//!
//! Whatever runs in the sight of a container runs a program that cannot be written to (CVE-2019-5736, see `seal`), and executing that
//! takes a millisecond. So it begins before anything else, and goes on while its caller reads and makes what the container needs.
//!
//! ```text
//!  caller   Zygote::start ── reads, checks, makes groups ── bear ─────────► the new process's pidfd
//!  zygote        └─ execve of the sealed program ── waits ──┴─ fork ── ends
//!  init                                                         └─ a child of the caller (CLONE_PARENT)
//! ```

use crate::create::Way;
use crate::failure::at;
use crate::stage::{self, Between, Errand, Network, Place, Sort, User, named};
use crate::wire::{self, Order};
use crate::{Failure, FdIndex, Step, park, seal};
use oci::runtime::{Namespace, NamespaceKind, Spec};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, pidfd_open};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use sys::process::{Birth, Namespaces, SingleThread};

/// What the program is called as when it is to be a zygote (argv 0); it then calls [`zygote_main`] first of all.
pub const ZYGOTE: &str = "dhow-zygote";

/// See the module. Dropped, it ends.
#[derive(Debug)]
pub struct Zygote {
    /// `None` when it has been let go.
    socket: Option<OwnedFd>,
    pidfd: OwnedFd,
}

/// What is to be forked. Paths and texts; descriptors by their place among those that come along.
#[derive(Debug, Serialize, Deserialize)]
struct Bearing {
    /// JSON, as is `state`: the types say by omission what a compact format cannot.
    spec: String,
    state: String,
    bundle: PathBuf,
    way: Way,
    namespaces: u32,
    pid_namespace: Option<FdIndex>,
    user: Option<FdIndex>,
    network: Option<FdIndex>,
    cgroup: Option<FdIndex>,
    cgroup_procs: Vec<FdIndex>,
    control: FdIndex,
    gate: Option<FdIndex>,
    streams: [FdIndex; 3],
    passed: Vec<FdIndex>,
}

/// Descriptors on their way.
#[derive(Default)]
struct Luggage<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Luggage<'a> {
    fn add(&mut self, fd: BorrowedFd<'a>) -> FdIndex {
        self.0.push(fd);
        FdIndex::try_from(self.0.len() - 1).unwrap_or(FdIndex::MAX)
    }
}

impl Zygote {
    /// Executes this program, sealed, once more.
    pub fn start() -> io::Result<Zygote> {
        let (ours, theirs) = wire::pair()?;
        let program = seal::program()?;
        // The zygote's end lets the mount go, not ours: that waits for all processors (namespace_unlock in fs/namespace.c).
        program.stay_open()?;
        let mut command = Command::new(program.path());
        command.arg0(ZYGOTE).env_clear().stdin(Stdio::from(theirs)).stdout(Stdio::null());
        let child = command.spawn()?;
        let pid = rustix::process::Pid::from_child(&child);
        Ok(Zygote { socket: Some(ours), pidfd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// Lets it make the network namespace now, if the process of `spec` is to have a new one that belongs to the caller's user
    /// namespace: that alone takes most of the fork's time.
    pub fn prepare(&self, spec: &Spec) -> io::Result<()> {
        let network = spec.namespace(NamespaceKind::Network).is_some_and(Namespace::is_new);
        match &self.socket {
            Some(socket) if network && spec.namespace(NamespaceKind::User).is_none() => {
                wire::say(socket.as_fd(), wire::NETWORK, &[])
            }
            _ => Ok(()),
        }
    }

    /// Has it fork the process of `errand`, a child of the caller that goes to its `place` and waits there for an order at the socket
    /// that is the last of what is returned.
    pub(crate) fn bear(
        &mut self,
        birth: &Birth<'_>,
        place: &Place<'_>,
        errand: &Errand<'_>,
    ) -> Result<(i32, OwnedFd, OwnedFd), Failure> {
        let (ours, theirs) = wire::pair().map_err(at(Step::Park, "socket"))?;
        let socket = self.socket.take().ok_or_else(|| Failure::new(Step::Park, Errno::PIPE, "zygote"))?;
        let mut luggage = Luggage::default();
        let bearing = Bearing::pack(&mut luggage, birth, place, errand, theirs.as_fd())?;
        wire::order(socket.as_fd(), &bearing, &luggage.0).map_err(at(Step::Park, "zygote"))?;
        drop(theirs);
        let pidfd = park::await_forked(socket.as_fd(), self.pidfd.as_fd())?;
        let pid = park::pid_of(pidfd.as_fd()).map_err(at(Step::Park, "pidfd"))?;
        Ok((pid, pidfd, ours))
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        self.socket = None;
        let ended = WaitId::PidFd(self.pidfd.as_fd());
        let _ = rustix::io::retry_on_intr(|| rustix::process::waitid(ended.clone(), WaitIdOptions::EXITED));
    }
}

impl Bearing {
    fn pack<'a>(
        luggage: &mut Luggage<'a>,
        birth: &Birth<'a>,
        place: &Place<'a>,
        errand: &Errand<'a>,
        control: BorrowedFd<'a>,
    ) -> Result<Bearing, Failure> {
        let json = |e: serde_json::Error| Failure::new(Step::Park, Errno::INVAL, e.to_string());
        let user = if let User::Join(fd) = place.user { Some(fd) } else { None };
        let network = if let Network::Join(fd) = place.network { Some(fd) } else { None };
        Ok(Bearing {
            spec: serde_json::to_string(errand.spec).map_err(json)?,
            state: serde_json::to_string(errand.state).map_err(json)?,
            bundle: errand.bundle.to_owned(),
            way: errand.way,
            namespaces: birth.namespaces.bits(),
            pid_namespace: birth.pid_namespace.map(|fd| luggage.add(fd)),
            user: user.map(|fd| luggage.add(fd)),
            network: network.map(|fd| luggage.add(fd)),
            cgroup: birth.cgroup.map(|fd| luggage.add(fd)),
            cgroup_procs: place.cgroup_procs.iter().map(|fd| luggage.add(*fd)).collect(),
            control: luggage.add(control),
            gate: errand.gate.map(|fd| luggage.add(fd)),
            streams: errand.streams.map(|fd| luggage.add(fd)),
            passed: errand.passed.iter().map(|fd| luggage.add(*fd)).collect(),
        })
    }

    fn namespaces(&self) -> Namespaces {
        Namespaces::from_bits_retain(self.namespaces)
    }

    fn place<'a>(&self, fds: &'a [OwnedFd]) -> Result<Place<'a>, Failure> {
        let optional = |index: Option<FdIndex>| index.map(|index| named(fds, index)).transpose();
        let existing = [optional(self.user)?, optional(self.network)?];
        let cgroup_procs = self.cgroup_procs.iter().map(|index| named(fds, *index)).collect::<Result<_, _>>()?;
        Ok(Place::of(self.namespaces(), existing, cgroup_procs))
    }

    /// Does what it says; the namespaces `ahead` are there already.
    fn bear(&self, tell: BorrowedFd<'_>, fds: &[OwnedFd], ahead: Namespaces) -> Result<Infallible, Failure> {
        let json = |e: serde_json::Error| Failure::new(Step::Park, Errno::INVAL, e.to_string());
        let spec = serde_json::from_str(&self.spec).map_err(json)?;
        let state = serde_json::from_str(&self.state).map_err(json)?;
        let optional = |index: Option<FdIndex>| index.map(|index| named(fds, index)).transpose();
        let passed = self.passed.iter().map(|index| named(fds, *index)).collect::<Result<Vec<_>, _>>()?;
        let [input, output, error] = self.streams;
        let errand = Errand {
            sort: Sort::Init,
            spec: &spec,
            bundle: &self.bundle,
            gate: optional(self.gate)?,
            streams: [named(fds, input)?, named(fds, output)?, named(fds, error)?],
            passed: &passed,
            way: self.way,
            state: &state,
        };
        let birth = Birth {
            namespaces: self.namespaces() - ahead,
            pid_namespace: optional(self.pid_namespace)?,
            cgroup: optional(self.cgroup)?,
            sibling: true,
        };
        let control = named(fds, self.control)?.try_clone_to_owned().map_err(at(Step::Park, "socket"))?;
        let thread = SingleThread::prove().map_err(at(Step::Clone, "init"))?;
        // Where the caller is by now.
        std::env::set_current_dir(&self.bundle).map_err(at(Step::Park, "bundle"))?;
        let between = Between { tell, control, errand: Some(&errand) };
        let mut place = self.place(fds)?;
        if ahead.contains(Namespaces::NEWNET) {
            place.network = Network::Entered;
        }
        match park::joins_first(&birth, &mut place, self.way)? {
            true => stage::fork_from_inside(&thread, &birth, place, between),
            false => stage::fork_sibling(&thread, &birth, place, between),
        }
    }
}

/// The life of a zygote, whose socket is its standard input.
#[must_use]
pub fn zygote_main() -> ExitCode {
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    match live(socket) {
        // Its caller failed, or needs it no more.
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            wire::report(socket, &failure);
            ExitCode::FAILURE
        }
    }
}

fn live(socket: BorrowedFd<'_>) -> Result<(), Failure> {
    let mut ahead = Namespaces::empty();
    loop {
        match wire::await_order::<Bearing>(socket).map_err(at(Step::Park, "order"))? {
            None => return Ok(()),
            Some(Order::Network) => {
                sys::namespace::unshare(Namespaces::NEWNET).map_err(at(Step::Clone, "network namespace"))?;
                ahead |= Namespaces::NEWNET;
            }
            Some(Order::This(bearing, fds)) => match bearing.bear(socket, &fds, ahead)? {},
            Some(Order::Own) => return Err(Failure::new(Step::Park, Errno::PROTO, "order")),
        }
    }
}
