//! Blobs, read: one stream of exactly as many bytes as announced, resumed when its connection breaks.

use crate::client::Cancel;
use crate::error::{Error, Refusal};
use crate::hosts::Capability;
use crate::repository::{Inner, Repository};
use crate::session::{Ask, Session};
use crate::setup::Trust;
use base::Digest;
use bytes::{Buf, Bytes};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use http::{Method, StatusCode};
use oci::image::Descriptor;
use reqwest::Response;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Chunks that wait for the reader. A chunk has at most about 400 KiB.
const WAITING_CHUNKS: usize = 16;

impl Repository {
    /// Opens a blob. What is read is exactly `size` bytes or an error; a broken connection is resumed by Range, several
    /// times. The digest is for the reader to verify, who hashes anyway.
    ///
    /// Errors of the reader hold an [`Error`] (`io::Error::get_ref`).
    pub fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        let wanted = Wanted { digest: blob.digest, size: blob.size, offset: 0, etag: None, skip_endpoints: 0 };
        let mut pump = Pump { repository: Arc::clone(&self.0), wanted, failures: 0 };
        let (pump, opened) = self.run(async move |_| {
            let opened = pump.open().await?;
            Ok((pump, opened))
        })?;
        let (tell, chunks) = channel(WAITING_CHUNKS);
        let cancel = self.0.cancel.clone();
        self.0.workers.handle()?.spawn(pump.run(opened, tell, cancel.clone()));
        Ok(Box::new(Reader { chunks, current: Bytes::new(), remaining: blob.size, cancel }))
    }

    /// How many bytes a blob has, if it is there. Mirrors are asked too.
    pub fn find_blob(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let digest = *digest;
        self.run(async move |inner: Arc<Inner>| inner.find_blob(&digest).await)
    }

    /// Asks the registry itself, never a mirror.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let digest = *digest;
        self.run(async move |inner: Arc<Inner>| inner.has(&digest).await)
    }
}

impl Inner {
    async fn find_blob(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let sessions = self.sessions(Capability::Pull).await?;
        match self.ask_each(sessions, |_, session| self.size_at(session, digest)).await {
            Ok(size) => Ok(Some(size)),
            Err(Error::NotFound(text)) if text.starts_with("pull access denied") => Err(Error::NotFound(text)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn size_at(&self, session: Session, digest: &Digest) -> Result<u64, Error> {
        let ask = Ask::new(Method::HEAD, self.at(&format!("blobs/{digest}"))).scope(self.scope("pull"));
        let mut ask = ask.header(ACCEPT_ENCODING, "identity")?;
        ask.trust = Trust::ByDigest;
        let response = session.send(&ask).await?;
        if !response.status().is_success() {
            return Err(self.unread(Refusal::read(response).await, None));
        }
        let told = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        told.ok_or_else(|| Error::Unavailable(format!("the registry does not tell the size of blob {digest}")))
    }

    pub(crate) async fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let mut ask = Ask::new(Method::HEAD, self.at(&format!("blobs/{digest}"))).scope(self.scope("pull"));
        ask.trust = Trust::ByDigest;
        let response = self.pushing().await?.send(&ask).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(Refusal::read(response).await.into_error()),
        }
    }
}

/// The rest of a blob.
struct Wanted {
    digest: Digest,
    size: u64,
    /// Bytes that the reader has or will get.
    offset: u64,
    etag: Option<String>,
    /// Mirrors that broke.
    skip_endpoints: usize,
}

/// A stream of bytes that begins `skip` bytes before the wanted ones.
struct Opened {
    response: Response,
    skip: u64,
    endpoint: usize,
}

/// Moves bytes from connections to the reader.
struct Pump {
    repository: Arc<Inner>,
    wanted: Wanted,
    /// Without a byte between them.
    failures: u32,
}

/// How a stream ended.
enum End {
    Complete,
    ReaderGone,
    Broken(Error),
    Wrong(Error),
}

impl Pump {
    async fn run(mut self, opened: Opened, chunks: Sender<Result<Bytes, Error>>, cancel: Cancel) {
        let last = tokio::select! {
            outcome = self.deliver(opened, &chunks) => outcome,
            () = cancel.cancelled() => Err(Error::Cancelled),
            () = chunks.closed() => Ok(()),
        };
        if let Err(error) = last {
            // When there is no room the reader is not waiting and sees the cancellation itself.
            let _ = if cancel.is_cancelled() {
                chunks.try_send(Err(error)).is_ok()
            } else {
                chunks.send(Err(error)).await.is_ok()
            };
        }
    }

    async fn deliver(&mut self, mut opened: Opened, chunks: &Sender<Result<Bytes, Error>>) -> Result<(), Error> {
        loop {
            match self.copy(&mut opened, chunks).await {
                End::Complete | End::ReaderGone => return Ok(()),
                End::Wrong(error) => return Err(error),
                End::Broken(error) => opened = self.resume(opened.endpoint, error).await?,
            }
        }
    }

    async fn copy(&mut self, opened: &mut Opened, chunks: &Sender<Result<Bytes, Error>>) -> End {
        let stall = self.repository.setup.patience.stall;
        loop {
            let mut chunk = match tokio::time::timeout(stall, opened.response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None) | Err(_)) | Err(_) if self.wanted.offset == self.wanted.size => return End::Complete,
                Ok(Ok(None)) => return End::Broken(self.failed("unexpected EOF")),
                Ok(Err(error)) => return End::Broken(self.failed(&base::chain(&error.without_url()))),
                Err(_) => return End::Broken(self.failed("no further byte in time")),
            };
            let skipped = opened.skip.min(chunk.len() as u64);
            opened.skip -= skipped;
            chunk.advance(usize::try_from(skipped).unwrap_or(chunk.len()));
            if chunk.is_empty() {
                continue;
            }
            self.wanted.offset += chunk.len() as u64;
            self.failures = 0;
            if self.wanted.offset > self.wanted.size {
                return End::Wrong(self.wrong(&format!("it has more than the expected {} bytes", self.wanted.size)));
            }
            if chunks.send(Ok(chunk)).await.is_err() {
                return End::ReaderGone;
            }
        }
    }

    /// Opens the rest again, after a pause that grows with the failures.
    async fn resume(&mut self, endpoint: usize, mut error: Error) -> Result<Opened, Error> {
        loop {
            let patience = self.repository.setup.patience.clone();
            if self.failures >= patience.repetitions {
                return Err(error);
            }
            tracing::debug!(digest = %self.wanted.digest, offset = self.wanted.offset, %error, "a blob is resumed");
            tokio::time::sleep(patience.before(self.failures)).await;
            self.failures += 1;
            if self.failures > 1 {
                self.wanted.skip_endpoints = self.wanted.skip_endpoints.max(endpoint + 1);
            }
            match self.open().await {
                Ok(opened) => return Ok(opened),
                Err(Error::Unavailable(text)) => error = Error::Unavailable(text),
                Err(other) => return Err(other),
            }
        }
    }

    /// Opens the stream at the first endpoint that has it; the registry itself is never left out.
    async fn open(&mut self) -> Result<Opened, Error> {
        let repository = Arc::clone(&self.repository);
        let mut sessions = repository.sessions(Capability::Pull).await?;
        let skipped = self.wanted.skip_endpoints.min(sessions.len().saturating_sub(1));
        sessions.drain(..skipped);
        let (index, opened) =
            repository.ask_each(sessions, async |index, session| Ok((index, self.open_at(session).await?))).await?;
        let (response, skip) = opened;
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
        self.wanted.etag = etag.filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
        Ok(Opened { response, skip, endpoint: skipped + index })
    }

    async fn open_at(&self, session: Session) -> Result<(Response, u64), Error> {
        let response = session.send(&self.ask()?).await?;
        let Wanted { offset, size, .. } = self.wanted;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => match content_range(&response) {
                Some((first, total)) if first == offset && total.is_none_or(|total| total == size) => Ok((response, 0)),
                found => Err(self.failed(&format!("byte {offset} of {size} was asked for and {found:?} came"))),
            },
            status if status.is_success() => match response.content_length() {
                Some(length) if length != size => Err(self.wrong(&format!("it has {length} bytes instead of {size}"))),
                _ => Ok((response, offset)),
            },
            _ => Err(self.repository.unread(Refusal::read(response).await, None)),
        }
    }

    fn ask(&self) -> Result<Ask, Error> {
        let path = self.repository.at(&format!("blobs/{}", self.wanted.digest));
        let ask = Ask::new(Method::GET, path).scope(self.repository.scope("pull"));
        let mut ask = ask.header(ACCEPT_ENCODING, "identity")?;
        ask.trust = Trust::ByDigest;
        if self.wanted.offset > 0 && self.wanted.offset < self.wanted.size {
            ask = ask.header(RANGE, &format!("bytes={}-", self.wanted.offset))?;
            if let Some(etag) = &self.wanted.etag {
                ask = ask.header(IF_RANGE, etag)?;
            }
        }
        Ok(ask)
    }

    fn failed(&self, reason: &str) -> Error {
        let Wanted { digest, offset, size, .. } = &self.wanted;
        Error::Unavailable(format!("cannot read blob {digest} at byte {offset} of {size}: {reason}"))
    }

    fn wrong(&self, reason: &str) -> Error {
        Error::Invalid(format!("cannot use blob {}: {reason}", self.wanted.digest))
    }
}

/// First byte and total of `Content-Range: bytes 5-9/10`.
fn content_range(response: &Response) -> Option<(u64, Option<u64>)> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-')?.0.trim().parse().ok()?;
    Some((first, total.trim().parse().ok()))
}

/// The reader's end.
struct Reader {
    chunks: Receiver<Result<Bytes, Error>>,
    current: Bytes,
    remaining: u64,
    cancel: Cancel,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.cancel.is_cancelled() {
            return Err(io::Error::other(Error::Cancelled));
        }
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(Ok(chunk)) => self.current = chunk,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None if self.remaining == 0 => return Ok(0),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        self.remaining = self.remaining.saturating_sub(count as u64);
        Ok(count)
    }
}
