//! Containers that CRIU makes: it is a child of the keeper, and so is what it restores as its sibling.
//!
//! ```text
//!   Restore ──► CRIU runs, the streams' ends are kept ──Restored──► Process
//!                             └── CRIU ends: forgotten, what it made ended with it
//! ```
//!
//! The engine talks to CRIU. When the engine dies, that conversation ends, and CRIU takes back what it made: the keeper only buries.

use super::begin::{Asker, New, failed};
use super::requests::refused;
use super::state::{Process, State, Who, now};
use super::stdio::{Ends, Theirs, own_ends};
use crate::message::Reply;
use base::Id;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Child;
use std::rc::Rc;

/// A container on its way back.
#[derive(Debug)]
pub struct Restoring {
    pub new: New,
    ends: Ends,
}

impl State {
    /// Starts CRIU with the process's ends of the streams.
    pub fn restore(&mut self, new: New, program: &Path, fds: Vec<OwnedFd>) -> Reply {
        if self.is_taken(new.key) {
            return refused("the container already runs");
        }
        let Some(socket) = fds.into_iter().next() else { return refused("the socket of criu is missing") };
        let begun = own_ends(new.stdio)
            .and_then(|(ends, theirs)| Ok((ends, spawn(program, socket.as_fd(), &theirs)?)))
            .and_then(|(ends, child)| Ok((ends, i32::try_from(child.id()).map_err(io::Error::other)?)));
        match begun {
            Ok((ends, pid)) => {
                // What the keeper has for itself must not be inherited, and CRIU 3.17 leaves it to what it restores. It waits for
                // its question still.
                let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), self.before.oom_score_adj.to_string());
                // Its end is heard of as every child's.
                self.pids.insert(pid, Who::Criu);
                self.restoring.insert(pid, Restoring { new, ends });
                Reply::Restoring { pid }
            }
            Err(error) => match error.raw_os_error() {
                Some(_) => failed(&error),
                None => refused(&base::chain(&error)),
            },
        }
    }

    /// Takes what CRIU has restored; says what is to be answered at once. The process waits for CRIU, so it has not ended yet; if it
    /// was killed nevertheless, its exit is not taken before it is known here.
    pub fn restored(&mut self, asker: Asker, key: Id, pid: i32, fds: Vec<OwnedFd>) -> Option<Reply> {
        let criu = self.restoring.iter().find(|(_, restoring)| restoring.new.key == key).map(|(criu, _)| *criu);
        let Some(criu) = criu else { return Some(refused("the container is not being restored")) };
        let pidfd = match self.own_child(pid) {
            Ok(pidfd) => Rc::new(pidfd),
            Err(error) => return Some(refused(&format!("process {pid} is no restored one: {error}"))),
        };
        let Restoring { new, mut ends } = self.restoring.remove(&criu)?;
        ends.terminal = fds.into_iter().next().filter(|_| new.stdio.terminal).map(Rc::new);
        if new.stdio.terminal && ends.terminal.is_none() {
            return Some(refused("the container's terminal is missing"));
        }
        let fds = std::iter::once(&pidfd).chain(ends.list()).cloned().collect();
        let New { stdio, log, .. } = new;
        let process = Process { pid, pidfd, container: None, stdio, log, ends, started_at: now(), exited: None };
        self.processes.insert(key, process);
        self.pids.insert(pid, Who::Process(key));
        self.reply(Some(asker), Reply::Started { pid }, fds);
        None
    }

    /// A child of this process that is nothing to it yet.
    fn own_child(&self, pid: i32) -> io::Result<OwnedFd> {
        let free = Some(pid).filter(|pid| *pid > 0 && !self.pids.contains_key(pid));
        let number = free.and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // ECHILD: it is another's. One that has ended stays until it is reaped, which is done here.
        rustix::process::waitid(WaitId::Pid(number), look)?;
        Ok(rustix::process::pidfd_open(number, PidfdFlags::empty())?)
    }
}

/// Its standard streams are those of the process that it restores: by these numbers the process gets them. A terminal is the
/// container's own.
fn spawn(program: &Path, socket: BorrowedFd<'_>, theirs: &Theirs) -> io::Result<Child> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let streams = match theirs {
        Theirs::Files(files) => files.each_ref().map(AsFd::as_fd),
        Theirs::Terminal => [null.as_fd(); 3],
    };
    criu::spawn(program, socket, &[], streams).map_err(io::Error::other)
}
