//! Who gets the other ends of a process: its terminal, its pipes, a pidfd.

use crate::error::{Error, Result};
use crate::foreground::Foreground;
use crate::sockets;
use crate::streams::{self, Pipes};
use crate::terminal::HostTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Who has the process once it is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It waits at its gate.
    Create,
    /// The program runs, and this process goes.
    Detached,
    /// The program runs, and this process stays.
    Foreground,
}

/// Opened before the process is made.
#[derive(Debug)]
pub struct Ends {
    /// Gets the master of the terminal.
    console: Option<OwnedFd>,
    pidfd_socket: Option<OwnedFd>,
    /// Shows the terminal of a process in the foreground.
    host: Option<HostTerminal>,
    /// The streams of a process in the foreground without a terminal. It never gets the caller's own: a terminal among them would
    /// be its controlling one.
    pipes: Option<Pipes>,
}

impl Ends {
    pub fn open(terminal: bool, mode: Mode, console: Option<&Path>, pidfd_socket: Option<&Path>) -> Result<Ends> {
        check_terminal(terminal, mode, console.is_some())?;
        let here = mode == Mode::Foreground;
        Ok(Ends {
            console: sockets::connect(console)?,
            pidfd_socket: sockets::connect(pidfd_socket)?,
            host: if here && terminal { Some(HostTerminal::find()?) } else { None },
            pipes: if here && !terminal { Some(Pipes::open()?) } else { None },
        })
    }

    /// What becomes the standard streams of the process.
    pub fn streams(&self) -> [BorrowedFd<'_>; 3] {
        match &self.pipes {
            Some(pipes) => pipes.theirs(),
            None => streams::own(),
        }
    }

    /// The process is there: gives away what was asked for, or keeps it for the foreground. `word` goes with the pidfd.
    pub fn hand_over(self, word: &str, pidfd: BorrowedFd<'_>, master: Option<OwnedFd>) -> Result<Option<Foreground>> {
        sockets::send_pidfd(self.pidfd_socket.as_ref(), word, pidfd)?;
        match (master, self.console, self.host, self.pipes) {
            (Some(master), Some(console), ..) => {
                sockets::send_terminal(console.as_fd(), master.as_fd())?;
                Ok(None)
            }
            (Some(master), None, Some(host), _) => Foreground::terminal(master, host).map(Some),
            (_, _, _, Some(pipes)) => Foreground::pipes(pipes).map(Some),
            _ => Ok(None),
        }
    }
}

/// A terminal needs somebody who has its other end.
fn check_terminal(terminal: bool, mode: Mode, console_socket: bool) -> Result<()> {
    let detached = mode != Mode::Foreground;
    if detached && terminal && !console_socket {
        return Err(Error::new("cannot allocate tty if runc will detach without setting console socket"));
    }
    if (!detached || !terminal) && console_socket {
        return Err(Error::new("cannot use console socket if runc will not detach or allocate tty"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_and_its_socket_belong_together() {
        for (terminal, mode, socket, fine) in [
            (false, Mode::Create, false, true),
            (true, Mode::Create, true, true),
            (true, Mode::Create, false, false),
            (true, Mode::Detached, false, false),
            (false, Mode::Detached, true, false),
            (true, Mode::Foreground, false, true),
            (true, Mode::Foreground, true, false),
        ] {
            assert_eq!(check_terminal(terminal, mode, socket).is_ok(), fine, "{terminal} {mode:?} {socket}");
        }
    }
}
