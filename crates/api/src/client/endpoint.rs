//! Where an engine listens, as people write it, and the escaping of what goes into a request's path.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::Error;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:///path`
    Unix(PathBuf),
    /// `tcp://IP:PORT`; names other than `localhost` are not resolved.
    Tcp(SocketAddr),
    /// The same with TLS.
    Tls(Tls),
    /// A program whose stdin and stdout are the connection: `ssh HOST dhow system dial-stdio`. `shown` is how people wrote it.
    Command { shown: String, words: Vec<String> },
}

/// An engine behind TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub address: SocketAddr,
    /// What its certificate is for: a name or an address.
    pub name: String,
    pub verify: Verify,
    /// This client's certificate and key: PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What is asked of an engine's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// That this authority signed it, and nobody else: a PEM file.
    Authority(PathBuf),
    /// Nothing.
    Nothing,
}

impl Endpoint {
    /// What stands in the `Host` header; for a unix socket a name that can resolve nowhere.
    pub(super) fn host_header(&self) -> String {
        match self {
            Endpoint::Unix(_) | Endpoint::Command { .. } => "api.dhow".to_owned(),
            Endpoint::Tcp(address) => address.to_string(),
            Endpoint::Tls(tls) => format!("{}:{}", tls.name, tls.address.port()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Endpoint, Error> {
        let wrong = |reason| Error::Address { text: text.to_owned(), reason };
        if let Some(path) = text.strip_prefix("unix://") {
            return match path {
                "" => Err(wrong("the path of the socket is missing")),
                path => Ok(Endpoint::Unix(path.into())),
            };
        }
        if text.starts_with('/') {
            return Ok(Endpoint::Unix(text.into()));
        }
        if ["ssh://", "npipe://", "fd://", "https://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(wrong("only unix:// and tcp:// are supported"));
        }
        let rest = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        tcp(rest.trim_end_matches('/')).ok_or_else(|| wrong("expected unix:///PATH or tcp://IP:PORT"))
    }
}

fn tcp(text: &str) -> Option<Endpoint> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Endpoint::Tcp(address));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "2375"));
    let ip = match host {
        "localhost" | "" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.trim_start_matches('[').trim_end_matches(']').parse().ok()?,
    };
    Some(Endpoint::Tcp(SocketAddr::new(ip, port.parse().ok()?)))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp(address) => write!(f, "tcp://{address}"),
            Endpoint::Tls(tls) => write!(f, "tcp://{}:{}", tls.name, tls.address.port()),
            Endpoint::Command { shown, .. } => f.write_str(shown),
        }
    }
}

/// One segment of a path or one value of a query, percent-encoded (RFC 3986: all but unreserved characters).
pub fn encode(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    out
}

/// `path?key=value&...`, leaving out every pair without a value.
pub fn query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut out = path.to_owned();
    let mut mark = '?';
    for (key, value) in pairs {
        let Some(value) = value else { continue };
        out.push(mark);
        out.push_str(key);
        out.push('=');
        out.push_str(&encode(value));
        mark = '&';
    }
    out
}
