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
    pid: i32,
    process: OwnedFd,
    silence: Duration,
}

impl Limit {
    /// `pid` is alive, or not waited for yet. `None`: its end is heard of anyhow.
    pub(crate) fn of(pid: i32, silence: Duration) -> Option<Limit> {
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Limit { pid, process, silence })
    }

    /// Waits until there is something to be heard at `socket`.
    pub(crate) fn wait(&self, socket: BorrowedFd<'_>) -> Result<(), Error> {
        let silence = Timespec::try_from(self.silence).ok();
        let mut work = work_of(self.pid);
        loop {
            match poll(&mut [PollFd::from_borrowed_fd(socket, PollFlags::IN)], silence.as_ref()) {
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::Hear(e.into())),
                Ok(0) => {
                    let now = work_of(self.pid);
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

/// The processor time of a process and of its children that ended, as the kernel counts it (proc_pid_stat(5): utime to cstime).
fn work_of(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum()
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
        let before = work_of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let mut sum = 0_u64;
        while work_of(i32::try_from(std::process::id()).unwrap()).unwrap() == before {
            sum = (0..1_000_000).fold(sum, u64::wrapping_add);
        }
        assert_eq!(work_of(0), None);
    }

    #[test]
    fn what_there_is_to_hear_ends_the_waiting() {
        let (ours, theirs) = crate::pair().unwrap();
        drop(theirs);
        let own = i32::try_from(std::process::id()).unwrap();
        Limit::of(own, Duration::from_secs(1000)).unwrap().wait(ours.as_fd()).unwrap();
    }
}
