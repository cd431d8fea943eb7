//! A process's streams over a websocket: every message is raw output, or input; nothing is multiplexed.

use super::frames::Framing;
use super::hijack::{Streams, Typing, gather};
use crate::version::ApiVersion;
use axum::extract::ws::{Message, WebSocket};
use bytes::BytesMut;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;

/// Bytes of a message that a client may send.
pub const MOST_SENT: usize = 1 << 20;

/// How long a client may take to answer that the streams have ended.
const LINGER: Duration = Duration::from_secs(10);

/// How output is put into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes as they are.
    Binary,
    /// Clients before API 1.28 read text only.
    Text,
}

impl Kind {
    pub fn of(version: ApiVersion) -> Kind {
        if version.has(28) { Kind::Binary } else { Kind::Text }
    }

    fn message(self, bytes: BytesMut) -> Message {
        match self {
            Kind::Binary => Message::Binary(bytes.freeze()),
            Kind::Text => Message::Text(String::from_utf8_lossy(&bytes).into_owned().into()),
        }
    }
}

/// Moves messages both ways until the process has ended or the client has gone or detached.
pub async fn carry(socket: WebSocket, streams: Streams, kind: Kind) {
    let (mut send, receive) = socket.split();
    let Streams { output, input, keys, on_detach, .. } = streams;
    let feed = feed(receive, Typing { input, keys });
    tokio::pin!(feed);
    let detached = {
        let show = show(&mut send, output, kind);
        tokio::pin!(show);
        tokio::select! {
            () = &mut show => None,
            detached = &mut feed => Some(detached),
        }
    };
    let _ = send.close().await;
    match detached {
        Some(true) => on_detach.act(),
        Some(false) => {}
        None => drop(tokio::time::timeout(LINGER, feed).await),
    }
}

/// True when the client detached by its keys.
async fn feed(mut receive: SplitStream<WebSocket>, mut typing: Typing) -> bool {
    while let Some(Ok(message)) = receive.next().await {
        let detached = match &message {
            Message::Binary(bytes) => typing.take(bytes).await,
            Message::Text(text) => typing.take(text.as_bytes()).await,
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) => false,
        };
        if detached {
            return true;
        }
    }
    typing.close().await;
    false
}

async fn show(send: &mut SplitSink<WebSocket, Message>, mut output: super::hijack::Source, kind: Kind) {
    while let Some(bytes) = gather(&mut output, Framing::Raw).await {
        if send.send(kind.message(bytes)).await.is_err() {
            return;
        }
    }
}
