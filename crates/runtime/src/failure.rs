//! How an error of the kernel becomes a [`Failure`] with its step and subject.

use crate::{Failure, Step};
use base::{Kind, Kinded};
use rustix::io::Errno;
use std::io;

impl Failure {
    pub(crate) fn new(step: Step, errno: Errno, subject: impl Into<String>) -> Self {
        Self { step, errno: errno.raw_os_error(), subject: subject.into() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { step, errno, subject } = self;
        match step {
            Step::Hook | Step::Prepare => f.write_str(subject),
            _ => write!(f, "cannot start: {step:?} {subject}: {}", io::Error::from_raw_os_error(*errno)),
        }
    }
}

impl std::error::Error for Failure {}

impl Kinded for Failure {
    fn kind(&self) -> Kind {
        match (self.step, Errno::from_raw_os_error(self.errno)) {
            (Step::LookPath | Step::Execve | Step::WorkingDirectory | Step::User | Step::Prepare, _) => Kind::Invalid,
            (_, Errno::PERM | Errno::ACCESS) => Kind::Denied,
            (_, Errno::NOSYS | Errno::OPNOTSUPP) => Kind::Unsupported,
            (_, Errno::AGAIN | Errno::NOSPC | Errno::NOMEM) => Kind::Unavailable,
            (_, Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::INVAL) => Kind::Invalid,
            _ => Kind::Internal,
        }
    }
}

/// For `map_err`: the failure of `step` about `subject`.
pub(crate) fn at<E: Into<io::Error>>(step: Step, subject: &str) -> impl FnOnce(E) -> Failure + '_ {
    move |error| Failure { step, errno: errno_of(&error.into()), subject: subject.to_owned() }
}

/// For `map_err`, where others add the step.
pub(crate) fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn errno_of(error: &io::Error) -> i32 {
    let unnamed = match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Errno::INVAL,
        _ => Errno::IO,
    };
    error.raw_os_error().unwrap_or(unnamed.raw_os_error())
}
