//! Processes that are being made: parked ones, containers, execs. Each has a socket in the epoll that tells how it goes.

use super::requests::refused;
use super::state::{Process, State, Who, now};
use super::stdio::{Ends, own_ends};
use crate::message::{Exit, Reply, Stdio, Told};
use base::Id;
use runtime::{Failure, ParkPlan, ParkedNamespaces, Parking, Plan, ProcessPlan, Starting, Step};
use rustix::event::epoll;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use sys::CgroupEntry;

/// The number of the request to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Asker(pub u64);

/// A process on its way to be parked.
#[derive(Debug)]
pub struct Park {
    /// `None`: the engine died meanwhile.
    pub asker: Option<Asker>,
    parking: Parking,
}

/// A process on its way to its own program.
#[derive(Debug)]
pub struct Begin {
    /// `None`: the engine died meanwhile, so the process was killed.
    pub asker: Option<Asker>,
    pub starting: Starting,
    /// It may live so shortly that its end is heard of before its beginning.
    pub exited: Option<(Exit, i64)>,
    new: New,
    ends: Ends,
}

/// What the engine says of a process it starts.
#[derive(Debug)]
pub struct New {
    pub key: Id,
    pub container: Option<Id>,
    pub stdio: Stdio,
    pub log: logs::Target,
}

impl State {
    /// Begins to make a parked process; says what is to be answered at once.
    pub fn park(&mut self, asker: Asker, plan: &ParkPlan, fds: &[OwnedFd]) -> Option<Reply> {
        let parking = match runtime::park(&self.thread, plan, fds) {
            Ok(parking) => parking,
            Err(failure) => return Some(Reply::Failed(failure)),
        };
        let pid = parking.pid();
        self.pids.insert(pid, Who::Parked);
        match self.watch(&parking.socket()) {
            Ok(token) => drop(self.parking.insert(token, Park { asker: Some(asker), parking })),
            Err(error) => {
                self.kill(pid);
                return Some(failed(&error));
            }
        }
        None
    }

    /// A process that is being parked has something to say.
    pub fn parking_event(&mut self, token: u64) {
        let Some(mut park) = self.parking.remove(&token) else { return };
        let outcome = park.parking.on_readable();
        if let Ok(None) = outcome {
            self.parking.insert(token, park);
            return;
        }
        let _ = epoll::delete(&self.epoll, park.parking.socket());
        let pid = park.parking.pid();
        match (outcome, park.asker) {
            (Ok(Some(namespaces)), Some(asker)) => {
                self.parked.insert(pid, park.parking);
                self.tell_parked(asker, pid, namespaces);
            }
            (Err(failure), asker) => {
                self.kill(pid);
                self.reply(asker, Reply::Failed(failure), Vec::new());
            }
            (Ok(_), _) => self.kill(pid),
        }
    }

    fn tell_parked(&mut self, asker: Asker, pid: i32, namespaces: ParkedNamespaces) {
        let reply = Reply::Parked { pid, own_user: namespaces.user.is_some() };
        let fds = namespaces.user.into_iter().chain([namespaces.network]).map(Rc::new).collect();
        self.reply(Some(asker), reply, fds);
    }

    /// Begins to turn a parked process into a container; says what is to be answered at once.
    pub fn launch(&mut self, asker: Asker, new: New, parked: i32, plan: &Plan, fds: &[OwnedFd]) -> Option<Reply> {
        if self.is_taken(new.key) {
            return Some(refused("the container already runs"));
        }
        let Some(parking) = self.parked.remove(&parked) else { return Some(refused("no such parked process")) };
        let (ends, theirs) = match own_ends(new.stdio) {
            Ok(ends) => ends,
            Err(error) => {
                self.kill(parked);
                return Some(failed(&error));
            }
        };
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let launched = runtime::launch(&self.thread, parking, plan, &fds, theirs.borrow());
        if launched.as_ref().map_or(true, |starting| starting.pid() != parked) {
            // It failed, or another process has taken its place.
            self.kill(parked);
        }
        self.begin(asker, new, ends, launched)
    }

    /// Begins to run one more process in a container; says what is to be answered at once.
    pub fn exec(&mut self, asker: Asker, new: New, plan: &ProcessPlan, entry: &CgroupEntry) -> Option<Reply> {
        if self.is_taken(new.key) {
            return Some(refused("the exec already runs"));
        }
        let container =
            new.container.and_then(|key| self.processes.get(&key)).filter(|process| process.exited.is_none());
        let Some(container) = container else { return Some(refused("the container does not run")) };
        let (ends, theirs) = match own_ends(new.stdio) {
            Ok(ends) => ends,
            Err(error) => return Some(failed(&error)),
        };
        let target = runtime::Target { pid: container.pid, pidfd: container.pidfd.as_fd() };
        let started = runtime::exec(&self.thread, target, plan, entry, theirs.borrow());
        self.begin(asker, new, ends, started)
    }

    pub(super) fn is_taken(&self, key: Id) -> bool {
        self.processes.contains_key(&key)
            || self.beginning.values().any(|begin| begin.new.key == key)
            || self.restoring.values().any(|restoring| restoring.new.key == key)
    }

    fn begin(&mut self, asker: Asker, new: New, ends: Ends, starting: Result<Starting, Failure>) -> Option<Reply> {
        let starting = match starting {
            Ok(starting) => starting,
            Err(failure) => return Some(Reply::Failed(failure)),
        };
        let pid = starting.pid();
        self.pids.insert(pid, Who::Doomed);
        match self.watch(&starting.socket()) {
            Ok(token) => {
                self.pids.insert(pid, Who::Beginning(token));
                self.beginning.insert(token, Begin { asker: Some(asker), starting, exited: None, new, ends });
                None
            }
            Err(error) => {
                self.kill(pid);
                Some(failed(&error))
            }
        }
    }

    /// A process that is being started has something to say.
    pub fn beginning_event(&mut self, token: u64) {
        let Some(mut begin) = self.beginning.remove(&token) else { return };
        let Some(outcome) = begin.starting.on_readable() else {
            self.beginning.insert(token, begin);
            return;
        };
        let _ = epoll::delete(&self.epoll, begin.starting.socket());
        match (outcome, begin.asker) {
            (runtime::Outcome::Started { master }, Some(asker)) => self.started(asker, begin, master),
            (runtime::Outcome::Started { .. }, None) => self.discard(&begin),
            (runtime::Outcome::Failed(failure), asker) => {
                self.discard(&begin);
                self.reply(asker, Reply::Failed(failure), Vec::new());
            }
        }
    }

    fn discard(&mut self, begin: &Begin) {
        if begin.exited.is_none() {
            self.kill(begin.starting.pid());
        }
    }

    fn started(&mut self, asker: Asker, begin: Begin, master: Option<OwnedFd>) {
        let Begin { starting, exited, new: New { key, container, stdio, log }, mut ends, .. } = begin;
        let pid = starting.pid();
        ends.terminal = master.map(Rc::new);
        let pidfd = Rc::new(starting.into_pidfd());
        let fds = std::iter::once(&pidfd).chain(ends.list()).cloned().collect();
        if container.is_some() {
            // The streams of an exec are the engine's alone.
            ends = Ends::default();
        }
        let process = Process { pid, pidfd, container, stdio, log, ends, started_at: now(), exited: None };
        self.processes.insert(key, process);
        self.reply(Some(asker), Reply::Started { pid }, fds);
        match exited {
            Some((exit, at)) => self.exited(key, exit, at),
            None => drop(self.pids.insert(pid, Who::Process(key))),
        }
    }

    pub(super) fn reply(&mut self, asker: Option<Asker>, reply: Reply, fds: Vec<Rc<OwnedFd>>) {
        if let Some(Asker(number)) = asker {
            self.tell(&Told::Answer { number, reply }, fds);
        }
    }
}

pub(super) fn failed(error: &io::Error) -> Reply {
    let errno = error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error());
    Reply::Failed(Failure { step: Step::Clone, errno, subject: "the keeper".into() })
}
