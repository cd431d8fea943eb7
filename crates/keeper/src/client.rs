//! The engine's end of the control socket. Blocking, callable from many threads at once.

mod connection;

use crate::message::{Adopted, CgroupFds, Event, Reply, Request, Stdio, Told};
use crate::spawn;
use base::{Id, Kind, Kinded};
use connection::{Answered, Connection};
pub use connection::{Ear, Taken};
use logs::pump::Journal;
use runtime::{Failure, ParkPlan, Plan, ProcessPlan, Step};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the keeper lives and what it is started from.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine's exec root: the socket is `keeper.sock` in it.
    pub exec_root: PathBuf,
    /// The dhow binary, which is started as `dhow keeper EXEC_ROOT` when none answers.
    pub binary: PathBuf,
}

/// A handle on the keeper; clones share one connection, which closes with the last of them.
#[derive(Debug, Clone)]
pub struct Keeper {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    version: u32,
    journal: Mutex<Option<Journal>>,
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
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    Terminal(OwnedFd),
    /// Those of an exec that an earlier engine asked for died with that engine.
    Gone,
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
    #[error(
        "the keeper speaks version {theirs} of its protocol, this engine {ours}: stop all containers, then start the engine again"
    )]
    Version { ours: u32, theirs: u32 },
    #[error(
        "the keeper is of an older dhow (version {theirs} of its protocol), which restores nothing: stop all containers, then start the engine again"
    )]
    Old { theirs: u32 },
    #[error(transparent)]
    Failed(Failure),
    #[error("the keeper refused: {0}")]
    Refused(String),
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Spawn { .. } => Kind::Internal,
            Error::Lost(_) => Kind::Unavailable,
            Error::Version { .. } | Error::Old { .. } | Error::Refused(_) => Kind::Conflict,
            Error::Failed(failure) => match failure.step {
                Step::LookPath | Step::Execve | Step::WorkingDirectory | Step::User => Kind::Invalid,
                _ => Kind::Internal,
            },
        }
    }
}

/// The first version that knows checkpoints.
const RESTORES: u32 = 2;

/// How long a keeper that is just ending, or just being started by someone else, is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

impl Keeper {
    /// Connects to the keeper of `options.exec_root`, started first when none answers, and learns what it holds.
    /// Events come through the channel, from a thread of this client, in order.
    ///
    /// When this returns the keeper has stopped reading output: the caller pumps it, with [`Keeper::journal`].
    pub fn connect(options: &Options) -> Result<(Keeper, Vec<Found>, Receiver<Event>), Error> {
        let deadline = Instant::now() + PATIENCE;
        let path = options.exec_root.join("keeper.sock");
        let mut child: Option<Child> = None;
        loop {
            let error = match UnixStream::connect(&path).map_err(Error::Lost).and_then(connection::greet) {
                Ok(greeted) => return Keeper::attach(greeted, child),
                Err(Error::Lost(error)) => error,
                Err(other) => return Err(other),
            };
            match error.kind() {
                _ if Instant::now() > deadline => return Err(Error::Lost(error)),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    // One started before has ended by now.
                    let _ = child.take().map(|mut ended| ended.wait());
                    child = spawn::spawn(options)?;
                }
                // It ended between the two steps: the next attempt finds none.
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    std::thread::yield_now()
                }
                _ => return Err(Error::Lost(error)),
            }
        }
    }

    fn attach(
        greeted: connection::Greeted,
        child: Option<Child>,
    ) -> Result<(Keeper, Vec<Found>, Receiver<Event>), Error> {
        let found = greeted.found.into_iter().map(|(process, fds)| found(process, fds));
        let found = found.collect::<io::Result<_>>().map_err(Error::Lost)?;
        let mut fds = greeted.journal.into_iter();
        let journal = match (fds.next(), fds.next(), fds.next()) {
            (Some(memory), Some(read), Some(write)) => Journal::from_fds(memory, read, write).map_err(Error::Lost)?,
            _ => return Err(Error::Lost(missing())),
        };
        let (connection, events) = Connection::start(greeted.stream, greeted.inbox, child).map_err(Error::Lost)?;
        let inner = Inner { connection, version: greeted.version, journal: Mutex::new(Some(journal)) };
        Ok((Keeper { inner: Arc::new(inner) }, found, events))
    }

    /// The journal for the engine's [`logs::pump::Pump`]. Given once: there is one pump.
    pub fn journal(&self) -> Option<Journal> {
        self.inner.journal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// From now on `ear` hears of events first; those that it does not take go into the channel that came with the connection.
    pub fn listen(&self, ear: Ear) {
        self.inner.connection.listen(ear);
    }

    /// The keeper's process id.
    pub fn pid(&self) -> i32 {
        self.inner.connection.pid()
    }

    /// Makes a process that waits in its user and network namespaces and v1 cgroups.
    pub fn park(&self, plan: ParkPlan, fds: &[OwnedFd]) -> Result<Parked, Error> {
        let answered = self.ask(Request::Park { plan }, fds)?;
        let Reply::Parked { pid, own_user } = answered.reply else { return Err(unexpected()) };
        let mut fds = answered.fds.into_iter();
        let user = if own_user { Some(next(&mut fds)?) } else { None };
        Ok(Parked { pid, user, network: next(&mut fds)? })
    }

    /// Lets a parked process go.
    pub fn unpark(&self, pid: i32) -> Result<(), Error> {
        self.order(Request::Unpark { pid })
    }

    /// Turns a parked process into container `key`; returns when its program has been executed.
    #[allow(clippy::too_many_arguments, reason = "each is one field of the request, and all are needed")]
    pub fn launch(
        &self,
        key: Id,
        parked: i32,
        plan: Plan,
        fds: &[OwnedFd],
        stdio: Stdio,
        log: logs::Target,
    ) -> Result<Started, Error> {
        let answered = self.ask(Request::Launch { key, parked, plan: Box::new(plan), stdio, log }, fds)?;
        started(answered, stdio)
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
        let (cgroup, fds) = match cgroup {
            sys::CgroupEntry::V1(files) => (CgroupFds::V1, files),
            sys::CgroupEntry::V2(folder) => (CgroupFds::V2, vec![folder]),
            sys::CgroupEntry::Hybrid(mut files, folder) => {
                files.push(folder);
                (CgroupFds::Hybrid, files)
            }
            sys::CgroupEntry::Inherit => (CgroupFds::Inherit, Vec::new()),
        };
        let answered = self.ask(Request::Exec { key, container, plan: Box::new(plan), cgroup, stdio }, &fds)?;
        started(answered, stdio)
    }

    /// Starts CRIU at its end of a conversation, to restore container `key`; says its process id.
    pub fn restore(
        &self,
        key: Id,
        program: PathBuf,
        socket: OwnedFd,
        stdio: Stdio,
        log: logs::Target,
    ) -> Result<i32, Error> {
        if self.inner.version < RESTORES {
            return Err(Error::Old { theirs: self.inner.version });
        }
        let answered = self.ask(Request::Restore { key, program, stdio, log }, &[socket])?;
        match answered.reply {
            Reply::Restoring { pid } => Ok(pid),
            _ => Err(unexpected()),
        }
    }

    /// CRIU has restored container `key`, whose first process is `pid`, and waits for an answer: from here on the keeper has it.
    pub fn restored(&self, key: Id, pid: i32, master: Option<OwnedFd>, stdio: Stdio) -> Result<Started, Error> {
        let master: Vec<OwnedFd> = master.into_iter().collect();
        let answered = self.ask(Request::Restored { key, pid }, &master)?;
        started(answered, stdio)
    }

    /// Closes the keeper's end of a process's stdin; the process sees its end once the caller has closed its own.
    pub fn close_stdin(&self, key: Id) -> Result<(), Error> {
        self.order(Request::CloseStdin { key })
    }

    /// Forgets an exited process: its exit is recorded.
    pub fn release(&self, key: Id) -> Result<(), Error> {
        self.order(Request::Release { key })
    }

    /// As [`release`](Self::release), without waiting for the keeper: what is asked after this is answered after it.
    pub fn let_go(&self, key: Id) -> Result<(), Error> {
        self.inner.connection.tell(Request::Release { key }).map_err(Error::Lost)
    }

    /// Whether the keeper answers.
    pub fn ping(&self) -> Result<(), Error> {
        self.order(Request::Ping)
    }

    fn order(&self, request: Request) -> Result<(), Error> {
        match self.ask(request, &[])?.reply {
            Reply::Done => Ok(()),
            _ => Err(unexpected()),
        }
    }

    fn ask(&self, request: Request, fds: &[OwnedFd]) -> Result<Answered, Error> {
        let answered = self.inner.connection.ask(request, fds).map_err(Error::Lost)?;
        match answered.reply {
            Reply::Failed(failure) => Err(Error::Failed(failure)),
            Reply::Refused(why) => Err(Error::Refused(why)),
            _ => Ok(answered),
        }
    }
}

fn started(answered: Answered, stdio: Stdio) -> Result<Started, Error> {
    let Reply::Started { pid } = answered.reply else { return Err(unexpected()) };
    read_started(pid, stdio, answered.fds).map_err(Error::Lost)
}

fn found(process: Adopted, fds: Vec<OwnedFd>) -> io::Result<Found> {
    let started = match (fds.is_empty(), process.container) {
        (true, _) => None,
        (false, None) => Some(read_started(process.pid, process.stdio, fds)?),
        (false, Some(_)) => {
            let pidfd = fds.into_iter().next().ok_or_else(missing)?;
            Some(Started { pid: process.pid, pidfd, streams: Streams::Gone })
        }
    };
    Ok(Found { process, started })
}

/// pidfd, then the terminal, or stdin (when there is one), stdout and stderr.
fn read_started(pid: i32, stdio: Stdio, fds: Vec<OwnedFd>) -> io::Result<Started> {
    let count = fds.len();
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or_else(missing);
    let pidfd = next()?;
    let streams = if stdio.terminal {
        Streams::Terminal(next()?)
    } else {
        let stdin = if count > 3 { Some(next()?) } else { None };
        Streams::Pipes { stdin, stdout: next()?, stderr: next()? }
    };
    Ok(Started { pid, pidfd, streams })
}

fn next(fds: &mut impl Iterator<Item = OwnedFd>) -> Result<OwnedFd, Error> {
    fds.next().ok_or_else(|| Error::Lost(missing()))
}

fn missing() -> io::Error {
    crate::wire::broken("file descriptors are missing")
}

fn unexpected() -> Error {
    Error::Lost(crate::wire::broken("this is no answer to that"))
}

impl Told {
    /// Only for the words of an error.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Told::Answer { .. } => "an answer",
            Told::Event(_) => "an event",
            Told::Found(_) => "a process",
            Told::Ready => "the end of the list",
        }
    }
}
