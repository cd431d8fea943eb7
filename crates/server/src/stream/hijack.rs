//! Hijacked connections: after the answer's header the connection carries a process's streams, both ways.

use super::body;
use super::frames::Framing;
use super::gone::Watch;
use super::keys::DetachKeys;
use crate::conn::Conn;
use crate::version::ApiVersion;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use engine::{Attachment, Input, Output};
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

const RAW: &str = "application/vnd.docker.raw-stream";
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// How much output is gathered for one write.
const GATHER: usize = 64 << 10;
/// How long a client may still send after its process has ended, before the connection is closed under it.
const LINGER: Duration = Duration::from_secs(10);

/// What goes over the connection.
#[derive(Debug)]
pub struct Streams {
    pub framing: Framing,
    pub output: Source,
    pub input: Option<Input>,
    /// Looked for in what the client sends; terminals only.
    pub keys: Option<DetachKeys>,
}

/// Where output comes from.
#[derive(Debug)]
pub enum Source {
    Process(Output),
    /// Something the engine itself has to say, once.
    Text(Option<Bytes>),
}

impl Streams {
    /// The streams of an attachment. Keys are for terminals only.
    pub fn of(attachment: Attachment, keys: DetachKeys) -> Streams {
        Streams {
            framing: Framing::of_terminal(attachment.tty),
            output: Source::Process(attachment.output),
            input: attachment.input,
            keys: attachment.tty.then_some(keys),
        }
    }

    /// One text and the end.
    pub fn of_text(text: String, framing: Framing) -> Streams {
        Streams { framing, output: Source::Text(Some(text.into())), input: None, keys: None }
    }
}

/// Answers with 101 and goes on with what `begin` gives on the bare connection. A client that did not ask to upgrade gets 200
/// and the output as an ordinary body: HTTP leaves no way for its input.
///
/// `begin` runs after the answer: some clients throw away what arrives together with the answer's header.
pub fn answer<F>(parts: &mut Parts, version: ApiVersion, framing: Framing, begin: F) -> Response
where
    F: Future<Output = Streams> + Send + 'static,
{
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    match upgrade.filter(|_| parts.headers.contains_key(header::UPGRADE)) {
        Some(upgrade) => switched(upgrade, content_type(framing, version), begin),
        None => plain(begin),
    }
}

fn switched<F>(upgrade: OnUpgrade, kind: &'static str, begin: F) -> Response
where
    F: Future<Output = Streams> + Send + 'static,
{
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => carry(upgraded, begin.await).await,
            Err(error) => tracing::debug!(%error, "a connection was not handed over"),
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    response
}

fn plain<F>(begin: F) -> Response
where
    F: Future<Output = Streams> + Send + 'static,
{
    let (send, body) = body::streamed();
    tokio::spawn(async move {
        let mut streams = begin.await;
        while let Some(bytes) = gather(&mut streams.output, streams.framing).await {
            if send.send(bytes.freeze()).await.is_err() {
                return;
            }
        }
    });
    ([(header::CONTENT_TYPE, RAW)], body).into_response()
}

/// The type of an answer of output.
pub fn content_type(framing: Framing, version: ApiVersion) -> &'static str {
    if framing == Framing::Multiplexed && version.has(42) { MULTIPLEXED } else { RAW }
}

/// Moves bytes both ways until the process has ended, the client has gone, or it detached.
async fn carry(upgraded: Upgraded, streams: Streams) {
    let Ok(parts) = hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<Conn>>(upgraded) else {
        tracing::error!("an upgraded connection is of a kind this server never accepted");
        return;
    };
    let conn = parts.io.into_inner();
    let watch = match Watch::new(&conn) {
        Ok(watch) => watch,
        Err(error) => return tracing::error!(%error, "a hijacked connection cannot be watched"),
    };
    let (read, write) = tokio::io::split(conn);
    let feed = feed(read, parts.read_buf, streams.input, streams.keys);
    let show = show(write, streams.output, streams.framing);
    tokio::pin!(feed, show);
    tokio::select! {
        write = &mut show => {
            if let Some(mut write) = write {
                let _ = write.shutdown().await;
            }
            // Closing with unread input would reset the connection, and the client would take that for an error.
            let _ = tokio::time::timeout(LINGER, feed).await;
        }
        () = watch.gone() => {
            // What the client sent before it went still reaches the process.
            let _ = tokio::time::timeout(LINGER, feed).await;
        }
        end = &mut feed => if end == End::Closed {
            tokio::select! {
                write = &mut show => if let Some(mut write) = write { let _ = write.shutdown().await; },
                () = watch.gone() => {}
            }
        },
    }
}

/// How a client's input ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    Detached,
    Broken,
}

/// Gives the client's input to the process. What comes after the process has closed its stdin is thrown away.
async fn feed(mut read: ReadHalf<Conn>, first: Bytes, mut input: Option<Input>, mut keys: Option<DetachKeys>) -> End {
    let mut buffer = BytesMut::from(&first[..]);
    loop {
        let detached = match (&mut input, &mut keys) {
            (Some(process), Some(keys)) => {
                let typed = keys.take(&buffer);
                if !typed.bytes.is_empty() && process.write(&typed.bytes).await.is_err() {
                    input = None;
                }
                typed.detached
            }
            (Some(process), None) => {
                if !buffer.is_empty() && process.write(&buffer).await.is_err() {
                    input = None;
                }
                false
            }
            (None, _) => false,
        };
        if detached {
            return End::Detached;
        }
        buffer.clear();
        buffer.reserve(GATHER);
        match read.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => return End::Broken,
        }
    }
    if let Some(process) = input {
        process.close().await;
    }
    End::Closed
}

/// Writes the process's output to the client. `None`: the client is gone.
async fn show(mut write: WriteHalf<Conn>, mut output: Source, framing: Framing) -> Option<WriteHalf<Conn>> {
    while let Some(bytes) = gather(&mut output, framing).await {
        write.write_all(&bytes).await.ok()?;
    }
    Some(write)
}

/// The next output, with what else is there already.
async fn gather(source: &mut Source, framing: Framing) -> Option<BytesMut> {
    let mut bytes = BytesMut::new();
    match source {
        Source::Text(text) => framing.put_bytes(&mut bytes, engine::Stream::Stdout as u8, &text.take()?),
        Source::Process(output) => {
            framing.put(&mut bytes, &output.recv().await?);
            while bytes.len() < GATHER {
                let Some(Some(chunk)) = output.recv().now_or_never() else { break };
                framing.put(&mut bytes, &chunk);
            }
        }
    }
    Some(bytes)
}
