//! Everything the keeper knows, and the loop that wakes it.

use super::begin::{Begin, Park};
use super::link::Link;
use super::restore::Restoring;
use super::setup::{Before, Seat};
use super::stdio::Ends;
use crate::message::{Adopted, Exit, Stdio};
use base::Id;
use logs::pump::{Journal, NullSink, Pump};
use runtime::Parking;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use sys::SingleThread;

/// What woke the loop. Greater numbers are those of [`State::beginning`] and [`State::parking`].
const LISTENER: u64 = 0;
pub const LINK: u64 = 1;
const CHILDREN: u64 = 2;
pub const PUMP: u64 = 3;
const FIRST_FREE: u64 = 4;

/// How long the first engine may take to connect.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

#[derive(Debug)]
pub struct State {
    pub seat: Seat,
    pub before: Before,
    pub thread: SingleThread,
    pub epoll: OwnedFd,
    children: OwnedFd,
    pub link: Option<Link>,
    pub processes: HashMap<Id, Process>,
    /// Whose exit it is when a child has ended.
    pub pids: HashMap<i32, Who>,
    /// Processes that wait for their plan.
    pub parked: HashMap<i32, Parking>,
    pub parking: HashMap<u64, Park>,
    pub beginning: HashMap<u64, Begin>,
    /// By the process of the CRIU that is at work on it.
    pub restoring: HashMap<i32, Restoring>,
    next_token: u64,
    pub journal: Journal,
    /// Only while no engine is there.
    pub pump: Option<Pump>,
}

/// What a child is to the keeper.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    Process(Id),
    /// On its way to be parked, or parked.
    Parked,
    /// On its way to its program; the token of its socket.
    Beginning(u64),
    /// CRIU, which makes one.
    Criu,
    /// It was killed before it was anybody.
    Doomed,
}

/// A process that was started and not yet released.
#[derive(Debug)]
pub struct Process {
    pub pid: i32,
    pub pidfd: Rc<OwnedFd>,
    /// The container an exec belongs to.
    pub container: Option<Id>,
    pub stdio: Stdio,
    pub log: logs::Target,
    pub ends: Ends,
    pub started_at: i64,
    pub exited: Option<(Exit, i64)>,
}

impl Process {
    /// As a new engine is told of it.
    pub fn adopted(&self, key: Id) -> Adopted {
        Adopted {
            key,
            pid: self.pid,
            container: self.container,
            stdio: self.stdio,
            log: self.log.clone(),
            started_at: self.started_at,
            exited: self.exited,
        }
    }
}

impl State {
    pub fn new(seat: Seat, before: Before) -> io::Result<State> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let children = sys::daemon::child_exits()?;
        epoll::add(&epoll, &seat.listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &children, epoll::EventData::new_u64(CHILDREN), epoll::EventFlags::IN)?;
        Ok(State {
            seat,
            before,
            thread: SingleThread::prove()?,
            epoll,
            children,
            link: None,
            processes: HashMap::new(),
            pids: HashMap::new(),
            parked: HashMap::new(),
            parking: HashMap::new(),
            beginning: HashMap::new(),
            restoring: HashMap::new(),
            next_token: FIRST_FREE,
            journal: Journal::create()?,
            pump: None,
        })
    }

    /// Until no engine and no process is left.
    pub fn serve(&mut self) -> io::Result<()> {
        let mut patience = Some(&PATIENCE);
        loop {
            let mut space = [const { MaybeUninit::uninit() }; 32];
            let (events, _) = match epoll::wait(&self.epoll, &mut space, patience) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            if events.is_empty() && self.is_idle() {
                return Ok(());
            }
            for event in events {
                let (token, flags) = (event.data, event.flags);
                self.wake(token.u64(), flags);
            }
            if self.link.is_some() {
                patience = None;
            }
            while patience.is_none() && self.is_idle() {
                // Somebody may have connected since the last look.
                if !self.accept() {
                    return Ok(());
                }
            }
        }
    }

    fn wake(&mut self, token: u64, flags: epoll::EventFlags) {
        match token {
            LISTENER => drop(self.accept()),
            LINK => self.link_event(flags),
            CHILDREN => {
                while rustix::io::read(&self.children, &mut [0; 1024]).is_ok() {}
                self.reap();
            }
            PUMP => {
                if let Some(Err(error)) = self.pump.as_mut().map(|pump| pump.turn(&mut NullSink)) {
                    super::complain(&format!("cannot read the containers' output: {error}"));
                    self.pump = None;
                }
            }
            other if self.parking.contains_key(&other) => self.parking_event(other),
            other => self.beginning_event(other),
        }
    }

    fn is_idle(&self) -> bool {
        // Whatever is parked or on its way is a child, and those that were killed are to be buried.
        self.link.is_none() && self.processes.is_empty() && self.pids.is_empty() && self.beginning.is_empty()
    }

    /// Watches a descriptor; the token is what comes back in its events.
    pub fn watch(&mut self, fd: &impl AsFd) -> io::Result<u64> {
        let token = self.next_token;
        self.next_token += 1;
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
        Ok(token)
    }
}

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}
