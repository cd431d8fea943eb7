//! Any address, fetched: content that nothing but its server vouches for, of a size that only its end tells.

use crate::client::Cancel;
use crate::error::Error;
use crate::setup::{Setup, Trust};
use crate::tls::Tls;
use crate::token::basic;
use crate::workers::Workers;
use bytes::{Buf, Bytes};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION};
use http::{HeaderValue, Method, StatusCode};
use reqwest::{Request, Response, Url};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Chunks that wait for the reader.
const WAITING_CHUNKS: usize = 16;

pub(crate) fn fetch(
    workers: &Arc<Workers>,
    setup: Arc<Setup>,
    url: &str,
    cancel: &Cancel,
) -> Result<Box<dyn Read + Send>, Error> {
    let request = request(url)?;
    let stall = setup.patience.stall;
    let response =
        workers.run(cancel, async move { Ok(setup.follow(&Tls::default(), request, Trust::ByName).await?) })?;
    check(response.status())?;
    let (tell, pieces) = channel(WAITING_CHUNKS);
    workers.handle()?.spawn(pump(response, stall, tell, cancel.clone()));
    Ok(Box::new(Reader {
        pieces,
        current: Bytes::new(),
        ended: false,
        cancel: cancel.clone(),
        _workers: Arc::clone(workers),
    }))
}

/// A user in the address is asked as, and never part of what is shown.
fn request(text: &str) -> Result<Request, Error> {
    let wrong = |why: &str| Error::Invalid(format!("cannot fetch an address: {why}"));
    let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("expected http:// or https:// and a host"));
    }
    let decoded = |text: &str| percent_decoded(text).ok_or_else(|| wrong("its user is no text"));
    let (username, password) = (decoded(url.username())?, decoded(url.password().unwrap_or_default())?);
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| wrong("expected a host"))?;
    let mut request = Request::new(Method::GET, url);
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !username.is_empty() || !password.is_empty() {
        request.headers_mut().insert(AUTHORIZATION, basic(&username, &password)?);
    }
    Ok(request)
}

/// RFC 3986, 2.1. The parser of addresses leaves whole escapes only.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let value = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

/// In Docker's words.
fn check(status: StatusCode) -> Result<(), Error> {
    let text = format!("Got HTTP status code >= 400: {status}");
    match status.as_u16() {
        200..=299 => Ok(()),
        401 | 403 => Err(Error::Denied(text)),
        404 | 410 => Err(Error::NotFound(text)),
        408 | 429 | 500..=599 => Err(Error::Unavailable(text)),
        400..=499 => Err(Error::Invalid(text)),
        _ => Err(Error::Unavailable(format!("cannot fetch an address: its server answers {status}"))),
    }
}

/// A piece of the content, its end (`None`), or what went wrong.
type Piece = Result<Option<Bytes>, Error>;

async fn pump(response: Response, stall: Duration, tell: Sender<Piece>, cancel: Cancel) {
    let last = tokio::select! {
        outcome = deliver(response, stall, &tell) => outcome,
        () = tell.closed() => return,
        // The reader sees it itself, also while it waits: the sender goes.
        () = cancel.cancelled() => return,
    };
    let _ = tell.send(last.map(|()| None)).await;
}

async fn deliver(mut response: Response, stall: Duration, tell: &Sender<Piece>) -> Result<(), Error> {
    let failed = |why: &str| Error::Unavailable(format!("cannot read {}: {why}", shown(response.url())));
    let (late, cut) = (failed("no further byte in time"), failed("unexpected EOF"));
    loop {
        match tokio::time::timeout(stall, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                if tell.send(Ok(Some(chunk))).await.is_err() {
                    return Ok(());
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(_)) => return Err(cut),
            Err(_) => return Err(late),
        }
    }
}

/// Without a query, which may hold a signature.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.into()
}

struct Reader {
    pieces: Receiver<Piece>,
    current: Bytes,
    ended: bool,
    cancel: Cancel,
    /// The client may go before its content.
    _workers: Arc<Workers>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other(Error::Cancelled));
            }
            match self.pieces.blocking_recv() {
                Some(Ok(Some(piece))) => self.current = piece,
                Some(Ok(None)) => self.ended = true,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None if self.cancel.is_cancelled() => return Err(io::Error::other(Error::Cancelled)),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
