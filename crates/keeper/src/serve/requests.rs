//! What the engine asks: each answered at once, or by what it begins.

use super::begin::{Asker, New};
use super::state::State;
use crate::message::{Asked, CgroupFds, Reply, Request, Told};
use base::Id;
use runtime::{Plan, ProcessPlan};
use std::os::fd::OwnedFd;
use sys::CgroupEntry;

/// RLIMIT_NOFILE, asm-generic/resource.h.
const OPEN_FILES: u32 = 7;

impl State {
    /// Does what is asked. What cannot be answered yet is answered by an event of what was begun.
    pub fn answer(&mut self, asked: Asked, fds: Vec<OwnedFd>) {
        let asker = Asker(asked.number);
        let reply = match asked.request {
            Request::Park { plan } => self.park(asker, &plan, &fds),
            Request::Unpark { pid } => Some(self.unpark(pid)),
            Request::Launch { key, parked, plan, stdio, log } => {
                let plan = self.for_container(*plan);
                self.launch(asker, New { key, container: None, stdio, log }, parked, &plan, &fds)
            }
            Request::Exec { key, container, plan, cgroup, stdio } => {
                let plan = self.for_process(*plan);
                let new = New { key, container: Some(container), stdio, log: logs::Target::default() };
                entry(cgroup, fds).map_or_else(Some, |entry| self.exec(asker, new, &plan, &entry))
            }
            Request::CloseStdin { key } => Some(self.close_stdin(key)),
            Request::Release { key } => Some(self.release(key)),
            Request::Ping => Some(Reply::Done),
            Request::Restore { key, program, stdio, log } => {
                Some(self.restore(New { key, container: None, stdio, log }, &program, fds))
            }
            Request::Restored { key, pid } => self.restored(asker, key, pid, fds),
        };
        if let Some(reply) = reply {
            self.tell(&Told::Answer { number: asked.number, reply }, Vec::new());
        }
    }

    fn unpark(&mut self, pid: i32) -> Reply {
        match self.parked.remove(&pid) {
            Some(_) => {
                self.kill(pid);
                Reply::Done
            }
            None => refused("no such parked process"),
        }
    }

    fn close_stdin(&mut self, key: Id) -> Reply {
        match self.processes.get_mut(&key) {
            Some(process) => {
                process.ends.stdin = None;
                Reply::Done
            }
            None => refused("no such process"),
        }
    }

    fn release(&mut self, key: Id) -> Reply {
        match self.processes.get(&key).map(|process| process.exited) {
            Some(Some(_)) => {
                self.processes.remove(&key);
                Reply::Done
            }
            Some(None) => refused("the process still runs"),
            None => refused("no such process"),
        }
    }

    fn for_container(&self, mut plan: Plan) -> Plan {
        plan.process = self.for_process(plan.process);
        plan
    }

    /// What the keeper has for itself must not be inherited.
    fn for_process(&self, mut plan: ProcessPlan) -> ProcessPlan {
        plan.oom_score_adj.get_or_insert(self.before.oom_score_adj);
        if plan.rlimits.iter().all(|(resource, ..)| *resource != OPEN_FILES) {
            let (soft, hard) = self.before.open_files;
            plan.rlimits.push((OPEN_FILES, soft, hard));
        }
        plan
    }
}

fn entry(kind: CgroupFds, mut fds: Vec<OwnedFd>) -> Result<CgroupEntry, Reply> {
    let missing = || refused("the cgroup is missing");
    match kind {
        CgroupFds::V1 => Ok(CgroupEntry::V1(fds)),
        CgroupFds::V2 => fds.pop().map(CgroupEntry::V2).ok_or_else(missing),
        CgroupFds::Hybrid => {
            let folder = fds.pop().ok_or_else(missing)?;
            Ok(CgroupEntry::Hybrid(fds, folder))
        }
        CgroupFds::Inherit => Ok(CgroupEntry::Inherit),
    }
}

/// The request makes no sense as things are.
pub fn refused(why: &str) -> Reply {
    Reply::Refused(why.to_owned())
}
