//! One request, one answer: connections by kind of TLS, and failures in Go's words.

use crate::Error;
use crate::names::{NameError, Names};
use crate::settings::{Patience, Settings};
use crate::tls::Tls;
use http::Method;
use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy, Proxy, Request, Response, Url};
use std::collections::HashMap;
use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A body that streams may take this long as long as it moves.
const LONGEST_STREAM: Duration = Duration::from_secs(7 * 24 * 3600);

/// The HTTP clients, each built when the first request needs it.
pub(crate) struct Transport {
    clients: Mutex<HashMap<Tls, Client>>,
    proxies: Proxies,
    patience: Patience,
    names: Names,
}

struct Proxies {
    http: Option<String>,
    https: Option<String>,
    none_for: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub stage: Stage,
    /// In Go's words: `dial tcp 127.0.0.1:1: connect: connection refused`.
    reason: String,
    request: String,
}

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing was sent.
    Connect,
    /// The connection broke or nothing came.
    Answer,
    /// The request cannot be sent at all.
    Setup,
}

impl Failure {
    pub(crate) fn new(stage: Stage, reason: impl Into<String>, request: String) -> Failure {
        Failure { stage, reason: reason.into(), request }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        let text = format!("{}: {}", failure.request, failure.reason);
        match failure.stage {
            Stage::Setup => Error::Invalid(text),
            _ => Error::Unavailable(text),
        }
    }
}

impl Transport {
    pub(crate) fn new(settings: &Settings, patience: &Patience, names: &Names) -> Transport {
        let given = |proxy: &Option<String>| proxy.clone().filter(|proxy| !proxy.is_empty());
        let none_for = format!("localhost,127.0.0.0/8,::1,{}", settings.no_proxy.as_deref().unwrap_or_default());
        let proxies = Proxies { http: given(&settings.http_proxy), https: given(&settings.https_proxy), none_for };
        let clients = Mutex::default();
        Transport { clients, proxies, patience: patience.clone(), names: names.clone() }
    }

    /// Sends one request and waits for the head of its answer.
    pub(crate) async fn execute(&self, tls: &Tls, request: Request) -> Result<Response, Failure> {
        let (method, url) = (request.method().clone(), request.url().clone());
        let fail = |stage, reason: String| Failure::new(stage, reason, operation(&method, &url));
        let client = self.client(tls).map_err(|error| fail(Stage::Setup, base::chain(&error)))?;
        let limit = self.limit(&request);
        let answer = tokio::time::timeout(limit + self.patience.connect, client.execute(request)).await;
        let outcome = match answer {
            Err(_) => Err(fail(Stage::Answer, "no answer in time".to_owned())),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let stage = if error.is_connect() { Stage::Connect } else { Stage::Answer };
                Err(fail(stage, self.reason(&error, &url).await))
            }
        };
        match &outcome {
            Ok(response) => tracing::debug!(request = operation(&method, &url), status = %response.status(), "answer"),
            Err(failure) => tracing::debug!(request = failure.request, reason = failure.reason, "no answer"),
        }
        outcome
    }

    /// A body that streams has its own watch; a PUT lets a registry check what it got.
    fn limit(&self, request: &Request) -> Duration {
        match (request.body(), request.method()) {
            (Some(body), _) if body.as_bytes().is_none() => LONGEST_STREAM,
            (_, &Method::PUT) => self.patience.commit,
            _ => self.patience.stall,
        }
    }

    fn client(&self, tls: &Tls) -> Result<Client, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(tls) {
            return Ok(client.clone());
        }
        let client = self.build(tls)?;
        clients.insert(tls.clone(), client.clone());
        Ok(client)
    }

    /// HTTP/1.1 only: each layer has its own connection, so a reader that is slow never holds up the others.
    fn build(&self, tls: &Tls) -> Result<Client, Error> {
        let wrong = |error: reqwest::Error| Error::Invalid(format!("cannot set up HTTP: {}", base::chain(&error)));
        let mut builder = Client::builder()
            .user_agent(concat!("dhow/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls.config()?)
            .dns_resolver(self.names.clone())
            .redirect(Policy::none())
            .connect_timeout(self.patience.connect)
            .http1_only()
            .retry(reqwest::retry::never())
            .no_proxy();
        let except = NoProxy::from_string(&self.proxies.none_for);
        if let Some(proxy) = &self.proxies.http {
            builder = builder.proxy(Proxy::http(proxy).map_err(wrong)?.no_proxy(except.clone()));
        }
        if let Some(proxy) = &self.proxies.https {
            builder = builder.proxy(Proxy::https(proxy).map_err(wrong)?.no_proxy(except));
        }
        builder.build().map_err(wrong)
    }

    async fn reason(&self, error: &reqwest::Error, url: &Url) -> String {
        if let Some(name) = find::<NameError>(error) {
            return format!("dial tcp: {name}");
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return tls_reason(tls, url);
        }
        let what = match find::<io::Error>(error) {
            _ if error.is_timeout() => "i/o timeout".to_owned(),
            Some(io) => io_reason(io),
            None => innermost(error),
        };
        if !error.is_connect() {
            return what;
        }
        let call = if error.is_timeout() { "" } else { "connect: " };
        match self.address(url).await {
            Some(address) => format!("dial tcp {address}: {call}{what}"),
            None => format!("dial tcp: {call}{what}"),
        }
    }

    async fn address(&self, url: &Url) -> Option<std::net::SocketAddr> {
        let address = self.names.lookup(url.host_str()?).await.ok()?.into_iter().next()?;
        Some((address, url.port_or_known_default()?).into())
    }
}

/// `Get "https://reg.example/v2/"`, without what may be secret: a query, a user.
pub(crate) fn operation(method: &Method, url: &Url) -> String {
    let lower = method.as_str().to_lowercase();
    let verb = lower.get(..1).unwrap_or_default().to_uppercase() + lower.get(1..).unwrap_or_default();
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Neither fails for an address that was asked.
    let _ = shown.set_username("").and_then(|()| shown.set_password(None));
    format!("{verb} \"{shown}\"")
}

/// The first cause of a type, also inside of an `io::Error`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    if let Some(found) = error.downcast_ref::<T>() {
        return Some(found);
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = inner.map(|inner| inner as &(dyn StdError + 'static));
    find(inner.or_else(|| error.source())?)
}

fn innermost(error: &reqwest::Error) -> String {
    let mut deepest: &dyn StdError = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        ErrorKind::HostUnreachable => "no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        ErrorKind::TimedOut => "i/o timeout".to_owned(),
        ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => error.to_string(),
    }
}

fn tls_reason(error: &rustls::Error, url: &Url) -> String {
    use rustls::CertificateError as C;
    let host = url.host_str().unwrap_or_default();
    let why = match error {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            return "http: server gave HTTP response to HTTPS client".to_owned();
        }
        rustls::Error::InvalidCertificate(C::UnknownIssuer) => "certificate signed by unknown authority".to_owned(),
        rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. } | C::NotValidYet) => {
            "certificate has expired or is not yet valid".to_owned()
        }
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            format!("certificate is not valid for {host}")
        }
        rustls::Error::InvalidCertificate(other) => other.to_string(),
        other => return format!("tls: {other}"),
    };
    format!("tls: failed to verify certificate: x509: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_shows_nothing_secret() {
        let url = Url::parse("https://ann:s3cret@cdn.example/blob?X-Signature=s3cret#f").unwrap();
        assert_eq!(operation(&Method::GET, &url), "Get \"https://cdn.example/blob\"");
    }
}
