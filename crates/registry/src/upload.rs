//! Blobs, sent: one PATCH that streams, continued where it broke; or mounted from another repository.

use crate::error::{Error, Refusal};
use crate::hosts::same_origin;
use crate::repository::{Inner, Repository, check_path};
use crate::session::{Ask, Session, Target};
use crate::setup::drain;
use base::Digest;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{Method, StatusCode};
use oci::image::Descriptor;
use reqwest::{Body, Response, Url};
use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};

const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that were read and wait for the connection.
const WAITING_CHUNKS: usize = 8;
/// How long a registry may take to hear that an upload is given up.
const GOODBYE: Duration = Duration::from_secs(60);

/// What an upload reads; called again when it starts anew.
type Open<'a> = &'a (dyn Fn() -> io::Result<File> + Sync);
type Sent<'a> = &'a (dyn Fn(u64) + Sync);

/// Where a session of uploading stands.
#[derive(Debug, Clone)]
struct Upload {
    location: Url,
    /// Bytes that the registry has.
    offset: u64,
}

/// How sending a part ended.
enum Part {
    /// All bytes were taken; what to commit.
    Complete(Url),
    /// The connection broke, or the registry has fewer bytes than were sent.
    Broken(Error),
}

/// What became of a blob that another repository of the registry might have.
enum Mounted {
    There,
    /// The registry would rather have its bytes; this upload waits for them.
    Upload(Url),
    No,
}

impl Repository {
    /// Mounts a blob of another repository of the same registry. `false`: the registry would rather have its bytes.
    pub fn mount_blob(&self, digest: &Digest, from: &str) -> Result<bool, Error> {
        check_path(from)?;
        let (digest, from) = (*digest, from.to_owned());
        let undo = |inner: Arc<Inner>, mounted| async move {
            if let Mounted::Upload(at) = mounted {
                inner.say_goodbye(at).await;
            }
        };
        let mounted = self.run_to_its_end(async move |inner: Arc<Inner>| inner.mount(&digest, &from).await, undo)?;
        if let Mounted::Upload(at) = mounted {
            self.abandon(at);
            return Ok(false);
        }
        Ok(matches!(mounted, Mounted::There))
    }

    /// Sends a blob; `open` is called again when an upload has to start anew. `sent` gets the bytes sent so far.
    pub fn push_blob(
        &self,
        blob: &Descriptor,
        open: &(dyn Fn() -> io::Result<File> + Sync),
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Error> {
        let mut upload = self.begin()?;
        let outcome = self.push_by(&mut upload, blob, open, sent);
        if outcome.is_err() {
            self.abandon(upload.location);
        }
        outcome
    }

    fn push_by(&self, upload: &mut Upload, blob: &Descriptor, open: Open<'_>, sent: Sent<'_>) -> Result<(), Error> {
        let mut failures = 0;
        loop {
            let started_at = upload.offset;
            let error = match self.send_from(upload, blob, open, sent)? {
                Part::Complete(location) => match self.commit(location, blob.digest)? {
                    None => return Ok(()),
                    Some(error) => error,
                },
                Part::Broken(error) => error,
            };
            let next = self.status(upload, blob.size);
            failures = if next.as_ref().is_some_and(|next| next.offset > started_at) { 0 } else { failures + 1 };
            if failures > self.0.setup.patience.repetitions {
                return Err(error);
            }
            tracing::debug!(digest = %blob.digest, resumed = next.is_some(), %error, "an upload broke");
            self.pause(failures)?;
            match next {
                Some(next) => *upload = next,
                None => self.abandon(std::mem::replace(upload, self.begin()?).location),
            }
        }
    }

    /// Runs what may leave an upload at the registry. Cancelled while the registry still answers, it would be nobody's: `undo`
    /// gets what it was.
    fn run_to_its_end<T, F, U>(
        &self,
        verb: impl FnOnce(Arc<Inner>) -> F,
        undo: impl FnOnce(Arc<Inner>, T) -> U + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        U: Future<Output = ()> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let undo = move |late| undo(inner, late);
        self.0.workers.run_to_its_end(&self.0.cancel, verb(Arc::clone(&self.0)), undo, GOODBYE)
    }

    /// Tells the registry, which would keep what it has, that nothing more comes. Nobody waits for the answer.
    fn abandon(&self, location: Url) {
        let inner = Arc::clone(&self.0);
        if let Ok(workers) = self.0.workers.handle() {
            workers.spawn(async move { inner.say_goodbye(location).await });
        }
    }

    fn begin(&self) -> Result<Upload, Error> {
        let undo = |inner: Arc<Inner>, upload: Upload| async move { inner.say_goodbye(upload.location).await };
        self.run_to_its_end(async move |inner: Arc<Inner>| inner.begin().await, undo)
    }

    /// `Some`: the registry lost the upload.
    fn commit(&self, location: Url, digest: Digest) -> Result<Option<Error>, Error> {
        self.run(async move |inner: Arc<Inner>| inner.commit(location, digest).await)
    }

    /// Where a broken upload can be continued, if it can.
    fn status(&self, upload: &Upload, size: u64) -> Option<Upload> {
        let location = upload.location.clone();
        let found = self.run(async move |inner: Arc<Inner>| inner.status(location).await);
        found.ok().filter(|found| found.offset <= size)
    }

    fn pause(&self, failures: u32) -> Result<(), Error> {
        let wait = self.0.setup.patience.before(failures);
        self.run(async move |_| {
            tokio::time::sleep(wait).await;
            Ok(())
        })
    }

    /// Reads the file on this thread while the workers send it.
    fn send_from(&self, upload: &Upload, blob: &Descriptor, open: Open<'_>, sent: Sent<'_>) -> Result<Part, Error> {
        let mut file = open().map_err(Error::io(format!("open blob {}", blob.digest)))?;
        file.seek(SeekFrom::Start(upload.offset)).map_err(Error::io(format!("read blob {}", blob.digest)))?;
        let (feed, body) = channel(WAITING_CHUNKS);
        let (tell, told) = mpsc::sync_channel(1);
        let (inner, cancel) = (Arc::clone(&self.0), self.0.cancel.clone());
        let (upload_there, size) = (upload.clone(), blob.size);
        self.0.workers.handle()?.spawn(async move {
            let _ = tell.send(cancel.unless(inner.patch(upload_there, size, body)).await);
        });
        let fed = feed_body(file, feed, upload.offset..blob.size, sent);
        let outcome = told.recv().unwrap_or_else(|_| Err(Error::Unavailable("the upload ended too early".to_owned())));
        fed.map_err(Error::io(format!("read blob {}", blob.digest)))?;
        outcome
    }
}

/// Ends when all is sent, or when nobody takes it any more.
fn feed_body(
    mut file: File,
    feed: Sender<io::Result<Bytes>>,
    range: std::ops::Range<u64>,
    sent: Sent<'_>,
) -> io::Result<()> {
    let mut position = range.start;
    while position < range.end {
        let most = usize::try_from(range.end - position).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut chunk = BytesMut::zeroed(most);
        let count = match file.read(&mut chunk) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the blob")),
            other => other,
        };
        let count = match count {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = feed.blocking_send(Err(error.kind().into()));
                return Err(error);
            }
            Ok(count) => count,
        };
        chunk.truncate(count);
        if feed.blocking_send(Ok(chunk.freeze())).is_err() {
            return Ok(());
        }
        position += count as u64;
        sent(position);
    }
    Ok(())
}

impl Inner {
    async fn begin(&self) -> Result<Upload, Error> {
        let session = self.pushing().await?;
        let ask = Ask::new(Method::POST, self.at("blobs/uploads/")).scope(self.scope("pull,push"));
        let response = session.send(&with_no_body(ask)?).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(Refusal::read(response).await.into_error());
        }
        let location = location(&session, &response).await?;
        drain(response).await;
        Ok(Upload { location, offset: 0 })
    }

    async fn patch(&self, upload: Upload, size: u64, body: Receiver<io::Result<Bytes>>) -> Result<Part, Error> {
        let session = self.pushing().await?;
        let mut ask = self.ask_at(Method::PATCH, upload.location.clone());
        ask = ask.header(CONTENT_TYPE, "application/octet-stream")?;
        ask = ask.header(CONTENT_LENGTH, &(size - upload.offset).to_string())?;
        if upload.offset > 0 && upload.offset < size {
            ask = ask.header(CONTENT_RANGE, &format!("{}-{}", upload.offset, size - 1))?;
        }
        let progress = Arc::new(Progress::new(size - upload.offset));
        let body = progress.watch(body);
        let answer = tokio::select! {
            answer = session.stream(&ask, body) => answer,
            () = progress.stalled(&self.setup.patience) => Err(Error::Unavailable("the registry takes no further byte".to_owned())),
        };
        let response = match answer {
            Ok(response) => response,
            Err(Error::Unavailable(text)) => return Ok(Part::Broken(Error::Unavailable(text))),
            Err(error) => return Err(error),
        };
        part(&session, response, size).await
    }

    async fn status(&self, at: Url) -> Result<Upload, Error> {
        let session = self.pushing().await?;
        let response = session.send(&self.ask_at(Method::GET, at)).await?;
        if response.status() != StatusCode::NO_CONTENT {
            return Err(Refusal::read(response).await.into_error());
        }
        let offset = received(&response).unwrap_or(0);
        Ok(Upload { location: location(&session, &response).await?, offset })
    }

    async fn commit(&self, mut at: Url, digest: Digest) -> Result<Option<Error>, Error> {
        at.query_pairs_mut().append_pair("digest", &digest.to_string());
        let session = self.pushing().await?;
        let ask = with_no_body(self.ask_at(Method::PUT, at))?;
        let response = session.send(&ask).await?;
        if response.status().is_success() {
            drain(response).await;
            return Ok(None);
        }
        let refusal = Refusal::read(response).await;
        // A commit whose answer was lost is repeated, and then the upload is gone and the blob is there.
        if refusal.status == StatusCode::NOT_FOUND {
            return Ok(if self.has(&digest).await? { None } else { Some(refusal.into_error()) });
        }
        Err(refusal.into_error())
    }

    async fn mount(&self, digest: &Digest, from: &str) -> Result<Mounted, Error> {
        let session = self.pushing().await?;
        let mut ask = Ask::new(Method::POST, self.at("blobs/uploads/")).scope(self.scope("pull,push"));
        ask = ask.scope(format!("repository:{from}:pull"));
        ask.query = vec![("mount", digest.to_string()), ("from", from.to_owned())];
        let response = session.send(&with_no_body(ask)?).await?;
        match response.status() {
            StatusCode::CREATED => {
                drain(response).await;
                Ok(Mounted::There)
            }
            StatusCode::ACCEPTED => {
                let upload = location(&session, &response).await?;
                drain(response).await;
                Ok(Mounted::Upload(upload))
            }
            // The upload that follows tells why, if this was about more than the other repository.
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => Ok(Mounted::No),
            _ => Err(Refusal::read(response).await.into_error()),
        }
    }

    /// Ends an upload of which nothing more comes, as far as the registry hears it.
    async fn say_goodbye(&self, at: Url) {
        let ended = tokio::time::timeout(GOODBYE, self.end(at)).await;
        tracing::debug!(ok = matches!(ended, Ok(Ok(_))), "an upload that failed is cancelled");
    }

    /// Ends an upload without a blob.
    async fn end(&self, at: Url) -> Result<(), Error> {
        let response = self.pushing().await?.send(&self.ask_at(Method::DELETE, at)).await?;
        drain(response).await;
        Ok(())
    }

    fn ask_at(&self, method: Method, at: Url) -> Ask {
        let mut ask = Ask::new(method, String::new()).scope(self.scope("pull,push"));
        ask.target = Target::Url(at);
        ask
    }
}

fn with_no_body(ask: Ask) -> Result<Ask, Error> {
    ask.header(CONTENT_LENGTH, "0")
}

async fn part(session: &Session, response: Response, size: u64) -> Result<Part, Error> {
    match response.status().as_u16() {
        201 | 202 | 204 => {
            let taken = received(&response);
            let location = location(session, &response).await?;
            drain(response).await;
            // 0 stands for nothing and for one byte alike.
            if taken.is_some_and(|taken| taken != size && taken != 0 && size > 1) {
                return Ok(Part::Broken(Error::Unavailable("the registry did not take all bytes".to_owned())));
            }
            Ok(Part::Complete(location))
        }
        401 | 404 | 408 | 416 | 429 | 500..=599 => Ok(Part::Broken(Refusal::read(response).await.into_error())),
        _ => Err(Refusal::read(response).await.into_error()),
    }
}

/// Bytes that the registry has, by `Range: 0-9` (which is 10; `0-0` is none).
fn received(response: &Response) -> Option<u64> {
    let value = response.headers().get(RANGE)?.to_str().ok()?;
    let (_, last) = value.trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}

/// Where an answer points to. A registry behind a proxy may say http of itself although it is reached by https.
async fn location(session: &Session, response: &Response) -> Result<Url, Error> {
    let wrong = || Error::Unavailable("the registry did not say where the upload goes".to_owned());
    let value = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(wrong)?;
    let mut url = response.url().join(value).map_err(|_| wrong())?;
    let home = session.known().await?.base;
    if home.scheme() == "https" && url.scheme() == "http" && url.host_str() == home.host_str() {
        let upgraded = url.set_scheme("https").is_ok() && url.set_port(home.port()).is_ok();
        debug_assert!(upgraded && same_origin(&url, &home));
    }
    if !matches!(url.scheme(), "http" | "https") || (home.scheme() == "https" && url.scheme() == "http") {
        return Err(Error::Invalid(format!("the registry wants the upload at {:?}, which is not safe", url.scheme())));
    }
    Ok(url)
}

/// When the connection last took something.
struct Progress {
    last: Mutex<(Instant, u64)>,
    size: u64,
}

impl Progress {
    fn new(size: u64) -> Progress {
        Progress { last: Mutex::new((Instant::now(), 0)), size }
    }

    fn watch(self: &Arc<Progress>, mut body: Receiver<io::Result<Bytes>>) -> Body {
        let progress = Arc::clone(self);
        Body::wrap_stream(futures_util::stream::poll_fn(move |context| {
            let chunk = body.poll_recv(context);
            if let std::task::Poll::Ready(Some(Ok(chunk))) = &chunk {
                let mut last = progress.last.lock().unwrap_or_else(PoisonError::into_inner);
                *last = (Instant::now(), last.1 + chunk.len() as u64);
            }
            chunk
        }))
    }

    /// Ends when nothing was taken for long. With the last byte the registry may begin to check.
    async fn stalled(&self, patience: &crate::settings::Patience) {
        loop {
            let (last, taken) = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let limit = if taken >= self.size { patience.commit } else { patience.stall };
            let Some(rest) = limit.checked_sub(last.elapsed()) else { return };
            tokio::time::sleep(rest.max(Duration::from_millis(1))).await;
        }
    }
}
