//! Notices that a client has gone, on a connection whose input has already ended.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A second look at a connection.
///
/// A client that has closed only its sending side still reads; one that has closed both hangs up (EPOLLHUP), which a plain
/// read cannot tell apart. The descriptor is a duplicate: its readiness is its own.
#[derive(Debug)]
pub struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    pub fn new(connection: BorrowedFd<'_>) -> io::Result<Watch> {
        AsyncFd::register_with_interest(connection.try_clone_to_owned()?, Interest::WRITABLE).map(Watch).map_err(Into::into)
    }

    /// Returns when the client has gone.
    pub async fn gone(&self) {
        while let Ok(mut guard) = self.0.ready(Interest::WRITABLE).await {
            if guard.ready().is_write_closed() {
                return;
            }
            guard.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_client_that_only_closed_its_sending_side_is_still_there() {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().expect("a pair");
        let watch = Watch::new(ours.as_fd()).expect("a watch");
        theirs.shutdown().await.expect("half closed");
        let early = tokio::time::timeout(Duration::from_millis(50), watch.gone()).await;
        assert!(early.is_err(), "half-closed is not gone");
        drop(theirs);
        tokio::time::timeout(Duration::from_secs(5), watch.gone()).await.expect("gone");
    }
}
