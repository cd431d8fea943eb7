//! A session through a call: its bytes go both ways as messages, for clients that have no second connection.

use crate::session::Sessions;
use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tonic::{Status, Streaming};

/// Bytes on their way.
const PIPE: usize = 256 << 10;
/// Bytes of one message.
const MESSAGE: usize = 32 << 10;

/// Serves the session; what it says is the answer.
pub(super) fn begin(
    sessions: &Sessions,
    headers: HeaderMap,
    said: Streaming<BytesMessage>,
) -> BoxStream<'static, Result<BytesMessage, Status>> {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let sessions = sessions.clone();
    tokio::spawn(async move {
        if let Err(error) = sessions.serve(theirs, &headers).await {
            tracing::debug!("a session was refused: {error}");
        }
    });
    let (read, write) = tokio::io::split(ours);
    tokio::spawn(take(said, write));
    Box::pin(futures_util::stream::unfold(read, |mut read| async move {
        let bytes = next(&mut read).await?;
        Some((Ok(BytesMessage { data: bytes }), read))
    }))
}

async fn take(mut said: Streaming<BytesMessage>, mut write: WriteHalf<DuplexStream>) {
    while let Some(Ok(message)) = said.next().await {
        if write.write_all(&message.data).await.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}

async fn next(read: &mut ReadHalf<DuplexStream>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; MESSAGE];
    let count = read.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
    bytes.truncate(count);
    Some(bytes)
}
