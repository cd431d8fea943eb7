//! Notices that a client has gone, on a connection whose input has already ended.

use crate::conn::Conn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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

    /// Returns when the client has read all that was sent, or reads nothing for a while. Over tcp only the other machine knows.
    pub async fn has_read(&self) {
        let Conn::Unix(socket) = &self.0 else { return };
        let unread = || sys::message::unread(socket.as_fd()).is_ok_and(|bytes| bytes > 0);
        let patience = tokio::time::Instant::now() + READS_NOTHING;
        while unread() && tokio::time::Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// How long a client may leave an answer's header unread before output follows it all the same.
const READS_NOTHING: Duration = Duration::from_secs(1);

/// A client that waits for an answer, watched by a descriptor of its connection. One that closed only its sending side, as `nc`
/// does at the end of its input, gets its answer.
#[derive(Debug)]
pub struct Asker {
    socket: OwnedFd,
    sort: Sort,
}

/// What the kernel says of a client that has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// That it hangs up.
    Unix,
    /// That it sends no more, which may be all it closed.
    Tcp,
}

/// How long a client that sends no more over tcp waits for an answer, as far as anybody can tell.
const ONLY_LISTENING: Duration = Duration::from_secs(10);

impl Asker {
    pub fn of(connection: &Conn) -> io::Result<Asker> {
        let sort = if matches!(connection, Conn::Unix(_)) { Sort::Unix } else { Sort::Tcp };
        Ok(Asker { socket: connection.descriptor()?, sort })
    }

    /// Returns when it has gone; what it sends meanwhile is not looked at.
    pub async fn gone(self) -> io::Result<()> {
        // A hang-up is told whatever is asked for (epoll_ctl(2)): with urgent data nothing else is.
        let interest = if self.sort == Sort::Unix { Interest::PRIORITY } else { Interest::READABLE };
        let socket = watched(self.socket, interest)?;
        loop {
            let mut ready = socket.ready(interest).await?;
            if ready.ready().is_read_closed() {
                break;
            }
            ready.clear_ready();
        }
        if self.sort == Sort::Tcp {
            tokio::time::sleep(ONLY_LISTENING).await;
        }
        Ok(())
    }
}

/// Deprecated for types that may change their fd or lie about it; an `OwnedFd` does neither.
#[allow(deprecated)]
fn watched(socket: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, interest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_client_that_only_closed_its_sending_side_is_still_there() {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().expect("a pair");
        let watch = Watch::new(&Conn::Unix(ours)).expect("a watch");
        theirs.shutdown().await.expect("half closed");
        let early = tokio::time::timeout(Duration::from_millis(50), watch.gone()).await;
        assert!(early.is_err(), "half-closed is not gone");
        drop(theirs);
        tokio::time::timeout(Duration::from_secs(30), watch.gone()).await.expect("gone");
    }

    #[tokio::test]
    async fn what_was_sent_is_read_before_more_follows() {
        let (mut ours, mut theirs) = tokio::net::UnixStream::pair().expect("a pair");
        ours.write_all(b"header").await.expect("sent");
        let watch = Watch::new(&Conn::Unix(ours)).expect("a watch");
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
        let (ours, mut theirs) = tokio::net::UnixStream::pair().expect("a pair");
        let asker = Asker::of(&Conn::Unix(ours)).expect("an asker");
        let gone = tokio::spawn(asker.gone());
        theirs.write_all(b"more").await.expect("sent");
        theirs.shutdown().await.expect("half closed");
        tokio::task::yield_now().await;
        assert!(!gone.is_finished(), "half-closed is not gone");
        drop(theirs);
        tokio::time::timeout(Duration::from_secs(30), gone).await.expect("gone").expect("no panic").expect("watched");
    }
}
