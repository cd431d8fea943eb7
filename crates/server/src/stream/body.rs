//! Bodies: requests read whole, requests read by blocking code, answers written piece by piece.

use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use std::io::{self, Read};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of a request that is read whole. Configurations with a seccomp profile in them stay far below.
pub const MOST_BYTES: usize = 16 << 20;
/// Pieces on their way between a connection and blocking code.
const PIECES: usize = 16;
/// How long the rest of a request that nobody wants is read, so that its client can read the answer.
const DRAIN: Duration = Duration::from_secs(5);

/// The whole body; an error when it is longer than [`MOST_BYTES`] or breaks off. The rest of one that is too long is thrown away.
pub async fn collect(body: Body) -> Result<Bytes, String> {
    let mut stream = body.into_data_stream();
    let mut whole = Bytes::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|e| e.to_string())?;
        if whole.len() + piece.len() > MOST_BYTES {
            drop(whole);
            let rest = async { while let Some(Ok(_)) = stream.next().await {} };
            let _ = tokio::time::timeout(DRAIN, rest).await;
            return Err(format!("request body is longer than {MOST_BYTES} bytes"));
        }
        // Most come in one piece.
        whole = if whole.is_empty() { piece } else { joined(whole, &piece) };
    }
    Ok(whole)
}

fn joined(before: Bytes, piece: &[u8]) -> Bytes {
    let mut both = before.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    both.extend_from_slice(piece);
    both.freeze()
}

/// A body for blocking code. When the reader goes away early, the rest is still read for a while.
pub fn reader(body: Body) -> BodyReader {
    let (send, receive) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        let mut stream = body.into_data_stream();
        while let Some(piece) = stream.next().await {
            let broken = piece.is_err();
            if send.send(piece.map_err(io::Error::other)).await.is_err() {
                let rest = async { while let Some(Ok(_)) = stream.next().await {} };
                let _ = tokio::time::timeout(DRAIN, rest).await;
                return;
            }
            if broken {
                return;
            }
        }
    });
    BodyReader { receive, piece: Bytes::new() }
}

/// Reads a request's body from a blocking thread.
#[derive(Debug)]
pub struct BodyReader {
    receive: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receive.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

/// The writing end of an answer that goes on. Sending fails when the client has gone.
pub type Pieces = mpsc::Sender<Bytes>;

/// A body that is written through the channel; each piece is flushed.
pub fn streamed() -> (Pieces, Body) {
    let (send, receive) = mpsc::channel(PIECES);
    (send, Body::from_stream(ReceiverStream::new(receive).map(Ok::<Bytes, io::Error>)))
}

/// The same for answers whose pieces are large: one that is not read keeps little.
pub fn streamed_in_large_pieces() -> (Pieces, Body) {
    let (send, receive) = mpsc::channel(1);
    (send, Body::from_stream(ReceiverStream::new(receive).map(Ok::<Bytes, io::Error>)))
}

/// One line of JSON.
pub fn line<T: serde::Serialize>(value: &T) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.extend_from_slice(b"\r\n");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blocking_code_reads_a_body_to_its_end() {
        let mut reader = reader(Body::from("hello world"));
        let text = tokio::task::spawn_blocking(move || io::read_to_string(&mut reader)).await.expect("joined");
        assert_eq!(text.expect("read"), "hello world");
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_refused() {
        assert!(collect(Body::from(vec![0; MOST_BYTES + 1])).await.is_err());
        assert_eq!(collect(Body::from(vec![0; 10])).await.map(|b| b.len()), Ok(10));
    }

    #[tokio::test]
    async fn the_rest_of_a_body_is_read_when_nobody_wants_it() {
        let (send, body) = streamed();
        drop(reader(body));
        for _ in 0..100 {
            send.send(Bytes::from_static(&[0; 1024])).await.expect("still read");
        }
    }
}
