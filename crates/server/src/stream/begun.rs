//! Answers that are decided by their first piece: what fails before it is a plain error with its status, what fails later is
//! told in the stream or breaks it off.

use crate::app::App;
use crate::status::{Answer, Refusal};
use api::types::{Progress, ProgressError};
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use engine::Engine;
use futures_util::{Stream, StreamExt};
use http::header;
use registry::Cancel;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};

/// Lines that a slow reader may be behind before mere numbers are left out.
const BEHIND: usize = 32;
/// Lines that a reader may be behind before one who tells more than anybody may keep waits for him.
const FAR_BEHIND: usize = 256;
/// How often he looks whether the reader has caught up or gone.
const LOOK: Duration = Duration::from_millis(5);
/// Bytes of a piece of an archive.
const PIECE: usize = 64 << 10;
/// Pieces of an archive on their way.
const PIECES: usize = 8;

/// Stops work when its client has gone.
#[derive(Debug, Default)]
pub struct Client(Cancel);

impl Client {
    /// What the work is to watch.
    pub fn cancel(&self) -> Cancel {
        self.0.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Writes the lines of a progress stream.
#[derive(Debug, Clone)]
pub struct Teller {
    lines: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
    begun: Arc<AtomicBool>,
}

impl Teller {
    /// A line that must arrive.
    pub fn tell<T: serde::Serialize>(&self, line: &T) {
        self.begun.store(true, Ordering::Release);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _ = self.lines.send(super::body::line(line));
    }

    /// A line of which there may be any number: waits for a reader who is far behind, so that they do not fill the memory. Only for
    /// blocking threads.
    pub fn pour<T: serde::Serialize>(&self, line: &T) {
        while self.waiting.load(Ordering::Acquire) > FAR_BEHIND && !self.lines.is_closed() {
            std::thread::park_timeout(LOOK);
        }
        self.tell(line);
    }

    /// A line, and the bytes that it announces; waits as [`Teller::pour`]. Fails when the reader has gone.
    pub fn pour_with<T: serde::Serialize>(&self, line: &T, bytes: &[u8]) -> io::Result<()> {
        while self.waiting.load(Ordering::Acquire) > FAR_BEHIND && !self.lines.is_closed() {
            std::thread::park_timeout(LOOK);
        }
        self.begun.store(true, Ordering::Release);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let mut whole = super::body::line(line).to_vec();
        whole.extend_from_slice(bytes);
        self.lines.send(whole.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// A line that the next one of its kind makes old: left out when the reader is behind.
    pub fn hint<T: serde::Serialize>(&self, line: &T) {
        if self.waiting.load(Ordering::Acquire) < BEHIND {
            self.tell(line);
        }
    }

    fn end(&self, done: Result<(), Refusal>) -> Result<(), Refusal> {
        match done {
            Err(refusal) if self.begun.load(Ordering::Acquire) => {
                self.tell(&failed(refusal.message));
                Ok(())
            }
            other => other,
        }
    }
}

/// The last line of a stream that went wrong.
pub fn failed(message: String) -> Progress {
    Progress {
        error_detail: Some(ProgressError { code: None, message: message.clone() }),
        error: Some(message),
        ..Progress::default()
    }
}

/// Does `work` on a blocking thread; what it tells is the answer.
pub async fn progress<F>(app: &App, client: Client, work: F) -> Answer
where
    F: FnOnce(&Engine, &Teller) -> Result<(), Refusal> + Send + 'static,
{
    let (lines, receive) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let teller = Teller { lines, waiting: waiting.clone(), begun: Arc::default() };
    let engine = app.engine.clone();
    let task = tokio::task::spawn_blocking(move || {
        let done = work(&engine, &teller);
        teller.end(done)
    });
    let lines = UnboundedReceiverStream::new(receive).map(move |line| {
        waiting.fetch_sub(1, Ordering::AcqRel);
        Ok(line)
    });
    answer("application/json", lines, task, client).await
}

/// Writes the bytes of an archive. Waits for its reader; fails when that has gone.
#[derive(Debug)]
pub struct Sink {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
    ended: bool,
}

impl Sink {
    fn new(pieces: mpsc::Sender<io::Result<Bytes>>) -> Sink {
        Sink { pieces, piece: Vec::with_capacity(PIECE), ended: false }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.pieces.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// The archive is whole.
    fn end(mut self) {
        self.ended = self.send().is_ok();
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Drop for Sink {
    /// An archive that is cut short must not look whole.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let broken = || Err(io::ErrorKind::UnexpectedEof.into());
        if let Err(mpsc::error::TrySendError::Full(_)) = self.pieces.try_send(broken()) {
            let _ = self.pieces.blocking_send(broken());
        }
    }
}

/// Does `work` on a blocking thread; what it writes is the answer.
pub async fn archive<F>(app: &App, kind: &'static str, work: F) -> Answer
where
    F: FnOnce(&Engine, &mut Sink) -> Result<(), Refusal> + Send + 'static,
{
    let (pieces, receive) = mpsc::channel(PIECES);
    let engine = app.engine.clone();
    let task = tokio::task::spawn_blocking(move || {
        let mut sink = Sink::new(pieces);
        work(&engine, &mut sink)
            .inspect_err(|refusal| tracing::debug!("an archive ends early: {}", refusal.message))?;
        sink.end();
        Ok(())
    });
    answer(kind, ReceiverStream::new(receive), task, Client::default()).await
}

/// The answer whose body is `pieces`, or the error that came before the first of them.
async fn answer(
    kind: &'static str,
    mut pieces: impl Stream<Item = io::Result<Bytes>> + Unpin + Send + 'static,
    task: tokio::task::JoinHandle<Result<(), Refusal>>,
    client: Client,
) -> Answer {
    let headers = [(header::CONTENT_TYPE, kind)];
    let first = match pieces.next().await {
        Some(Ok(first)) => first,
        // Nothing was written: why is the task's answer.
        Some(Err(_)) | None => {
            let failed = "the engine failed in the middle of this request; its log tells more";
            task.await.map_err(|_| Refusal::internal(failed))??;
            return Ok((headers, Body::empty()).into_response());
        }
    };
    let rest = futures_util::stream::once(std::future::ready(Ok(first))).chain(pieces);
    let body = rest.map(move |piece| {
        let _ = &client;
        piece
    });
    Ok((headers, Body::from_stream(body)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn task(done: Result<(), Refusal>) -> tokio::task::JoinHandle<Result<(), Refusal>> {
        tokio::spawn(std::future::ready(done))
    }

    #[tokio::test]
    async fn what_fails_before_the_first_piece_is_a_plain_error() {
        let (pieces, receive) = mpsc::channel(1);
        drop(Sink::new(pieces));
        let refused =
            answer("x/y", ReceiverStream::new(receive), task(Err(Refusal::not_found("no"))), Client::default()).await;
        assert_eq!(refused.err(), Some(Refusal::not_found("no")));
    }

    #[tokio::test]
    async fn what_fails_later_breaks_an_archive_off() {
        let (pieces, receive) = mpsc::channel(4);
        let writer = tokio::task::spawn_blocking(move || {
            let mut sink = Sink::new(pieces);
            sink.write_all(&[7; PIECE]).expect("written");
        });
        writer.await.expect("written");
        let answer = answer("x/y", ReceiverStream::new(receive), task(Ok(())), Client::default()).await;
        assert!(answer.expect("begun").into_body().collect().await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_goes_stops_the_work() {
        let client = Client::default();
        let cancel = client.cancel();
        let (pieces, receive) = mpsc::channel(1);
        pieces.send(Ok(Bytes::from_static(b"x"))).await.expect("sent");
        let answer = answer("x/y", ReceiverStream::new(receive), task(Ok(())), client).await.expect("begun");
        assert!(!cancel.is_cancelled());
        drop(answer);
        assert!(cancel.is_cancelled());
    }

    #[test]
    fn a_slow_reader_misses_numbers_only() {
        let (lines, mut receive) = mpsc::unbounded_channel();
        let teller = Teller { lines, waiting: Arc::default(), begun: Arc::default() };
        (0..BEHIND + 10).for_each(|number| teller.hint(&number));
        teller.tell(&"end");
        let mut count = 0;
        while receive.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, BEHIND + 1);
    }

    #[test]
    fn output_without_end_waits_for_its_reader_until_he_goes() {
        let (lines, receive) = mpsc::unbounded_channel();
        let teller = Teller { lines, waiting: Arc::default(), begun: Arc::default() };
        let own = teller.clone();
        let writer = std::thread::spawn(move || (0..FAR_BEHIND + 10).for_each(|number| own.pour(&number)));
        while teller.waiting.load(Ordering::Acquire) <= FAR_BEHIND {
            std::thread::yield_now();
        }
        assert!(!writer.is_finished());
        drop(receive);
        writer.join().expect("ended");
    }

    #[test]
    fn an_error_after_the_first_line_is_the_last_line() {
        let (lines, mut receive) = mpsc::unbounded_channel();
        let teller = Teller { lines, waiting: Arc::default(), begun: Arc::default() };
        assert!(teller.end(Err(Refusal::invalid("early"))).is_err());
        teller.tell(&1);
        assert!(teller.end(Err(Refusal::invalid("late"))).is_ok());
        receive.try_recv().expect("the first line");
        assert_eq!(
            receive.try_recv().expect("the last"),
            "{\"errorDetail\":{\"message\":\"late\"},\"error\":\"late\"}\r\n"
        );
    }
}
