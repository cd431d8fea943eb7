//! The caller's own terminal, while it shows that of a process in the foreground.

use crate::error::{Error, Result};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::termios::{OptionalActions, OutputModes, Termios};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Has its old settings again when it is dropped.
#[derive(Debug)]
pub struct HostTerminal {
    fd: OwnedFd,
    before: Termios,
}

impl HostTerminal {
    /// One of the standard streams, or else the controlling terminal.
    pub fn find() -> Result<HostTerminal> {
        let streams = [rustix::stdio::stderr(), rustix::stdio::stdout(), rustix::stdio::stdin()];
        let fd = match streams.into_iter().find(|stream| rustix::termios::isatty(stream)) {
            Some(stream) => rustix::io::fcntl_dupfd_cloexec(stream, 3),
            None => rustix::fs::openat(CWD, "/dev/tty", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()),
        };
        let fd = fd.map_err(|e| Error::new(format!("open /dev/tty: {}", io::Error::from(e))))?;
        let before = rustix::termios::tcgetattr(&fd);
        let before = before.map_err(|e| Error::new(format!("unable to get console: {}", io::Error::from(e))))?;
        Ok(HostTerminal { fd, before })
    }

    /// Every key goes through at once, and is shown by the other side. Line ends of other programs still begin a new line.
    pub fn make_raw(&self) -> Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        raw.output_modes |= OutputModes::OPOST;
        rustix::termios::tcsetattr(&self.fd, OptionalActions::Now, &raw)
            .map_err(|e| Error::new(format!("failed to set the terminal from the stdin: {}", io::Error::from(e))))
    }

    /// Gives the terminal of the process the size of this one. It may be gone: never an error.
    pub fn lend_size(&self, master: BorrowedFd<'_>) {
        if let Ok(size) = rustix::termios::tcgetwinsize(self.fd.as_fd()) {
            let _ = rustix::termios::tcsetwinsize(master, size);
        }
    }
}

impl Drop for HostTerminal {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(&self.fd, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::OpenptFlags;
    use rustix::termios::{LocalModes, Winsize};

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let peer = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
        (master, peer)
    }

    #[test]
    fn a_terminal_is_raw_until_it_is_dropped() {
        let (_master, peer) = pair();
        let modes = || rustix::termios::tcgetattr(&peer).unwrap();
        let before = modes();
        let host = HostTerminal { fd: peer.try_clone().unwrap(), before: before.clone() };
        host.make_raw().unwrap();
        assert!(!modes().local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON));
        assert!(modes().output_modes.contains(OutputModes::OPOST));
        drop(host);
        assert_eq!(modes().local_modes, before.local_modes);
    }

    #[test]
    fn the_size_is_lent() {
        let (_host_master, host) = pair();
        let (master, peer) = pair();
        let size = Winsize { ws_row: 11, ws_col: 122, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&host, size).unwrap();
        let before = rustix::termios::tcgetattr(&host).unwrap();
        HostTerminal { fd: host, before }.lend_size(master.as_fd());
        let lent = rustix::termios::tcgetwinsize(&peer).unwrap();
        assert_eq!((lent.ws_row, lent.ws_col), (11, 122));
    }
}
