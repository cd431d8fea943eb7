//! A blob on its way out: read in large pieces on threads that may block, two pieces ahead of the client.

use crate::proxy::growing::Growing;
use crate::storage::Content;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use rustix::buffer::spare_capacity;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// What every answer has as its body.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Bytes read at once.
const PIECE: u64 = 1024 * 1024;
/// Pieces that are read while the client takes an earlier one.
const AHEAD: usize = 2;

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The bytes of `range`, which must lie within the blob.
pub fn blob(content: Content, range: Range<u64>) -> Body {
    match content {
        Content::Whole { file, .. } => boxed(pieces(Arc::new(file), range)),
        Content::Arriving(growing) => boxed(arriving(growing, range)),
    }
}

fn boxed(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

fn pieces(file: Arc<File>, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let starts = stream::iter((range.start..range.end).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX)));
    let read = move |start: u64| read_piece(Arc::clone(&file), start..range.end.min(start + PIECE));
    starts.map(read).buffered(AHEAD)
}

fn arriving(growing: Arc<Growing>, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(range, move |range| {
        let growing = Arc::clone(&growing);
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let end = growing.available(range.start).await?.min(range.end).min(range.start + PIECE);
            let file = Arc::new(growing.file.try_clone()?);
            let piece = read_piece(file, range.start..end).await?;
            Ok(Some((piece, end..range.end)))
        }
    })
}

async fn read_piece(file: Arc<File>, range: Range<u64>) -> io::Result<Bytes> {
    let read = tokio::task::spawn_blocking(move || read_exactly(&file, range)).await;
    read.map_err(io::Error::other)?
}

fn read_exactly(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut piece = Vec::with_capacity(length);
    while piece.len() < length {
        let at = range.start + piece.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut piece), at) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob became shorter")),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    piece.truncate(length);
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    async fn read(size: usize, range: Range<u64>) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        file.write_all(&bytes).unwrap();
        let body = blob(Content::Whole { file, size: size as u64 }, range.clone());
        let got = body.collect().await.unwrap().to_bytes().to_vec();
        let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        assert!(got == bytes[start..end], "{range:?} of {size}");
        got
    }

    #[tokio::test]
    async fn a_range_is_sent_exactly() {
        for range in [0..0, 0..1, 5..3_000_000, 2_999_999..3_000_000, 0..1_048_576, 1_048_575..1_048_577] {
            assert_eq!(read(3_000_000, range.clone()).await.len() as u64, range.end - range.start);
        }
    }
}
