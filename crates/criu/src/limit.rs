//! How long CRIU may be silent: one that hangs (a file system that does not answer, a process that cannot be stopped) would hold its
//! container for ever.

use crate::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// How long it may say nothing and do nothing. Memory of many gigabytes takes its time, but not without work.
pub const SILENCE: Duration = Duration::from_secs(300);

/// Watches a CRIU that is listened to, and ends it when it hangs.
#[derive(Debug)]
pub(crate) struct Limit {
    /// Its own, and the first of those that it restores: its sibling, which reads its memory itself.
    pids: Vec<i32>,
    process: OwnedFd,
    silence: Duration,
}

impl Limit {
    /// `pid` is alive, or not waited for yet. `None`: its end is heard of anyhow.
    pub(crate) fn of(pid: i32, silence: Duration) -> Option<Limit> {
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Limit { pids: vec![pid], process, silence })
    }

    /// What this process does, and all below it, is CRIU's work as well.
    pub(crate) fn works_too(&mut self, pid: i32) {
        if !self.pids.contains(&pid) {
            self.pids.push(pid);
        }
    }

    /// Waits until there is something to be heard at `socket`.
    pub(crate) fn wait(&self, socket: BorrowedFd<'_>) -> Result<(), Error> {
        let silence = Timespec::try_from(self.silence).ok();
        let mut work = work_of(&self.pids);
        loop {
            match poll(&mut [PollFd::from_borrowed_fd(socket, PollFlags::IN)], silence.as_ref()) {
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::Hear(e.into())),
                Ok(0) => {
                    let now = work_of(&self.pids);
                    if now == work {
                        let _ = pidfd_send_signal(&self.process, Signal::KILL);
                        return Err(Error::Silent { seconds: self.silence.as_secs() });
                    }
                    work = now;
                }
                Ok(_) => return Ok(()),
            }
        }
    }
}

/// The processor time of processes and of all below them, as the kernel counts it (proc_pid_stat(5): utime to cstime).
fn work_of(pids: &[i32]) -> u64 {
    let mut open = pids.to_vec();
    let mut work = 0_u64;
    while let Some(pid) = open.pop() {
        work = work.saturating_add(time_of(pid).unwrap_or_default());
        open.extend(children_of(pid));
    }
    work
}

/// That of one process, and of its children that were waited for.
fn time_of(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum()
}

/// None where the kernel does not tell (CONFIG_PROC_CHILDREN, which CRIU needs as well).
fn children_of(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    fn waiting_for(program: &str, silence: Duration) -> (Result<(), Error>, Child) {
        let (ours, _theirs) = crate::pair().unwrap();
        let child = Command::new("sh").args(["-c", program]).spawn().unwrap();
        let limit = Limit::of(i32::try_from(child.id()).unwrap(), silence).unwrap();
        (limit.wait(ours.as_fd()), child)
    }

    #[test]
    fn one_that_hangs_is_ended() {
        let (waited, mut child) = waiting_for("exec sleep 1000", Duration::from_millis(500));
        assert!(matches!(waited, Err(Error::Silent { .. })), "{waited:?}");
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
    }

    #[test]
    fn work_is_counted() {
        let own = [i32::try_from(std::process::id()).unwrap()];
        let before = work_of(&own);
        let mut sum = 0_u64;
        while work_of(&own) == before {
            sum = (0..1_000_000).fold(sum, u64::wrapping_add);
        }
        assert_eq!(work_of(&[0]), 0);
    }

    #[test]
    fn so_is_that_of_processes_below() {
        let mut child = Command::new("sh").args(["-c", "sh -c 'while :; do :; done' & wait"]).spawn().unwrap();
        let all = [i32::try_from(child.id()).unwrap()];
        // Its own start does not take 20 ticks.
        while work_of(&all) < 20 {
            std::thread::yield_now();
        }
        let below = children_of(all[0]);
        assert!(time_of(all[0]).unwrap() < 20, "the one that works is below");
        below.iter().filter_map(|pid| Pid::from_raw(*pid)).for_each(|pid| {
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
        });
        child.wait().unwrap();
    }

    #[test]
    fn what_there_is_to_hear_ends_the_waiting() {
        let (ours, theirs) = crate::pair().unwrap();
        drop(theirs);
        let own = i32::try_from(std::process::id()).unwrap();
        Limit::of(own, Duration::from_secs(1000)).unwrap().wait(ours.as_fd()).unwrap();
    }
}
