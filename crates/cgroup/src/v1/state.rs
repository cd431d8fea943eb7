//! Freezing, killing and counting in v1 groups.

use super::Tree;
use crate::Error;
use crate::folder::{Folder, below};
use crate::usage::{Usage, field, number};
use crate::waiting::Patience;
use rustix::process::{Pid, Signal};
use std::time::Duration;

/// How long processes may take to stand still.
const FREEZE_LIMIT: Duration = Duration::from_secs(5);
/// How long killing goes on freezing, and then how long it waits for processes that the kernel does not let die.
const KILL_FREEZE_LIMIT: Duration = Duration::from_millis(500);
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// What a killed process usually needs at the most.
const DYING_LIMIT: Duration = Duration::from_millis(100);
/// Looks at a group that is freezing before it is thawed and frozen anew, for one that another freezer's race has stuck.
const LOOKS_BEFORE_A_NEW_START: u32 = 50;

/// "No limit" of memory: the largest number of whole pages in 63 bits, and anything near it.
const NO_MEMORY_LIMIT: u64 = 0x7fff_ffff_ffff_0000;

/// How long a group may be on its way into standing before it counts as running.
pub(super) fn settling() -> Patience {
    Patience::new(Duration::from_secs(1))
}

const STATE: &str = "freezer.state";

impl Tree {
    pub(crate) fn freeze(&self, name: &str) -> Result<(), Error> {
        freeze(self.need("freezer")?, name, FREEZE_LIMIT)
    }

    pub(crate) fn thaw(&self, name: &str) -> Result<(), Error> {
        thaw(self.need("freezer")?, name)
    }

    pub(crate) fn pids(&self, name: &str) -> Result<Vec<i32>, Error> {
        self.any()?.pids(name)
    }

    /// Frozen processes can neither fork nor go, so the list is complete and no id in it can have become another process'.
    pub(crate) fn kill(&self, name: &str) -> Result<(), Error> {
        let mut patience = Patience::new(KILL_LIMIT);
        while !self.pids(name)?.is_empty() {
            if let Some(freezer) = self.with("freezer") {
                let _ = freeze(freezer, name, KILL_FREEZE_LIMIT);
            }
            let listed = self.pids(name).map(|pids| pids.into_iter().for_each(kill));
            let thawed = self.with("freezer").map_or(Ok(()), |freezer| thaw(freezer, name));
            listed.and(thawed)?;
            if !self.emptied(name)? && !patience.wait() {
                let stuck = std::io::ErrorKind::TimedOut.into();
                return Err(Error::Io {
                    action: "kill all processes of",
                    path: self.any()?.path().join(name),
                    source: stuck,
                });
            }
        }
        Ok(())
    }

    /// Whether processes that were killed are gone within a moment.
    fn emptied(&self, name: &str) -> Result<bool, Error> {
        let mut patience = Patience::new(DYING_LIMIT);
        loop {
            if self.pids(name)?.is_empty() {
                return Ok(true);
            }
            if !patience.wait() {
                return Ok(false);
            }
        }
    }

    pub(crate) fn usage(&self, name: &str) -> Result<Usage, Error> {
        let look = |controller: &str, file: &str| match self.with(controller) {
            Some(folder) => folder.look(name, file),
            None => Ok(None),
        };
        let Some(total) = look("cpuacct", "cpuacct.usage")? else {
            let missing = rustix::io::Errno::NOENT;
            return Err(self.any()?.failed("read", name, missing));
        };
        let stat = look("memory", "memory.stat")?.unwrap_or_default();
        Ok(Usage {
            cpu_total: number(Some(total)),
            cpu_user: number(look("cpuacct", "cpuacct.usage_user")?),
            cpu_system: number(look("cpuacct", "cpuacct.usage_sys")?),
            memory: number(look("memory", "memory.usage_in_bytes")?),
            memory_inactive_file: field(&stat, "total_inactive_file").unwrap_or(0),
            memory_limit: Some(number(look("memory", "memory.limit_in_bytes")?))
                .filter(|limit| (1..NO_MEMORY_LIMIT).contains(limit)),
            pids: number(look("pids", "pids.current")?),
            oom_kills: self.oom_kills(name),
        })
    }

    pub(crate) fn oom_kills(&self, name: &str) -> u64 {
        let text = self.with("memory").and_then(|folder| folder.get(name, "memory.oom_control").ok());
        text.and_then(|text| field(&text, "oom_kill")).unwrap_or(0)
    }
}

/// A process that is gone by now, or that is us, is left alone.
fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid).filter(|pid| *pid != rustix::process::getpid()) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// The state is FREEZING until every process stands (cgroup-v1/freezer-subsystem.rst). A group that does not freeze is thawed.
fn freeze(folder: &Folder, name: &str, limit: Duration) -> Result<(), Error> {
    let frozen = frozen_within(folder, name, Patience::new(limit));
    if frozen.is_err() {
        let _ = thaw(folder, name);
    }
    frozen
}

fn frozen_within(folder: &Folder, name: &str, mut patience: Patience) -> Result<(), Error> {
    let path = || below(name, STATE);
    let mut looks = 0;
    loop {
        folder.put(name, STATE, "FROZEN").map_err(|e| folder.failed("freeze", &path(), e))?;
        let state = folder.get(name, STATE).map_err(|e| folder.failed("freeze", &path(), e))?;
        if state.trim() == "FROZEN" {
            return Ok(());
        }
        if !patience.wait() {
            return Err(folder.failed("freeze", name, rustix::io::Errno::TIMEDOUT));
        }
        looks += 1;
        if looks % LOOKS_BEFORE_A_NEW_START == 0 {
            thaw(folder, name)?;
        }
    }
}

fn thaw(folder: &Folder, name: &str) -> Result<(), Error> {
    folder.put(name, STATE, "THAWED").map_err(|e| folder.failed("thaw", &below(name, STATE), e))
}
