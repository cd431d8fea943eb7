//! Why a request got no good answer.

use base::{Kind, Kinded};

/// Why a request got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers at the address.
    #[error("cannot connect to the engine at {endpoint}")]
    Connect {
        endpoint: String,
        #[source]
        source: std::io::Error,
    },
    /// The text is no address of an engine.
    #[error("cannot use {text:?} as the address of an engine: {reason}")]
    Address { text: String, reason: &'static str },
    /// The request cannot be put in words.
    #[error("cannot make a request: {0}")]
    Request(String),
    /// The engine answered with an error status; `message` is its own words.
    #[error("{message}")]
    Refused { status: u16, message: String },
    /// The connection ended before the answer did.
    #[error("cannot talk with the engine")]
    Broken(#[source] hyper::Error),
    /// The answer is no JSON of the expected shape.
    #[error("cannot read the engine's answer")]
    Malformed(#[source] serde_json::Error),
    /// The engine answered an attach or exec without handing the connection over.
    #[error("cannot take over the connection: the engine answered with status {status}")]
    NotUpgraded { status: u16 },
    /// The taken-over socket cannot be made blocking.
    #[error("cannot use the stream")]
    Stream(#[source] std::io::Error),
}

impl Error {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Connect { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => Kind::Denied,
            Error::Connect { .. } | Error::Broken(_) | Error::Stream(_) => Kind::Unavailable,
            Error::Address { .. } | Error::Request(_) => Kind::Invalid,
            Error::Refused { status, .. } => match status {
                404 => Kind::NotFound,
                409 | 304 => Kind::Conflict,
                400 => Kind::Invalid,
                401 | 403 => Kind::Denied,
                501 => Kind::Unsupported,
                503 => Kind::Unavailable,
                _ => Kind::Internal,
            },
            Error::Malformed(_) | Error::NotUpgraded { .. } => Kind::Internal,
        }
    }
}
