//! Where the files of a build come from: folders of the client's, secrets, and keys that he lends.

mod digest;
mod glob;
mod kept;
mod memo;
mod select;
mod unpack;

pub(crate) use digest::{Hashing, Ids, Seen, of_texts};
pub use kept::KeptFolder;
pub(crate) use kept::KeptFolders;
pub use memo::Memo;
pub(crate) use select::{Chosen, Deep, Each, Entry, Pattern, Scope, choose, cleaned, joined};
pub use unpack::{Unpacked, is_archive, unpack};

pub use crate::ops::Checkout;

use crate::cache::Blobs;
use crate::{Error, Result};
use dockerfile::ignore::Ignore;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::any::Any;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// The name of the context that `COPY` without `--from` reads.
pub const MAIN: &str = "context";

/// Who has the files, the secrets and the keys of a build. Called from several threads.
pub trait Sources: Sync {
    /// A folder of the client's: [`MAIN`], or a named context. `None` when there is none of this name.
    ///
    /// `wanted` are paths that will be read (a prefix, wildcards in it); a client that has to send its files may send only these.
    fn folder(&self, name: &str, wanted: &[String]) -> Result<Option<Arc<Folder>>>;

    /// What a name of `FROM` and `--from` stands for, when the client gave it another meaning.
    fn named(&self, _name: &str) -> Option<Named> {
        None
    }

    /// What [`MAIN`] leaves out, where that is known before a file of it is asked for.
    fn ignore(&self) -> Option<Ignore> {
        None
    }

    fn secret(&self, _id: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// A folder of the client's for caches, by the path that he gave.
    fn blobs(&self, _folder: &str) -> Result<Option<Arc<dyn Blobs>>> {
        Ok(None)
    }

    /// A `RUN` has failed. Who wants to look around where it stood does so now: the build goes on to its end afterwards.
    fn examine(&self, _stopped: Stopped<'_>) -> Result<()> {
        Ok(())
    }

    /// A connection to the client's agent of keys.
    fn agent(&self, _id: &str) -> Result<Option<Box<dyn Agent>>> {
        Ok(None)
    }
}

/// A step that failed, with its mounts still there.
#[derive(Debug)]
pub struct Stopped<'a> {
    /// A shell on the layers below the step.
    pub step: engine::Step,
    pub title: &'a str,
    pub why: &'a Error,
}

/// What a named context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A folder that [`Sources::folder`] gives.
    Folder,
    /// An image, by its reference.
    Image(String),
    /// Another stage of the same file.
    Stage(String),
}

/// Both directions of a connection. Its reader fails with `TimedOut` or `WouldBlock` from time to time while there is nothing to
/// be read, so that one who waits for it sees when nobody wants the answer any more.
pub trait Agent: Send {
    fn split(self: Box<Self>) -> std::io::Result<(Box<dyn Read + Send>, Box<dyn Write + Send>)>;
}

/// A folder to be read, and what of it is as if it were not there.
pub struct Folder {
    root: OwnedFd,
    ignore: Option<Ignore>,
    /// What goes when it is no longer used.
    _keep: Option<Box<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Folder {
    /// A folder of this machine, read where it lies. Its `.dockerignore` is not looked at.
    pub fn open(path: &Path) -> Result<Folder> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty());
        Ok(Folder::of(root.map_err(Error::errno(format!("open the context {}", path.display())))?))
    }

    pub fn of(root: OwnedFd) -> Folder {
        Folder { root, ignore: None, _keep: None }
    }

    /// As if what `ignore` names were not there.
    #[must_use]
    pub fn without(self, ignore: Ignore) -> Folder {
        Folder { ignore: Some(ignore), ..self }
    }

    /// Drops `keep` with the folder.
    #[must_use]
    pub fn keeping(self, keep: Box<dyn Any + Send + Sync>) -> Folder {
        Folder { _keep: Some(keep), ..self }
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether somebody else may change it while it is read: it lies where it was found.
    pub(crate) fn may_change(&self) -> bool {
        self._keep.is_none()
    }

    pub(crate) fn ignore(&self) -> Option<&Ignore> {
        self.ignore.as_ref()
    }

    /// A small file of it, `None` when there is none; never one outside.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        read_small(self.root.as_fd(), path)
    }

    /// The ignore file that belongs to a Dockerfile: `NAME.dockerignore`, else `.dockerignore`.
    pub fn ignore_file(&self, dockerfile: &str) -> Result<Option<String>> {
        let own = self.read(&format!("{dockerfile}.dockerignore"))?;
        let found = match own {
            None => self.read(".dockerignore")?,
            own => own,
        };
        Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// Bytes that a Dockerfile or an ignore file may have.
const MOST_TEXT: u64 = 16 << 20;

fn read_small(root: BorrowedFd<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    use rustix::io::Errno;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat2(root, path, flags, Mode::empty(), inside) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        other => other.map_err(Error::errno(format!("read {path}")))?,
    };
    let file = std::fs::File::from(file);
    let length = file.metadata().map_err(Error::io(format!("read {path}")))?;
    if !length.is_file() || length.len() > MOST_TEXT {
        return Err(Error::Invalid(format!("{path} is no file of a readable size")));
    }
    let mut bytes = Vec::new();
    file.take(MOST_TEXT).read_to_end(&mut bytes).map_err(Error::io(format!("read {path}")))?;
    Ok(Some(bytes))
}
