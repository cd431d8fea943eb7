//! Bodies of requests, with a clock: who sends nothing for too long is let go.

use crate::fault::{Code, Fault};
use crate::folder::uploads::Session;
use crate::stall::PATIENCE;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Bytes that are collected before they are written.
const BATCH: usize = 1024 * 1024;
/// Most bytes that are read and thrown away for a client that should hear an error.
const MAX_DRAINED: usize = 64 * 1024 * 1024;
const DRAINING: Duration = Duration::from_secs(10);

/// The next bytes of a body.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Fault> {
    loop {
        let frame = timeout(PATIENCE, body.frame()).await.map_err(|_| {
            let text = format!("nothing came for {} seconds", PATIENCE.as_secs());
            Fault::new(Code::BlobUploadInvalid, text).with_status(StatusCode::REQUEST_TIMEOUT)
        })?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
            Some(Err(error)) => {
                return Err(Fault::new(Code::BlobUploadInvalid, format!("the request broke off: {error}")));
            }
        }
    }
}

/// A whole body of at most `limit` bytes; nothing if it is longer.
pub async fn document(body: &mut Incoming, limit: usize) -> Result<Option<Vec<u8>>, Fault> {
    let mut all = Vec::new();
    while let Some(bytes) = next(body).await? {
        if all.len() + bytes.len() > limit {
            return Ok(None);
        }
        all.extend_from_slice(&bytes);
    }
    Ok(Some(all))
}

/// Appends a body to an upload. While one batch is hashed and written the next one comes.
///
/// After a broken connection the upload keeps what came. After an error of the disk nothing of it stays.
pub async fn append(session: Session, body: &mut Incoming) -> Result<Session, Fault> {
    let mut writing = write(session, Vec::new());
    let mut batch = Vec::new();
    let mut size = 0;
    let came = loop {
        match next(body).await {
            Ok(Some(bytes)) => {
                size += bytes.len();
                batch.push(bytes);
            }
            Ok(None) => break Ok(()),
            Err(fault) => break Err(fault),
        }
        if size >= BATCH {
            let session = written(writing).await?;
            writing = write(session, std::mem::take(&mut batch));
            size = 0;
        }
    };
    let session = written(writing).await?;
    let session = written(write(session, batch)).await?;
    came.map(|()| session)
}

fn write(mut session: Session, batch: Vec<Bytes>) -> JoinHandle<Result<Session, io::Error>> {
    tokio::task::spawn_blocking(move || match batch.iter().try_for_each(|bytes| session.write(bytes)) {
        Ok(()) => Ok(session),
        Err(error) => {
            session.discard();
            Err(error)
        }
    })
}

async fn written(writing: JoinHandle<Result<Session, io::Error>>) -> Result<Session, Fault> {
    let session = writing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    session.map_err(Fault::io("keep the upload"))
}

/// Reads what a client still sends, within bounds.
pub async fn drain(body: &mut Incoming) {
    let read = async {
        let mut size = 0;
        while let Ok(Some(bytes)) = next(body).await {
            size += bytes.len();
            if size > MAX_DRAINED {
                break;
            }
        }
    };
    let _ = timeout(DRAINING, read).await;
}
