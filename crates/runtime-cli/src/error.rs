//! Why a command failed, in runc's words.

/// A message for people (or for the log, as JSON), and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub message: String,
    /// 1 for nearly everything; 255 for a failed exec.
    pub code: u8,
}

impl Error {
    pub fn new(message: impl Into<String>) -> Error {
        Error { message: message.into(), code: 1 }
    }

    /// An error with all its causes in one line.
    pub fn of(error: &dyn std::error::Error) -> Error {
        Error::new(base::chain(error))
    }
}

pub type Result<T> = std::result::Result<T, Error>;
