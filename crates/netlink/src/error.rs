//! Why the kernel, or we, refused a request.

use base::{Kind, Kinded};
use rustix::io::Errno;
use std::io;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused one request. `words` are the kernel's own (extended acknowledgement), when it had some.
    #[error("cannot {step}{}", words.as_deref().map(|w| format!(" ({w})")).unwrap_or_default())]
    Refused { step: &'static str, words: Option<String>, source: io::Error },
    /// The socket does not work.
    #[error("cannot {step} a netlink socket")]
    Socket { step: &'static str, source: io::Error },
    /// An attribute or a name does not fit its field.
    #[error("cannot {step}: a value is too long for netlink")]
    TooLong { step: &'static str },
    /// The kernel's answer makes no sense.
    #[error("cannot understand the kernel's answer to: {step}")]
    Garbled { step: &'static str },
}

impl Error {
    /// The error number, when the kernel gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Refused { source, .. } | Error::Socket { source, .. } => Errno::from_io_error(source),
            Error::TooLong { .. } | Error::Garbled { .. } => None,
        }
    }

    /// What was to be done did not find its object: it is gone already (ENOENT, ENODEV, ESRCH, ENXIO, EADDRNOTAVAIL).
    pub fn is_absent(&self) -> bool {
        matches!(self.errno(), Some(Errno::NOENT | Errno::NODEV | Errno::SRCH | Errno::NXIO | Errno::ADDRNOTAVAIL))
    }

    /// The object is there already (EEXIST).
    pub fn is_present(&self) -> bool {
        self.errno() == Some(Errno::EXIST)
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Refused { source, .. } | Error::Socket { source, .. } => Kinded::kind(source),
            Error::TooLong { .. } => Kind::Invalid,
            Error::Garbled { .. } => Kind::Internal,
        }
    }
}
