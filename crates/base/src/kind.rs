//! What sort of failure an error is, apart from its words.

/// The sort of a failure. Doors map it to an HTTP status and to an exit code, in one file each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// What was named does not exist.
    NotFound,
    /// The state of things forbids it: name taken, already running, in use.
    Conflict,
    /// The request itself is wrong.
    Invalid,
    /// A permission is missing.
    Denied,
    /// It may work later: something it needs does not answer now.
    Unavailable,
    /// This engine or this kernel cannot do it.
    Unsupported,
    /// Ours to mend.
    Internal,
}

/// An error that knows its sort.
pub trait Kinded: std::error::Error {
    /// The sort of this failure.
    fn kind(&self) -> Kind;
}

impl Kinded for std::io::Error {
    fn kind(&self) -> Kind {
        use std::io::ErrorKind as E;
        match self.kind() {
            E::NotFound => Kind::NotFound,
            E::PermissionDenied | E::ReadOnlyFilesystem => Kind::Denied,
            E::AlreadyExists | E::DirectoryNotEmpty | E::ResourceBusy => Kind::Conflict,
            E::InvalidInput | E::InvalidData | E::NotADirectory | E::IsADirectory | E::InvalidFilename => Kind::Invalid,
            E::Unsupported => Kind::Unsupported,
            _ => Kind::Internal,
        }
    }
}

/// The words of an error and of its causes, `outer: inner: innermost`, none said twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}
