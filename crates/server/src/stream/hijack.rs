//! Hijacked connections: after the answer's header the connection carries a process's streams, both ways.

use super::body;
use super::frames::Framing;
use super::gone::Watch;
use super::keys::DetachKeys;
use super::reading;
use crate::conn::Conn;
use crate::version::ApiVersion;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use engine::{Attach, Attachment, Input, Output};
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use logs::read::{Entry, Reader};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

const RAW: &str = "application/vnd.docker.raw-stream";
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// How much output is gathered for one write.
const GATHER: usize = 64 << 10;
/// How much of a client's input is read at once.
const TYPED: usize = 8 << 10;
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
    /// Done when the client leaves by its keys.
    pub on_detach: OnDetach,
    /// What is said after all output.
    pub last: Last,
}

/// Gives what is said after all output, once it is known.
#[derive(Default)]
pub struct Last(Option<Box<dyn FnOnce() -> Option<Bytes> + Send>>);

impl Last {
    pub fn new(say: impl FnOnce() -> Option<Bytes> + Send + 'static) -> Last {
        Last(Some(Box::new(say)))
    }

    fn say(self) -> Option<Bytes> {
        self.0.and_then(|say| say())
    }
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Last")
    }
}

/// What is to be done when a client leaves by its keys.
#[derive(Default)]
pub struct OnDetach(Option<Box<dyn FnOnce() + Send>>);

impl OnDetach {
    pub fn new(act: impl FnOnce() + Send + 'static) -> OnDetach {
        OnDetach(Some(Box::new(act)))
    }

    pub fn act(self) {
        if let Some(act) = self.0 {
            act();
        }
    }
}

impl std::fmt::Debug for OnDetach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnDetach")
    }
}

/// Where output comes from.
#[derive(Debug)]
pub enum Source {
    Process(Output),
    /// The log first.
    Earlier(Box<Earlier>),
    /// Something the engine itself has to say, once.
    Text(Option<Bytes>),
}

/// What is in the log, and then what comes.
#[derive(Debug)]
pub struct Earlier {
    reader: Reader,
    attach: Attach,
    tty: bool,
    then: Output,
}

impl Streams {
    /// The streams of an attachment to a container.
    pub fn of_container(mut attachment: Attachment, attach: Attach, keys: DetachKeys) -> Streams {
        let earlier = attachment.earlier.take();
        let tty = attachment.tty;
        let streams = Streams::of(attachment, keys);
        match (earlier, streams.output) {
            (Some(reader), Source::Process(then)) => {
                let output = Source::Earlier(Box::new(Earlier { reader, attach, tty, then }));
                Streams { output, ..streams }
            }
            (_, output) => Streams { output, ..streams },
        }
    }

    /// The streams of an attachment. Keys are for terminals only.
    pub fn of(attachment: Attachment, keys: DetachKeys) -> Streams {
        Streams {
            framing: Framing::of_terminal(attachment.tty),
            output: Source::Process(attachment.output),
            input: attachment.input,
            keys: attachment.tty.then_some(keys),
            on_detach: OnDetach::default(),
            last: Last::default(),
        }
    }

    /// One text and the end.
    pub fn of_text(text: String, framing: Framing) -> Streams {
        Streams {
            framing,
            output: Source::Text(Some(text.into())),
            input: None,
            keys: None,
            on_detach: OnDetach::default(),
            last: Last::default(),
        }
    }
}

/// Answers with 101 and goes on with what `begin` gives on the bare connection. A client that did not ask to upgrade gets 200
/// and the output as an ordinary body: HTTP leaves no way for its input.
///
/// `begin` runs after the answer, and output waits until its header was read: some clients throw away what arrives together with it.
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
    let watch = match Watch::of(&conn) {
        Ok(watch) => watch,
        Err(error) => return tracing::error!(%error, "a hijacked connection cannot be watched"),
    };
    let (read, write) = tokio::io::split(conn);
    let Streams { framing, output, input, keys, on_detach, last } = streams;
    let feed = feed(read, parts.read_buf, Typing { input, keys });
    let show = show(write, output, framing, last, &watch);
    tokio::pin!(feed, show);
    tokio::select! {
        write = &mut show => {
            if let Some(mut write) = write {
                let _ = write.shutdown().await;
            }
            // Closing with unread input would reset the connection, and the client would take that for an error.
            let _ = tokio::time::timeout(LINGER, feed).await;
        }
        () = departed(&watch) => {
            // What the client sent before it went still reaches the process.
            let _ = tokio::time::timeout(LINGER, feed).await;
        }
        end = &mut feed => match end {
            End::Closed => tokio::select! {
                write = &mut show => if let Some(mut write) = write { let _ = write.shutdown().await; },
                () = departed(&watch) => {}
            },
            End::Detached => on_detach.act(),
            End::Broken => {}
        },
    }
}

/// Returns when the client has closed both ways.
async fn departed(watch: &Watch) {
    if let Err(error) = watch.hung_up().await {
        tracing::error!(%error, "a hijacked connection cannot be watched");
    }
}

/// How a client's input ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    Detached,
    Broken,
}

/// What a client types, on its way to the process.
#[derive(Debug)]
pub struct Typing {
    pub input: Option<Input>,
    pub keys: Option<DetachKeys>,
}

impl Typing {
    /// Gives `bytes` to the process; true when the client detached. What comes after the process has closed its stdin is
    /// thrown away.
    pub async fn take(&mut self, bytes: &[u8]) -> bool {
        let Some(process) = &mut self.input else { return false };
        let typed = self.keys.as_mut().map(|keys| keys.take(bytes));
        let detached = typed.as_ref().is_some_and(|typed| typed.detached);
        let bytes = typed.as_ref().map_or(bytes, |typed| &typed.bytes);
        if !bytes.is_empty() && process.write(bytes).await.is_err() {
            self.input = None;
        }
        detached
    }

    /// The client sent its end.
    pub async fn close(self) {
        if let Some(process) = self.input {
            process.close().await;
        }
    }
}

/// Gives the client's input to the process.
async fn feed(mut read: ReadHalf<Conn>, first: Bytes, mut typing: Typing) -> End {
    if typing.take(&first).await {
        return End::Detached;
    }
    // Nothing is kept for a client that sends nothing.
    let mut buffer = BytesMut::new();
    loop {
        buffer.clear();
        buffer.reserve(TYPED);
        match read.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(_) if typing.take(&buffer).await => return End::Detached,
            Ok(_) => {}
            Err(_) => return End::Broken,
        }
    }
    typing.close().await;
    End::Closed
}

/// Writes the process's output to the client. `None`: the client is gone.
async fn show(
    mut write: WriteHalf<Conn>,
    mut output: Source,
    framing: Framing,
    last: Last,
    watch: &Watch,
) -> Option<WriteHalf<Conn>> {
    let mut next = gather(&mut output, framing).await;
    watch.has_read().await;
    while let Some(bytes) = next {
        write.write_all(&bytes).await.ok()?;
        next = gather(&mut output, framing).await;
    }
    if let Some(bytes) = last.say() {
        write.write_all(&bytes).await.ok()?;
    }
    Some(write)
}

/// The next output, with what else is there already.
pub async fn gather(source: &mut Source, framing: Framing) -> Option<BytesMut> {
    while matches!(source, Source::Earlier(_)) {
        let Source::Earlier(earlier) = std::mem::replace(source, Source::Text(None)) else { break };
        let bytes;
        (bytes, *source) = earlier.read(framing).await;
        if !bytes.is_empty() {
            return Some(bytes);
        }
    }
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
        Source::Earlier(_) => {}
    }
    Some(bytes)
}

impl Earlier {
    /// Some more of the log, and where the rest comes from.
    async fn read(self: Box<Self>, framing: Framing) -> (BytesMut, Source) {
        let Earlier { reader, attach, tty, then } = *self;
        let put = move |entry: &Entry, out: &mut BytesMut| {
            if attach.wants(entry.stream, tty) {
                framing.put_bytes(out, entry.stream as u8, &entry.line);
            }
        };
        match reading::batch(reader, put).await {
            Ok(batch) if !batch.at_end => {
                (batch.bytes, Source::Earlier(Box::new(Earlier { reader: batch.reader, attach, tty, then })))
            }
            Ok(batch) => (batch.bytes, Source::Process(then)),
            Err(error) => {
                tracing::error!(%error, "a log cannot be read");
                (BytesMut::new(), Source::Process(then))
            }
        }
    }
}
