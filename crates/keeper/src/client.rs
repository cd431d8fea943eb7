//! The engine's end of the control socket. Blocking, callable from many threads at once.

use crate::message::{Adopted, Event, Stdio};
use base::Id;
use runtime::{Failure, ParkPlan, Plan, ProcessPlan};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Where the keeper lives and what it is started from.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine's exec root: the socket is `keeper.sock` in it.
    pub exec_root: PathBuf,
    /// The dhow binary, which is started as `dhow keeper EXEC_ROOT` when none answers.
    pub binary: PathBuf,
}

/// A handle on the keeper; clones share one connection.
#[derive(Debug, Clone)]
pub struct Keeper {
    // private
}

/// A process that waits for its plan.
#[derive(Debug)]
pub struct Parked {
    pub pid: i32,
    pub user: Option<OwnedFd>,
    pub network: OwnedFd,
}

/// A process that runs. Dups of what the keeper holds.
#[derive(Debug)]
pub struct Started {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub streams: Streams,
}

/// The engine's ends of the standard streams.
#[derive(Debug)]
pub enum Streams {
    Pipes { stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd },
    Terminal(OwnedFd),
}

/// What the keeper already had when this engine connected.
#[derive(Debug)]
pub struct Found {
    pub process: Adopted,
    /// `None` when it has exited and its output is all in the log.
    pub started: Option<Started>,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start the keeper {binary}")]
    Spawn { binary: PathBuf, source: std::io::Error },
    #[error("cannot talk to the keeper")]
    Lost(#[source] std::io::Error),
    #[error("the keeper speaks version {theirs} of its protocol, this engine {ours}: stop all containers, then start the engine again")]
    Version { ours: u32, theirs: u32 },
    #[error(transparent)]
    Failed(Failure),
    #[error("the keeper refused: {0}")]
    Refused(String),
}

impl Keeper {
    /// Connects to the keeper of `options.exec_root`, started first when none answers, and learns what it holds.
    /// Events come through the channel, from a thread of this client, in order.
    pub fn connect(options: &Options) -> Result<(Keeper, Vec<Found>, std::sync::mpsc::Receiver<Event>), Error> {
        let _ = options;
        todo!()
    }

    /// The keeper's process id.
    pub fn pid(&self) -> i32 {
        todo!()
    }

    /// Makes a process that waits in its user and network namespaces and v1 cgroups.
    pub fn park(&self, plan: ParkPlan, fds: &[OwnedFd]) -> Result<Parked, Error> {
        let _ = (plan, fds);
        todo!()
    }

    /// Lets a parked process go.
    pub fn unpark(&self, pid: i32) -> Result<(), Error> {
        let _ = pid;
        todo!()
    }

    /// Turns a parked process into container `key`; returns when its program has been executed.
    pub fn launch(
        &self,
        key: Id,
        parked: i32,
        plan: Plan,
        fds: &[OwnedFd],
        stdio: Stdio,
        log: logs::Target,
    ) -> Result<Started, Error> {
        let _ = (key, parked, plan, fds, stdio, log);
        todo!()
    }

    /// Runs one more process in `container`; returns when its program has been executed.
    /// `cgroup` is what `cgroup::Cgroup::entry` gives.
    pub fn exec(
        &self,
        key: Id,
        container: Id,
        plan: ProcessPlan,
        cgroup: sys::CgroupEntry,
        stdio: Stdio,
    ) -> Result<Started, Error> {
        let _ = (key, container, plan, cgroup, stdio);
        todo!()
    }

    /// Closes the keeper's end of a process's stdin; the process sees its end once the caller has closed its own.
    pub fn close_stdin(&self, key: Id) -> Result<(), Error> {
        let _ = key;
        todo!()
    }

    /// Forgets an exited process: its exit is recorded.
    pub fn release(&self, key: Id) -> Result<(), Error> {
        let _ = key;
        todo!()
    }
}
