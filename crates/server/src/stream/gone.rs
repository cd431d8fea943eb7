//! Notices that a client has gone.

use crate::conn::Conn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A second look at a connection, by a descriptor of its own.
///
/// A client that has closed only its sending side, as `nc` does at the end of its input, still reads; one that has closed both hangs
/// up (EPOLLHUP), which a plain read cannot tell apart.
#[derive(Debug)]
pub struct Watch {
    socket: OwnedFd,
    is_local: bool,
}

/// How long a client may leave an answer's header unread before output follows it all the same.
const READS_NOTHING: Duration = Duration::from_secs(1);

/// How long a client that sends no more over tcp waits for an answer, as far as anybody can tell.
const ONLY_LISTENING: Duration = Duration::from_secs(10);

impl Watch {
    pub fn of(connection: &Conn) -> io::Result<Watch> {
        Ok(Watch { socket: connection.descriptor()?, is_local: connection.is_local() })
    }

    /// Returns when the client has closed both ways; what it sends meanwhile is not looked at.
    pub async fn hung_up(&self) -> io::Result<()> {
        // A hang-up is told whatever is asked for (epoll_ctl(2)): with urgent data nothing else is.
        self.closed(Interest::PRIORITY).await
    }

    /// Returns when a client that waits for an answer has gone. Over tcp nobody hears of it when the client closes both ways: only that
    /// it sends no more, which may be all it closed.
    pub async fn gone(&self) -> io::Result<()> {
        if self.is_local {
            return self.hung_up().await;
        }
        self.closed(Interest::READABLE).await?;
        tokio::time::sleep(ONLY_LISTENING).await;
        Ok(())
    }

    async fn closed(&self, interest: Interest) -> io::Result<()> {
        let socket = watched(self.socket.as_fd(), interest)?;
        loop {
            let mut ready = socket.ready(interest).await?;
            if ready.ready().is_read_closed() {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// Returns when the client has read all that was sent, or reads nothing for a while. Over tcp only the other machine knows.
    pub async fn has_read(&self) {
        if !self.is_local {
            return;
        }
        let unread = || sys::message::unread(self.socket.as_fd()).is_ok_and(|bytes| bytes > 0);
        let patience = tokio::time::Instant::now() + READS_NOTHING;
        while unread() && tokio::time::Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Deprecated for types that may change their fd or lie about it; a `BorrowedFd` does neither.
#[allow(deprecated)]
fn watched(socket: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    AsyncFd::with_interest(socket, interest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    async fn check_half_closed_is_not_gone(ours: Conn, mut theirs: impl tokio::io::AsyncWrite + Unpin) {
        let watch = Watch::of(&ours).expect("a watch");
        let hung_up = tokio::spawn(async move { watch.hung_up().await });
        theirs.write_all(b"more").await.expect("sent");
        theirs.shutdown().await.expect("half closed");
        let early = tokio::time::timeout(Duration::from_millis(50), async {
            while !hung_up.is_finished() {
                tokio::task::yield_now().await
            }
        });
        assert!(early.await.is_err(), "half-closed is not gone");
        drop((theirs, ours));
        tokio::time::timeout(Duration::from_secs(30), hung_up)
            .await
            .expect("gone")
            .expect("no panic")
            .expect("watched");
    }

    #[tokio::test]
    async fn a_client_that_only_closed_its_sending_side_is_still_there() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        check_half_closed_is_not_gone(ours.into(), theirs).await;
    }

    #[tokio::test]
    async fn what_was_sent_is_read_before_more_follows() {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.write_all(b"header").await.expect("sent");
        let watch = Watch::of(&ours.into()).expect("a watch");
        let reading = watch.has_read();
        tokio::pin!(reading);
        assert!(futures_util::poll!(&mut reading).is_pending());
        let mut header = [0; 6];
        tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut header).await.expect("read");
        reading.await;
        assert_eq!(sys::message::unread(theirs.as_fd()).expect("a number"), 0);
    }

    #[tokio::test]
    async fn an_asker_that_only_closed_its_sending_side_still_waits() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let conn = Conn::from(ours);
        let watch = Watch::of(&conn).expect("a watch");
        let gone = tokio::spawn(async move { watch.gone().await });
        theirs.write_all(b"more").await.expect("sent");
        theirs.shutdown().await.expect("half closed");
        tokio::task::yield_now().await;
        assert!(!gone.is_finished(), "half-closed is not gone");
        drop(theirs);
        tokio::time::timeout(Duration::from_secs(30), gone).await.expect("gone").expect("no panic").expect("watched");
    }
}
