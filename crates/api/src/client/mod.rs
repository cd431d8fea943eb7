//! A small client of the Docker Engine API: HTTP/1.1 over a unix or TCP socket, TLS or a program (ssh), on a current-thread tokio runtime.
//!
//! Connections are opened when a request finds none idle and kept for the next one, so requests made at the same time
//! use one connection each. An upgraded (hijacked) connection leaves the client for good, as a plain blocking socket.

mod bare;
mod body;
mod command;
mod endpoint;
mod error;
mod exchange;
mod pool;
mod socket;
mod tls;

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Method, Request, header};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;

pub use bare::Bare;
pub use body::{Payload, Uploader};
pub use endpoint::{Endpoint, Tls, Verify, encode, query};
pub use error::Error;
pub use exchange::{Answer, Hijacked, Offered};

use body::Sending;
use socket::Socket;

const USER_AGENT: &str = concat!("dhow/", env!("CARGO_PKG_VERSION"));

/// Talks with one engine.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    idle: Mutex<Vec<SendRequest<Sending>>>,
}

impl Client {
    /// A client that has opened no connection yet.
    pub fn new(endpoint: Endpoint) -> Client {
        Client { endpoint, idle: Mutex::new(Vec::new()) }
    }

    /// Where the engine is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens one connection for a later request, so that its cost is paid while nothing else can be done.
    ///
    /// # Errors
    /// [`Error::Connect`] if nothing answers.
    pub async fn warm(&self) -> Result<(), Error> {
        let connection = self.open().await?;
        self.give_back(connection);
        Ok(())
    }

    /// Asks for `path` and reads the answer as JSON.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, Payload::Empty).await?.json().await
    }

    /// Posts to `path` and throws the answer's body away.
    pub async fn post(&self, path: &str, payload: Payload) -> Result<(), Error> {
        self.call(Method::POST, path, payload).await?.bytes().await.map(drop)
    }

    /// One request; a status of 400 or more becomes [`Error::Refused`]. The body has not been read yet.
    pub async fn call(&self, method: Method, path: &str, payload: Payload) -> Result<Answer<'_>, Error> {
        self.call_with(method, path, payload, &[]).await
    }

    /// As [`Client::call`], with further headers (`X-Registry-Auth`).
    pub async fn call_with(
        &self,
        method: Method,
        path: &str,
        payload: Payload,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer<'_>, Error> {
        let mut request = self.request(method, path, payload)?;
        for (name, value) in headers {
            let name = header::HeaderName::from_bytes(name.as_bytes());
            let value = header::HeaderValue::from_str(value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(Error::Request("a header holds what no header can".to_owned()));
            };
            request.headers_mut().insert(name, value);
        }
        let (connection, response) = self.send(request.map(Into::into)).await?;
        Answer { client: self, connection: Some(connection), response, rest: Vec::new() }.accepted().await
    }

    /// Posts to `path` and takes the connection over: `101 UPGRADED`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the engine's words, [`Error::NotUpgraded`] if it answered without taking over.
    pub async fn hijack(&self, path: &str, payload: Payload) -> Result<Hijacked, Error> {
        Hijacked::take(self.upgrade(path, payload, &[]).await?).await
    }

    /// As [`Client::hijack`], with a header that says why the connection may be taken over; the engine may as well not.
    ///
    /// # Errors
    /// [`Error::Refused`] with the engine's words.
    pub async fn offer(
        &self,
        path: &str,
        payload: Payload,
        (name, value): (&'static str, &'static str),
    ) -> Result<Offered<'_>, Error> {
        let why = (header::HeaderName::from_static(name), header::HeaderValue::from_static(value));
        Hijacked::offer(self.upgrade(path, payload, &[why]).await?).await
    }

    async fn upgrade(
        &self,
        path: &str,
        payload: Payload,
        more: &[(header::HeaderName, header::HeaderValue)],
    ) -> Result<Answer<'_>, Error> {
        let mut request = self.request(Method::POST, path, payload)?;
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, header::HeaderValue::from_static("tcp"));
        headers.extend(more.iter().cloned());
        let (connection, response) = self.send(request.map(Into::into)).await?;
        Ok(Answer { client: self, connection: Some(connection), response, rest: Vec::new() })
    }

    fn request(&self, method: Method, path: &str, payload: Payload) -> Result<Request<Payload>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.endpoint.host_header())
            .header(header::USER_AGENT, USER_AGENT);
        if let Some(kind) = payload.content_type() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        request.body(payload).map_err(|cause| Error::Request(cause.to_string()))
    }

    /// Sends on an idle connection if one is alive, else on a new one.
    async fn send(
        &self,
        mut request: Request<Sending>,
    ) -> Result<(SendRequest<Sending>, http::Response<hyper::body::Incoming>), Error> {
        while let Some(mut connection) = self.settled().await {
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut failure) => match failure.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Error::Broken(failure.into_error())),
                },
            }
        }
        let mut connection = self.open().await?;
        let response = connection.send_request(request).await.map_err(Error::Broken)?;
        Ok((connection, response))
    }

    /// A connection for something else than this client's requests, as a blocking socket.
    ///
    /// # Errors
    /// [`Error::Connect`] if nothing answers.
    pub async fn dial(&self) -> Result<std::os::fd::OwnedFd, Error> {
        Socket::connect(&self.endpoint).await?.into_blocking().map_err(Error::Stream)
    }

    async fn open(&self) -> Result<SendRequest<Sending>, Error> {
        let socket = Socket::connect(&self.endpoint).await?;
        let (sender, connection) = Builder::new().handshake(TokioIo::new(socket)).await.map_err(Error::Broken)?;
        tokio::spawn(async move {
            // A broken connection is reported to whoever waits for its answer.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    /// An idle connection. One whose answer was just read to its end may need a moment to see that itself.
    async fn settled(&self) -> Option<SendRequest<Sending>> {
        let ready = self.take_idle();
        if ready.is_some() || self.idle.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return ready;
        }
        tokio::task::yield_now().await;
        self.take_idle()
    }

    fn take_idle(&self) -> Option<SendRequest<Sending>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed());
        let ready = idle.iter().position(SendRequest::is_ready)?;
        Some(idle.swap_remove(ready))
    }

    fn give_back(&self, connection: SendRequest<Sending>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// A request body that is JSON.
pub fn json<T: serde::Serialize>(value: &T) -> Result<Payload, Error> {
    Ok(Payload::Json(Bytes::from(serde_json::to_vec(value).map_err(Error::Malformed)?)))
}

#[cfg(test)]
mod tests;
