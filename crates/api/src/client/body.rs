//! What a request carries: nothing, JSON, or a stream fed from another thread.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::pool::Pool;

/// What a request carries.
#[derive(Debug)]
pub enum Payload {
    Empty,
    /// Sent as `application/json`.
    Json(Bytes),
    /// Sent as `application/x-tar`; `length` in bytes if it is known.
    Tar {
        chunks: mpsc::Receiver<io::Result<Bytes>>,
        length: Option<u64>,
    },
}

/// The feeding end of a [`Payload::Tar`], for a thread that blocks.
#[derive(Debug)]
pub struct Uploader(mpsc::Sender<io::Result<Bytes>>);

impl Payload {
    /// A stream of `length` bytes and the end that feeds it; a few chunks are kept in flight.
    pub fn stream(length: Option<u64>) -> (Uploader, Payload) {
        let (sender, chunks) = mpsc::channel(4);
        (Uploader(sender), Payload::Tar { chunks, length })
    }

    pub(super) fn content_type(&self) -> Option<&'static str> {
        match self {
            Payload::Empty => None,
            Payload::Json(_) => Some("application/json"),
            Payload::Tar { .. } => Some("application/x-tar"),
        }
    }
}

impl Uploader {
    /// Hands over one chunk, or the reason why there are no more; false when nobody wants it any longer.
    /// Must not be called on the runtime's own thread.
    pub fn feed(&self, chunk: io::Result<Bytes>) -> bool {
        self.0.blocking_send(chunk).is_ok()
    }

    /// Hands over all of `source` up to its end, or until nobody wants it any longer; `told` gets the bytes of each piece.
    /// Must not be called on the runtime's own thread.
    pub fn feed_all(&self, mut source: impl io::Read, mut told: impl FnMut(u64)) {
        let pool = Pool::new();
        loop {
            let mut buffer = pool.take();
            match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => {
                    told(u64::try_from(length).unwrap_or(0));
                    if !self.feed(Ok(pool.lend(buffer, length))) {
                        return;
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    self.feed(Err(cause));
                    return;
                }
            }
        }
    }
}

/// A [`Payload`] on its way.
#[derive(Debug)]
pub(super) enum Sending {
    Whole(Option<Bytes>),
    Stream { chunks: mpsc::Receiver<io::Result<Bytes>>, left: Option<u64> },
}

impl From<Payload> for Sending {
    fn from(payload: Payload) -> Sending {
        match payload {
            Payload::Empty => Sending::Whole(None),
            Payload::Json(bytes) => Sending::Whole(Some(bytes)),
            Payload::Tar { chunks, length } => Sending::Stream { chunks, left: length },
        }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Sending::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Sending::Stream { chunks, left } => {
                let Some(chunk) = ready!(chunks.poll_recv(cx)) else { return Poll::Ready(None) };
                if let (Some(left), Ok(bytes)) = (left, &chunk) {
                    *left = left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                }
                Poll::Ready(Some(chunk.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Sending::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Sending::Whole(bytes) => {
                SizeHint::with_exact(u64::try_from(bytes.as_ref().map_or(0, Bytes::len)).unwrap_or(u64::MAX))
            }
            Sending::Stream { left: Some(left), .. } => SizeHint::with_exact(*left),
            Sending::Stream { left: None, .. } => SizeHint::default(),
        }
    }
}
