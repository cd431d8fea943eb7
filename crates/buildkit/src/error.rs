//! Why a call fails.

use base::{Kind, Kinded};

/// Why a call fails. The texts are what a client shows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Unsupported(String),
    /// Something that the frontend must be able to do, as the client wants it.
    #[error("unsupported frontend capability {0}")]
    UnknownCapability(String),
    /// A question about a Dockerfile that nobody has an answer to.
    #[error("unsupported request {0}")]
    UnknownRequest(String),
    /// The client does not answer any more.
    #[error("{0}")]
    Gone(String),
    #[error("context canceled")]
    Cancelled,
    #[error("{0}")]
    Internal(String),
    #[error("cannot {action}")]
    Io { action: String, source: std::io::Error },
    #[error(transparent)]
    Build(#[from] build::Error),
}

/// `Result` of a call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let action = action.into();
        move |source| Error::Io { action, source }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Invalid(_) => Kind::Invalid,
            Error::Denied(_) => Kind::Denied,
            Error::NotFound(_) => Kind::NotFound,
            Error::Unsupported(_) | Error::UnknownCapability(_) | Error::UnknownRequest(_) => Kind::Unsupported,
            Error::Gone(_) => Kind::Unavailable,
            Error::Cancelled | Error::Internal(_) => Kind::Internal,
            Error::Io { source, .. } => Kinded::kind(source),
            Error::Build(error) => error.kind(),
        }
    }
}
