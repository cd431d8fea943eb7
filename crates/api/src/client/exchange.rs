//! The engine's answer: a body read whole or piece by piece, or a connection taken over.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use http::{Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;

use super::body::Sending;
use super::socket::Socket;
use super::{Client, Error};
use crate::types::EXEC;

/// An error's body is read up to here; more is no message for people.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// The type of an answer whose output comes in frames.
pub(super) const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// An answer whose body has not been read yet.
#[derive(Debug)]
pub struct Answer<'client> {
    pub(super) client: &'client Client,
    pub(super) connection: Option<SendRequest<Sending>>,
    pub(super) response: Response<Incoming>,
    /// Read, but not yet part of a whole line.
    pub(super) rest: Vec<u8>,
}

impl Answer<'_> {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header's value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body as it comes, `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.response.body_mut().frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(cause)) => return Err(Error::Broken(cause)),
                None => {
                    if let Some(connection) = self.connection.take() {
                        self.client.give_back(connection);
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// The next non-empty line of the body without its line end, `None` at the end of the body.
    pub async fn line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.truncate(line.trim_ascii_end().len());
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            match self.chunk().await? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None if self.rest.trim_ascii().is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.rest))),
            }
        }
    }

    /// The next `length` bytes of the body, piece by piece: what follows a line that announced them.
    pub async fn exactly<E: From<Error>>(
        &mut self,
        mut length: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while length > 0 {
            if self.rest.is_empty() {
                match self.chunk().await? {
                    Some(bytes) => self.rest.extend_from_slice(&bytes),
                    None => return Err(Error::Stream(std::io::ErrorKind::UnexpectedEof.into()).into()),
                }
                continue;
            }
            let now = length.min(self.rest.len());
            take(&self.rest[..now])?;
            self.rest.drain(..now);
            length -= now;
        }
        Ok(())
    }

    /// The whole body.
    pub async fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    /// The whole body as JSON.
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes().await?).map_err(Error::Malformed)
    }

    /// Turns an error status into the engine's words.
    pub(super) async fn accepted(mut self) -> Result<Self, Error> {
        let status = self.status();
        if status < 400 {
            return Ok(self);
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_MESSAGE {
                break;
            }
        }
        Err(Error::Refused { status, message: message(&body, status) })
    }
}

/// The `message` of an error's body, or its text, or a word for its status.
pub(super) fn message(body: &[u8], status: u16) -> String {
    #[derive(serde::Deserialize)]
    struct Words {
        message: String,
    }
    if let Ok(Words { message }) = serde_json::from_slice(body) {
        return message.trim().to_owned();
    }
    let text = String::from_utf8_lossy(body).trim().to_owned();
    if text.is_empty() { format!("the engine answered with status {status} and no message") } else { text }
}

/// A connection taken over after an attach or an exec.
#[derive(Debug)]
pub struct Hijacked {
    /// Blocking; shut its writing half down to end the container's stdin.
    pub socket: OwnedFd,
    /// What had already come when the connection was taken over.
    pub first: Bytes,
    /// Output comes in frames of 8 bytes of header and a payload, not raw (`application/vnd.docker.multiplexed-stream`).
    pub framed: bool,
    /// The id of the exec that was started, if the answer names it ([`EXEC`]).
    pub exec: Option<String>,
}

/// What came of an offer to take the connection over.
#[derive(Debug)]
pub enum Offered<'client> {
    Taken(Hijacked),
    /// An answer as any other.
    Left(Answer<'client>),
}

impl Hijacked {
    pub(super) async fn take(answer: Answer<'_>) -> Result<Hijacked, Error> {
        match Hijacked::offer(answer).await? {
            Offered::Taken(taken) => Ok(taken),
            Offered::Left(answer) => Err(Error::NotUpgraded { status: answer.status() }),
        }
    }

    pub(super) async fn offer(answer: Answer<'_>) -> Result<Offered<'_>, Error> {
        let mut answer = answer.accepted().await?;
        if answer.status() != 101 {
            return Ok(Offered::Left(answer));
        }
        let exec = answer.header(EXEC).map(str::to_owned);
        let framed = answer.header(header::CONTENT_TYPE.as_str()) == Some(MULTIPLEXED);
        let upgraded = hyper::upgrade::on(&mut answer.response).await.map_err(Error::Broken)?;
        let Ok(parts) = upgraded.downcast::<TokioIo<Socket>>() else {
            return Err(Error::NotUpgraded { status: 101 });
        };
        let socket = parts.io.into_inner().into_blocking().map_err(Error::Stream)?;
        Ok(Offered::Taken(Hijacked { socket, first: parts.read_buf, framed, exec }))
    }
}
