//! A container made by a process that will not keep it: `create`, `run` and `exec` of an OCI runtime's command line.
//!
//! ```text
//!  Creation::fork ──► Newborn (a process in its user, network and pid namespaces, waiting)
//!                       │  the caller puts it into its cgroups (systemd needs its number), moves network devices
//!                       ▼
//!  Newborn::furnish ──► Beginning ──wait()──► Milestone::Hooks    namespaces and mounts are there: createRuntime hooks run
//!                                  proceed()                      in the caller, createContainer hooks in the process
//!                                 ──wait()──► Milestone::Created  all is done but execve; the process waits at the gate
//!                                                                 (without a gate: Milestone::Started, execve happened)
//!  knock(gate)          ────────────────────► the process runs its startContainer hooks and executes; or a Failure
//! ```

use crate::{Failure, Target};
use oci::runtime::{Process, Spec};
use oci::state::State;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use sys::CgroupEntry;
use sys::process::SingleThread;

/// Why a container could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error(transparent)]
    Prepare(#[from] crate::PrepareError),
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// What a container is made from.
#[derive(Debug)]
pub struct Creation<'a> {
    pub spec: &'a Spec,
    /// `root.path` is relative to it.
    pub bundle: &'a Path,
    /// A listening SOCK_SEQPACKET socket at which the process waits for [`knock`]; `None` (`run`): it goes on at once.
    pub gate: Option<BorrowedFd<'a>>,
    /// What becomes its standard streams; ignored with a terminal, whose master comes with [`Milestone`].
    pub streams: [BorrowedFd<'a>; 3],
    /// Descriptors that the program gets as 3, 4, ... (`--preserve-fds`, socket activation).
    pub passed: Vec<BorrowedFd<'a>>,
    pub way: Way,
    /// What hooks in the container and a seccomp listener are told; `pid` and `status` are filled in.
    pub state: &'a State,
}

/// How a container is brought up, where there is a choice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way {
    /// Without rights on the host: id maps by newuidmap(1) and newgidmap(1) (or one line each, written directly), mount sources opened
    /// by the process itself inside its user namespace, devices bound instead of made.
    pub rootless: bool,
    /// chroot(2) onto a moved mount instead of pivot_root(2), for a root on a ramdisk.
    pub no_pivot: bool,
    /// The process keeps the caller's session keyring.
    pub same_keyring: bool,
}

/// A process that was born, and waits.
#[derive(Debug)]
pub struct Newborn<'a> {
    #[allow(dead_code)]
    creation: Creation<'a>,
}

/// A process on its way to its program.
#[derive(Debug)]
pub struct Beginning {}

/// How far a [`Beginning`] came.
#[derive(Debug)]
pub enum Milestone {
    /// Its namespaces and mounts are there. It waits for [`Beginning::proceed`]. Only when the specification has prestart or
    /// createRuntime hooks or network devices.
    Hooks,
    /// It waits at its gate.
    Created { master: Option<OwnedFd> },
    /// execve happened.
    Started { master: Option<OwnedFd> },
}

impl<'a> Creation<'a> {
    /// Forks the process. `cgroup`: where it is born (v2), or what it enters (v1); [`CgroupEntry::Inherit`] when the caller
    /// will put it somewhere.
    pub fn fork(self, _thread: &SingleThread, _cgroup: &CgroupEntry) -> Result<Newborn<'a>, CreateError> {
        todo!()
    }
}

impl Newborn<'_> {
    /// Process id as the caller sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        todo!()
    }

    /// Lets it go on with everything. Does not wait for it. On failure the process is dead and reaped.
    pub fn furnish(self) -> Result<Beginning, CreateError> {
        todo!()
    }
}

impl Beginning {
    /// Process id as the caller sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        todo!()
    }

    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        todo!()
    }

    /// Waits for the next milestone. On failure the process is dead and reaped.
    pub fn wait(&mut self) -> Result<Milestone, Failure> {
        todo!()
    }

    /// Answers [`Milestone::Hooks`].
    pub fn proceed(&self) -> Result<(), Failure> {
        todo!()
    }

    /// The pidfd, for the time after.
    #[must_use]
    pub fn into_pidfd(self) -> OwnedFd {
        todo!()
    }
}

/// `start`: knocks at the gate named `name` in `folder` and waits until the program runs.
///
/// NotFound / ConnectionRefused of the connection come as `Err` of the outer kind: nobody waits there (any more).
pub fn knock(_folder: BorrowedFd<'_>, _name: &str) -> std::io::Result<Result<(), Failure>> {
    todo!()
}

/// An exec into a container by a process that is not its keeper.
#[derive(Debug)]
pub struct Joining<'a> {
    pub target: Target<'a>,
    pub process: &'a Process,
    /// The container's `linux` part: seccomp profile, maps, personality.
    pub spec: &'a Spec,
    pub cgroup: CgroupEntry,
    pub streams: [BorrowedFd<'a>; 3],
    pub passed: Vec<BorrowedFd<'a>>,
    pub way: Way,
    pub state: &'a State,
}

/// Forks a process that joins the container. It says [`Milestone::Started`].
pub fn join(_thread: &SingleThread, _joining: &Joining<'_>) -> Result<Beginning, CreateError> {
    todo!()
}
