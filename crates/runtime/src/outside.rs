//! The other end of a process that stops for hooks: who calls those that run outside of it.

use crate::create::hear;
use crate::failure::at;
use crate::wire::{self, Word};
use crate::{Failure, Halts, Prepared, Step};
use oci::runtime::Hooks;
use oci::state::State;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// An end of the socket at which the process waits. Who launches it calls [`attend`](Self::attend) beside, on another thread.
#[derive(Debug)]
pub struct Outside {
    socket: OwnedFd,
}

impl Outside {
    /// Has the process of `prepared` stop: for hooks outside of it, and for createContainer and startContainer hooks, which it
    /// calls itself. `root`: where these find its root, an empty folder that is its to pass to.
    pub fn of(prepared: &mut Prepared, hooks: &Hooks, state: &State, root: &Path) -> io::Result<Outside> {
        let (socket, end) = wire::pair()?;
        let index = u32::try_from(prepared.fds.len()).map_err(io::Error::other)?;
        prepared.fds.push(end);
        prepared.plan.halts = Some(Halts {
            outside: Some(index),
            root: root.to_str().ok_or(io::ErrorKind::InvalidFilename)?.to_owned(),
            hooks: serde_json::to_string(hooks).map_err(io::Error::other)?,
            state: serde_json::to_string(state).map_err(io::Error::other)?,
        });
        Ok(Outside { socket })
    }

    /// Waits for the process, and lets it go on when `call` is done; what `call` gives as an error is why the launch failed. It
    /// gets the process's number and pidfd. Ends without a call when all other ends of the socket are closed.
    pub fn attend(self, call: impl FnOnce(i32, BorrowedFd<'_>) -> Result<(), String>) {
        let Ok(Word::Said(wire::HOOKS, Some(pidfd))) = hear(self.socket.as_fd()) else { return };
        let called = number(pidfd.as_fd())
            .map_err(at(Step::Park, "pidfd"))
            .and_then(|pid| call(pid, pidfd.as_fd()).map_err(|why| Failure::new(Step::Hook, Errno::CANCELED, why)));
        match called {
            // It may have been killed meanwhile: then its keeper tells.
            Ok(()) => drop(wire::say(self.socket.as_fd(), wire::PROCEED, &[])),
            Err(failure) => wire::report(self.socket.as_fd(), &failure),
        }
    }
}

/// Of the process, in the caller's pid namespace (proc_pid_fdinfo(5)).
fn number(pidfd: BorrowedFd<'_>) -> io::Result<i32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number.filter(|pid| *pid > 0).ok_or_else(|| io::ErrorKind::NotFound.into())
}
