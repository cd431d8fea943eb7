//! Children that ended.

use super::state::{State, Who, now};
use crate::message::{Event, Exit, Told};
use base::Id;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

impl State {
    /// Takes the exit of every child that ended. Those nobody knows are orphans of containers: they are just buried.
    pub fn reap(&mut self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid.as_raw_nonzero().get(), exit_of(status), now()),
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn ended(&mut self, pid: i32, exit: Exit, at: i64) {
        match self.pids.remove(&pid) {
            Some(Who::Process(key)) => self.exited(key, exit, at),
            Some(Who::Parked) => drop(self.parked.remove(&pid)),
            Some(Who::Beginning(token)) => {
                // Its socket has closed as well: that is an event of its own, which says whether it had begun.
                if let Some(begin) = self.beginning.get_mut(&token) {
                    begin.exited = Some((exit, at));
                }
            }
            // What it restored was claimed, or ended with it.
            Some(Who::Criu) => drop(self.restoring.remove(&pid)),
            Some(Who::Doomed) | None => {}
        }
    }

    /// Keeps the exit until it is released, and tells the engine.
    pub fn exited(&mut self, key: Id, exit: Exit, at: i64) {
        if let Some(process) = self.processes.get_mut(&key) {
            process.exited = Some((exit, at));
            self.tell(&Told::Event(Event::Exited { key, exit, at }), Vec::new());
        }
    }

    /// Kills a child that belongs to nobody any more.
    pub fn kill(&mut self, pid: i32) {
        // A child that is not known here was reaped, and its number may be another's by now.
        let Some(who) = self.pids.get_mut(&pid) else { return };
        *who = Who::Doomed;
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    let number = |n: i32| u8::try_from(n & 0xff).unwrap_or(u8::MAX);
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(number(code)),
        (None, Some(signal)) => Exit::Signal(number(signal)),
        (None, None) => Exit::Code(u8::MAX),
    }
}
