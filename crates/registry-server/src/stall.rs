//! A connection that ends when its peer takes or sends nothing for too long in the middle of something.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a peer may take nothing of what waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a peer may take to say its first words.
const GREETING: Duration = Duration::from_secs(10);
/// So many bytes tell which version of HTTP it is (RFC 9113, 3.4); heads and bodies have clocks of their own after that.
const GREETING_BYTES: usize = 24;

/// A stream whose writes fail when they make no progress for [`PATIENCE`], and whose reads fail when the first bytes do
/// not come in time. Later reading is not bounded here: a connection may be idle.
#[derive(Debug)]
pub struct Impatient<S> {
    stream: S,
    clock: Pin<Box<Sleep>>,
    waiting: bool,
    /// Runs until the peer has said what it speaks.
    greeting: Option<Pin<Box<Sleep>>>,
    heard: usize,
}

impl<S> Impatient<S> {
    pub fn new(stream: S) -> Impatient<S> {
        Impatient::greeted_within(stream, GREETING)
    }

    fn greeted_within(stream: S, greeting: Duration) -> Impatient<S> {
        let greeting = Some(Box::pin(sleep(greeting)));
        Impatient { stream, clock: Box::pin(sleep(PATIENCE)), waiting: false, greeting, heard: 0 }
    }

    /// Counts what was read first.
    fn hear(&mut self, count: usize) {
        self.heard = self.heard.saturating_add(count);
        if self.heard >= GREETING_BYTES {
            self.greeting = None;
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = false;
            return outcome;
        }
        if !self.waiting {
            self.waiting = true;
            self.clock.as_mut().reset(Instant::now() + PATIENCE);
        }
        self.clock.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if outcome.is_ready() {
            self.hear(buf.filled().len().saturating_sub(before));
            return outcome;
        }
        match &mut self.greeting {
            Some(clock) => clock.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            None => outcome,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.greeting = None;
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.greeting = None;
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn who_connects_and_does_not_say_what_it_speaks_is_let_go() {
        let (mut peer, stream) = tokio::io::duplex(100);
        let mut stream = Impatient::greeted_within(stream, Duration::from_millis(1));
        peer.write_all(b"PRI * HT").await.unwrap();
        let error = stream.read_exact(&mut [0; 24]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_may_be_idle_after_its_first_request() {
        let (mut peer, stream) = tokio::io::duplex(100);
        let mut stream = Impatient::new(stream);
        peer.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 30]).await.unwrap();
        assert!(stream.greeting.is_none());

        let (_peer, stream) = tokio::io::duplex(100);
        let mut stream = Impatient::new(stream);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        assert!(stream.greeting.is_none(), "a request that was answered is a greeting, however short");
    }
}
