//! A group's folder at any path, and what happens where it may not be made.

use super::Lenience;
use crate::Error;
use crate::folder::Folder;
use rustix::fs::Mode;
use rustix::io::Errno;
use std::path::Path;

/// What happens when a group may not be made or entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    Error,
    /// It is done without.
    Skip,
}

impl Denial {
    pub(crate) fn of(lenience: Lenience) -> Denial {
        match lenience {
            Lenience::Strict => Denial::Error,
            Lenience::Lenient => Denial::Skip,
        }
    }

    pub(crate) fn skips(self, cause: Errno) -> bool {
        self == Denial::Skip && is_denial(cause)
    }

    /// Makes good of what was denied.
    pub(crate) fn forgive(self, done: Result<(), Error>) -> Result<(), Error> {
        match done {
            Err(Error::NoGroup(_)) if self == Denial::Skip => Ok(()),
            Err(Error::Io { source, .. }) if Errno::from_io_error(&source).is_some_and(|e| self.skips(e)) => Ok(()),
            done => done,
        }
    }
}

/// A read-only mount is what an ordinary user meets in containers.
fn is_denial(cause: Errno) -> bool {
    matches!(cause, Errno::ACCESS | Errno::PERM | Errno::ROFS)
}

/// Whether a group is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    Now,
    Before,
}

/// Makes a group and those above it that are missing. `None`: it may not be made, with [`Denial::Skip`].
pub(crate) fn make_at(path: &Path, denial: Denial) -> Result<Option<(Folder, Made)>, Error> {
    let made = make(path).or_else(|e| match (e, path.parent()) {
        (Errno::NOENT, Some(parent)) => make_all(parent).and_then(|()| make(path)),
        (e, _) => Err(e),
    });
    match made {
        Ok(made) => Ok(Some((Folder::open(path)?, made))),
        Err(e) if denial.skips(e) => Ok(None),
        Err(e) if is_denial(e) => Err(Error::Denied { path: path.to_owned(), cause: words(e) }),
        Err(e) => Err(Error::Io { action: "make", path: path.to_owned(), source: e.into() }),
    }
}

fn make(path: &Path) -> Result<Made, Errno> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(Made::Now),
        Err(Errno::EXIST) => Ok(Made::Before),
        Err(e) => Err(e),
    }
}

fn make_all(path: &Path) -> Result<(), Errno> {
    match (make(path), path.parent()) {
        (Err(Errno::NOENT), Some(parent)) => make_all(parent).and_then(|()| make(path)).map(drop),
        (made, _) => made.map(drop),
    }
}

/// As runc's users know them.
fn words(cause: Errno) -> &'static str {
    match cause {
        Errno::ACCESS => "permission denied",
        Errno::ROFS => "read-only file system",
        _ => "operation not permitted",
    }
}
