//! The time between a fork and a program: the new process is waited for, and dies if that goes wrong.

use crate::error::{Error, Result};
use base::Undo;
use runtime::create::Beginning;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::signalfd::Signals;

/// From now on the process of `pidfd`, a child not yet waited for, dies with `undo`. Returns a copy.
pub fn watch(undo: &mut Undo<'static>, pidfd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let copy = || rustix::io::fcntl_dupfd_cloexec(pidfd, 3).map_err(|e| Error::because("cannot keep a pidfd", &e));
    let dying = copy()?;
    undo.push(move || end(dying.as_fd()));
    copy()
}

/// A process that has ended, or was waited for, is fine.
fn end(pidfd: BorrowedFd<'_>) {
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    let _ = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED));
}

/// Waits until the process says something. A signal that would end this one ends the whole attempt.
pub fn await_word(beginning: &Beginning, signals: &Signals) -> Result<()> {
    loop {
        let mut polled = [
            PollFd::from_borrowed_fd(beginning.socket(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, None))
            .map_err(|e| Error::because("cannot wait for the new process", &e))?;
        let [said, signalled] = polled.map(|fd| !fd.revents().is_empty());
        if signalled {
            check_signals(signals)?;
        }
        if said {
            return Ok(());
        }
    }
}

/// An error when one came that would end this process.
pub fn check_signals(signals: &Signals) -> Result<()> {
    let ends = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].map(Signal::as_raw);
    while let Some(received) = signals.next().map_err(|e| Error::because("cannot read signals", &e))? {
        if ends.contains(&received.signal) {
            return Err(Error::new(format!("interrupted by signal {}", received.signal)));
        }
    }
    Ok(())
}
