//! What clients write to the stdin of a process.

use super::Stdin;
use super::hub::Hub;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;

/// The writing end of a process's stdin. Dropped, the client went away.
#[derive(Debug)]
pub struct Input {
    hub: Arc<Hub>,
    writer: Option<AsyncFd<OwnedFd>>,
    /// Which run of the process it belongs to.
    run: u64,
}

impl Input {
    pub(super) fn new(hub: Arc<Hub>, run: u64) -> Input {
        Input { hub, writer: None, run }
    }

    /// Writes all of `bytes`, waiting while the process has not started or does not read. An error means that the process has
    /// closed its stdin or ended.
    pub async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.writer.is_none() {
            self.writer = Some(self.open().await?);
        }
        let Some(writer) = &self.writer else { return Ok(()) };
        while !bytes.is_empty() {
            let mut ready = writer.writable().await?;
            match ready.try_io(|fd| rustix::io::write(fd, bytes).map_err(io::Error::from)) {
                Ok(Ok(n)) => bytes = bytes.get(n..).unwrap_or_default(),
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(e)) => return Err(e),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    /// The client sent its end: the process sees end of file, unless its stdin stays for later clients or is a terminal.
    pub async fn close(self) {
        drop(self);
    }

    async fn open(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let mut news = self.hub.stdin.subscribe();
        loop {
            let now = news.borrow_and_update().clone();
            match now {
                Stdin::Open(fd) => {
                    let own = fd.try_clone()?;
                    rustix::io::ioctl_fionbio(&own, true)?;
                    return watched(own);
                }
                Stdin::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
                Stdin::Waiting | Stdin::GoneEarly => news.changed().await.map_err(|_| io::ErrorKind::BrokenPipe)?,
            }
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.writer = None;
        self.hub.client_gone(self.run);
    }
}

/// Deprecated for types that may change their fd or lie about it; an `OwnedFd` does neither.
#[allow(deprecated)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, tokio::io::Interest::WRITABLE)
}
