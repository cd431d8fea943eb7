//! Why a build failed.

use base::{Kind, Kinded};
use dockerfile::Lines;

/// Why a build failed. Doors that speak Docker's words find in it what they need for them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile itself; its text is BuildKit's.
    #[error(transparent)]
    Dockerfile(#[from] dockerfile::Error),
    #[error("target stage {0:?} could not be found")]
    NoTarget(String),
    #[error("{0}")]
    Invalid(String),
    /// A program of a `RUN` ended with another code than 0.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Exit { command: String, code: i32 },
    /// A source of a `COPY` or `ADD`.
    #[error("{path:?}: not found")]
    NoSource { path: String },
    #[error("cannot {action}")]
    Io { action: String, source: std::io::Error },
    #[error("cannot use the build cache {path}")]
    Cache { path: std::path::PathBuf, source: rusqlite::Error },
    #[error("cannot fetch {url}: {why}")]
    Fetch { url: String, why: String },
    /// The checksum of what was fetched.
    #[error("digest mismatch {actual}: {expected}")]
    Checksum { expected: String, actual: String },
    #[error("secret {0}: not found")]
    NoSecret(String),
    #[error("unset ssh forward key {0}")]
    NoAgent(String),
    #[error("{0} is not allowed: the client did not grant it")]
    NotEntitled(&'static str),
    /// A layer that a cache names and nobody has; the step that came to it is done again.
    #[error("layer {0} of an imported cache is not to be had")]
    Lost(base::Digest),
    #[error("the build was cancelled")]
    Cancelled,
    /// A stage is another one for each platform. Never seen outside.
    #[error("the stage differs between platforms")]
    Apart,
    /// A failure at a place of the Dockerfile.
    #[error("{title}")]
    Step { title: String, lines: Lines, source: Box<Error> },
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error(transparent)]
    Archive(#[from] archive::Error),
}

/// `Result` of a build.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let action = action.into();
        move |source| Error::Io { action, source }
    }

    pub(crate) fn errno(action: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Error {
        let failed = Error::io(action);
        move |errno| failed(errno.into())
    }

    /// The failure itself, without its place.
    pub fn cause(&self) -> &Error {
        match self {
            Error::Step { source, .. } => source.cause(),
            other => other,
        }
    }

    /// The lines that it is about.
    pub fn lines(&self) -> Option<Lines> {
        match self {
            Error::Step { lines, .. } => Some(*lines),
            Error::Dockerfile(error) => error.lines(),
            _ => None,
        }
    }

    pub fn is_cancelled(&self) -> bool {
        match self.cause() {
            Error::Cancelled => true,
            Error::Engine(engine::Error::Registry(error)) => matches!(error, registry::Error::Cancelled),
            Error::Engine(engine::Error::Image(image::Error::Registry(error))) => {
                matches!(error, registry::Error::Cancelled)
            }
            _ => false,
        }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self.cause() {
            Error::Dockerfile(_) | Error::Invalid(_) | Error::NoTarget(_) | Error::Checksum { .. } => Kind::Invalid,
            Error::NoSource { .. } | Error::NoSecret(_) | Error::NoAgent(_) => Kind::NotFound,
            Error::NotEntitled(_) => Kind::Denied,
            Error::Fetch { .. } => Kind::Unavailable,
            Error::Exit { .. }
            | Error::Lost(_)
            | Error::Cache { .. }
            | Error::Cancelled
            | Error::Apart
            | Error::Step { .. } => Kind::Internal,
            Error::Io { source, .. } => Kinded::kind(source),
            Error::Engine(error) => error.kind(),
            Error::Image(error) => error.kind(),
            Error::Layer(error) => error.kind(),
            Error::Archive(error) => error.kind(),
        }
    }
}
