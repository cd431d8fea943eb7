//! Freezing, killing and counting in v2 groups.

use super::Tree;
use crate::Error;
use crate::folder::{SELF, below, read_all};
use crate::usage::{Usage, field, number};
use crate::waiting::Patience;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use std::time::Duration;

/// How long processes may take to stand still.
const FREEZE_LIMIT: Duration = Duration::from_secs(5);
/// How long a group may be on its way into standing before it counts as running.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);
/// How long killing waits for processes that the kernel does not let die.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// An event may be missed between reading and polling on a kernel that is not asked for it; nothing is lost by a look.
const LONGEST_POLL: Duration = Duration::from_millis(100);

const NANOSECONDS: u64 = 1000;

impl Tree {
    pub(crate) fn freeze(&self, name: &str) -> Result<(), Error> {
        let frozen = self.set_frozen(name, "1").and_then(|()| self.wait_for(name, "frozen", 1, FREEZE_LIMIT));
        if frozen.is_err() {
            let _ = self.thaw(name);
        }
        frozen.map_err(|e| self.parent.failed("freeze", name, e))
    }

    pub(crate) fn thaw(&self, name: &str) -> Result<(), Error> {
        self.set_frozen(name, "0").map_err(|e| self.parent.failed("thaw", name, e))
    }

    /// Whether a group that is told to freeze does stand within a moment.
    pub(super) fn stands(&self) -> Result<bool, Error> {
        match self.wait_for(SELF, "frozen", 1, SETTLE_LIMIT) {
            Ok(()) => Ok(true),
            Err(Errno::TIMEDOUT | Errno::NOENT | Errno::NODEV) => Ok(false),
            Err(e) => Err(self.parent.failed("read", "cgroup.events", e)),
        }
    }

    fn set_frozen(&self, name: &str, value: &str) -> Result<(), Errno> {
        self.parent.put(name, "cgroup.freeze", value)
    }

    /// Waits until a field of `cgroup.events` has that value; the kernel wakes pollers when the file changes.
    fn wait_for(&self, name: &str, what: &str, value: u64, limit: Duration) -> Result<(), Errno> {
        let file = self.parent.open_below(&below(name, "cgroup.events"), OFlags::RDONLY)?;
        let patience = Patience::new(limit);
        loop {
            rustix::fs::seek(&file, SeekFrom::Start(0))?;
            if field(&read_all(&file)?, what) == Some(value) {
                return Ok(());
            }
            let left = patience.left().min(LONGEST_POLL);
            if left.is_zero() {
                return Err(Errno::TIMEDOUT);
            }
            let mut watched = [PollFd::new(&file, PollFlags::PRI)];
            let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
            match rustix::event::poll(&mut watched, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Waits for the last process to leave. False when the time is over.
    pub(super) fn emptied(&self, name: &str, patience: &mut Patience) -> bool {
        match self.wait_for(name, "populated", 0, patience.left()) {
            // A group without processes that still cannot go has a child that is being removed.
            Ok(()) | Err(Errno::NOENT) => patience.wait(),
            Err(_) => false,
        }
    }

    pub(crate) fn pids(&self, name: &str) -> Result<Vec<i32>, Error> {
        self.parent.pids(name)
    }

    pub(crate) fn kill(&self, name: &str) -> Result<(), Error> {
        // A frozen group dies, too (cgroup-v2.rst, `cgroup.kill`, Linux 5.14).
        match self.parent.put(name, "cgroup.kill", "1") {
            Err(Errno::NOENT) => self.kill_by_list(name),
            Err(e) => Err(self.parent.failed("kill all processes of", name, e)),
            Ok(()) => self.thaw(name),
        }
    }

    /// As [`kill`](Self::kill), and waits for the last process to end.
    pub(crate) fn kill_and_wait(&self) -> Result<(), Error> {
        self.kill(SELF)?;
        match self.wait_for(SELF, "populated", 0, KILL_LIMIT) {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => Ok(()),
            Err(e) => Err(self.parent.failed("kill all processes of", SELF, e)),
        }
    }

    /// Signals reach frozen processes on v2; freezing keeps the list true meanwhile.
    pub(super) fn kill_by_list(&self, name: &str) -> Result<(), Error> {
        let mut patience = Patience::new(KILL_LIMIT);
        loop {
            let _ = self.freeze(name);
            let pids = self.pids(name).inspect(|pids| pids.iter().for_each(|pid| kill(*pid)));
            self.thaw(name)?;
            if pids?.is_empty() {
                return Ok(());
            }
            if !patience.wait() {
                return Err(self.parent.failed("kill all processes of", name, Errno::TIMEDOUT));
            }
        }
    }

    pub(crate) fn usage(&self, name: &str) -> Result<Usage, Error> {
        let look = |file: &str| self.parent.look(name, file);
        let Some(cpu) = look("cpu.stat")? else { return Err(self.parent.failed("read", name, Errno::NOENT)) };
        let time = |what: &str| field(&cpu, what).unwrap_or(0).saturating_mul(NANOSECONDS);
        let stat = look("memory.stat")?.unwrap_or_default();
        Ok(Usage {
            cpu_total: time("usage_usec"),
            cpu_user: time("user_usec"),
            cpu_system: time("system_usec"),
            memory: number(look("memory.current")?),
            memory_inactive_file: field(&stat, "inactive_file").unwrap_or(0),
            memory_limit: look("memory.max")?.and_then(|text| text.trim().parse().ok()),
            pids: number(look("pids.current")?),
            oom_kills: self.oom_kills(name),
        })
    }

    pub(crate) fn oom_kills(&self, name: &str) -> u64 {
        let text = self.parent.get(name, "memory.events").ok();
        text.and_then(|text| field(&text, "oom_kill")).unwrap_or(0)
    }
}

/// A process that is gone by now, or that is us, is left alone.
fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid).filter(|pid| *pid != rustix::process::getpid()) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}
