//! Notices that a client has gone, on a connection whose input has already ended.

use crate::conn::Conn;
use std::io;
use tokio::io::Interest;

/// A second look at a connection.
///
/// A client that has closed only its sending side still reads; one that has closed both hangs up (EPOLLHUP), which a plain
/// read cannot tell apart. The descriptor is a duplicate: its readiness is its own, and may be used up here.
#[derive(Debug)]
pub struct Watch(Conn);

impl Watch {
    pub fn new(connection: &Conn) -> io::Result<Watch> {
        connection.duplicate().map(Watch)
    }

    /// Returns when the client has gone.
    pub async fn gone(&self) {
        while let Ok(ready) = self.0.ready(Interest::WRITABLE).await {
            if ready.is_write_closed() {
                return;
            }
            self.0.forget_readiness(Interest::WRITABLE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_client_that_only_closed_its_sending_side_is_still_there() {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().expect("a pair");
        let watch = Watch::new(&Conn::Unix(ours)).expect("a watch");
        theirs.shutdown().await.expect("half closed");
        let early = tokio::time::timeout(Duration::from_millis(50), watch.gone()).await;
        assert!(early.is_err(), "half-closed is not gone");
        drop(theirs);
        tokio::time::timeout(Duration::from_secs(5), watch.gone()).await.expect("gone");
    }
}
