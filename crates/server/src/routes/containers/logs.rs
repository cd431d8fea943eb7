//! `GET /containers/{id}/logs`: what a container wrote, and what it writes.
//!
//! A client that follows costs a task, the open file and, once it has read what is there, no buffer. What it does not take
//! is not read: the log waits, not the container.

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::body::{self, Pieces};
use crate::stream::frames::{Framing, SYSTEM_ERROR};
use crate::stream::{hijack, reading};
use crate::times;
use crate::version::ApiVersion;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use bytes::BytesMut;
use engine::LogFollow;
use http::header;
use logs::read::{Entry, Range, Reader};
use std::io;
use std::time::Duration;

pub async fn get(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, query: Query) -> Answer {
    let wish = Wish::of(&query)?;
    let (log, reader) = app.blocking(move |engine| open(engine.logs(&id)?, wish.range)).await?;
    let framing = Framing::of_terminal(log.tty);
    let (send, body) = body::streamed_in_large_pieces();
    tokio::spawn(async move {
        if let Err(error) = tell(log, reader, wish, framing, &send).await {
            tracing::error!(%error, "a log cannot be read");
            let mut out = BytesMut::new();
            framing.put_bytes(&mut out, SYSTEM_ERROR, format!("Error grabbing logs: {error}\n").as_bytes());
            let _ = send.send(out.freeze()).await;
        }
    });
    Ok(([(header::CONTENT_TYPE, hijack::content_type(framing, version))], body).into_response())
}

fn open(log: LogFollow, range: Range) -> Result<(LogFollow, Reader), Refusal> {
    let failed = |error: io::Error| Refusal::internal(format!("cannot read the log: {error}"));
    let reader = Reader::open(&log.target, range).map_err(failed)?;
    Ok((log, reader))
}

const NO_STREAM: &str = "Bad parameters: you must choose at least one stream";

/// What a client wants of a log.
#[derive(Debug, Clone, Copy)]
struct Wish {
    range: Range,
    follow: bool,
    stdout: bool,
    stderr: bool,
    timestamps: bool,
    details: bool,
}

impl Wish {
    fn of(query: &Query) -> Result<Wish, Refusal> {
        let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
        if !stdout && !stderr {
            return Err(Refusal::invalid(NO_STREAM));
        }
        let range = Range {
            // Anything that is no number is everything, as with Docker.
            tail: query.get("tail").parse().ok(),
            since: times::of_query(query, "since")?,
            until: times::of_query(query, "until")?,
        };
        let (timestamps, details) = (query.flag("timestamps"), query.flag("details"));
        Ok(Wish { range, follow: query.flag("follow"), stdout, stderr, timestamps, details })
    }

    fn put(&self, entry: &Entry, framing: Framing, out: &mut BytesMut) {
        let is_stderr = entry.stream == logs::pump::Stream::Stderr;
        if (is_stderr && !self.stderr) || (!is_stderr && !self.stdout) {
            return;
        }
        if !self.timestamps && !self.details {
            return framing.put_bytes(out, entry.stream as u8, &entry.line);
        }
        let mut line = Vec::with_capacity(entry.line.len() + 32);
        if self.timestamps {
            line.extend_from_slice(times::nine_digits(entry.time).as_bytes());
            line.push(b' ');
        }
        if self.details {
            line.extend_from_slice(attributes(&entry.attributes).as_bytes());
            line.push(b' ');
        }
        line.extend_from_slice(&entry.line);
        framing.put_bytes(out, entry.stream as u8, &line);
    }
}

async fn tell(mut log: LogFollow, mut reader: Reader, wish: Wish, framing: Framing, send: &Pieces) -> io::Result<()> {
    let until = async {
        match wish.range.until.filter(|_| wish.follow) {
            Some(until) => {
                let wait = u64::try_from(until.saturating_sub(times::now())).unwrap_or(0);
                tokio::time::sleep(Duration::from_nanos(wait)).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::pin!(until);
    loop {
        // Asked before reading: what is written after that is news again.
        let complete = *log.grown.borrow_and_update();
        reader = send_rest(reader, wish, framing, send).await?;
        if !wish.follow || complete || send.is_closed() {
            return Ok(());
        }
        tokio::select! {
            () = &mut until => return Ok(()),
            () = send.closed() => return Ok(()),
            news = log.grown.changed() => if news.is_err() {
                send_rest(reader, wish, framing, send).await?;
                return Ok(());
            },
        }
    }
}

/// Sends what is there, a batch at a time.
async fn send_rest(mut reader: Reader, wish: Wish, framing: Framing, send: &Pieces) -> io::Result<Reader> {
    loop {
        let batch = reading::batch(reader, move |entry, out| wish.put(entry, framing, out)).await?;
        let gone = !batch.bytes.is_empty() && send.send(batch.bytes.freeze()).await.is_err();
        if batch.at_end || gone {
            return Ok(batch.reader);
        }
        reader = batch.reader;
    }
}

/// `key=value,key=value`, each escaped as in a query.
fn attributes(pairs: &[(String, String)]) -> String {
    let escaped = |text: &str| api::client::encode(text).replace("%20", "+");
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Result<Wish, Refusal> {
        Wish::of(&Query::of(&format!("/x?{text}").parse().expect("a uri")).expect("a query"))
    }

    fn shown(text: &str) -> String {
        let entry = Entry {
            stream: logs::pump::Stream::Stdout,
            time: 1_700_000_000_000_000_005,
            line: b"hello\n".to_vec(),
            attributes: vec![("a".to_owned(), "b c".to_owned()), ("d".to_owned(), "e,f".to_owned())],
        };
        let mut out = BytesMut::new();
        wish(text).expect("a wish").put(&entry, Framing::Raw, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_stream_must_be_asked_for() {
        assert_eq!(wish("follow=1").expect_err("refused").message, NO_STREAM);
        assert!(wish("stdout=1&since=x").is_err());
    }

    #[test]
    fn lines_are_told_as_docker_does() {
        assert_eq!(shown("stdout=1"), "hello\n");
        assert_eq!(shown("stderr=1"), "");
        assert_eq!(shown("stdout=1&timestamps=1"), "2023-11-14T22:13:20.000000005Z hello\n");
        assert_eq!(shown("stdout=1&timestamps=1&details=1"), "2023-11-14T22:13:20.000000005Z a=b+c,d=e%2Cf hello\n");
    }

    #[test]
    fn the_tail_is_a_number_or_everything() {
        assert_eq!(wish("stdout=1&tail=5").expect("a wish").range.tail, Some(5));
        assert_eq!(wish("stdout=1&tail=all").expect("a wish").range.tail, None);
        assert_eq!(wish("stdout=1").expect("a wish").range.tail, None);
    }
}
