//! Contexts from elsewhere: a repository, an archive or a Dockerfile at an address, and what a client uploads.

use super::Client;
use super::channel::{BytesMessage, Call, Metadata};
use super::sessions::Session;
use build::context::{self, Checkout, Folder, Unpacked};
use build::{Error, Result};
use bytes::{Buf, Bytes};
use registry::Cancel;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::io::{self, Cursor, Read};
use std::sync::Arc;

const PULL: &str = "/moby.upload.v1.Upload/Pull";
/// What a client gives as the address of what it uploads.
const UPLOAD: &str = "http://buildkit-session/";
/// The name that a single file gets.
pub const SINGLE: &str = "context";

/// A context from elsewhere.
#[derive(Debug, Clone)]
pub struct Remote {
    pub folder: Arc<Folder>,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tree,
    /// One file, [`SINGLE`].
    File,
}

/// What becomes of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archives {
    Unpacked,
    /// It stays the file that it is.
    Kept,
}

impl Client {
    /// What is at an address.
    pub(super) fn remote(&self, address: &str, archives: Archives, checkout: &Checkout<'_>) -> Result<Remote> {
        if let Some(folder) = self.builder.repository(address, checkout, &self.cancel)? {
            return Ok(Remote { folder: Arc::new(folder), kind: Kind::Tree });
        }
        let mut body: Box<dyn Read + Send> = if address.starts_with(UPLOAD) {
            Box::new(uploaded(&self.session, address, &self.cancel)?)
        } else {
            self.builder.engine().fetch(address, &self.cancel)?
        };
        let mut first = Vec::new();
        let begun = body.by_ref().take(512).read_to_end(&mut first);
        begun.map_err(|source| Error::Io { action: format!("read {address}"), source })?;
        let is_archive = context::is_archive(&first);
        let mut whole = Read::chain(Cursor::new(first), body);
        if is_archive && archives == Archives::Unpacked {
            let folder = context::unpack(whole, &self.builder.contexts())?.into_folder()?;
            return Ok(Remote { folder: Arc::new(folder), kind: Kind::Tree });
        }
        let unpacked = Unpacked::make(&self.builder.contexts())?;
        let written =
            std::fs::File::create(unpacked.path().join(SINGLE)).and_then(|mut file| io::copy(&mut whole, &mut file));
        written.map_err(|source| Error::Io { action: format!("read {address}"), source })?;
        Ok(Remote { folder: Arc::new(unpacked.into_folder()?), kind: Kind::File })
    }
}

/// A folder of a context, never through a link out of it.
pub fn inside(whole: &Arc<Folder>, path: &str) -> Result<Folder> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(whole.root(), path, flags, Mode::empty(), within);
    let failed = |errno: rustix::io::Errno| Error::Io {
        action: format!("use the folder {path:?} of the context"),
        source: errno.into(),
    };
    Ok(Folder::of(found.map_err(failed)?).keeping(Box::new(whole.clone())))
}

fn uploaded(session: &Arc<Session>, address: &str, cancel: &Cancel) -> Result<Upload> {
    if !session.supports(PULL) {
        return Err(Error::Invalid(format!("the client has nothing at {address}")));
    }
    let (_, rest) = address.split_once("://").unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let metadata = Metadata::default().with("urlhost", host).with("urlpath", &format!("/{path}"));
    let runtime = session.enter();
    let (questions, call) = session.channel.call::<BytesMessage, BytesMessage>(PULL, metadata);
    drop(runtime);
    Ok(Upload { session: session.clone(), cancel: cancel.clone(), _questions: questions, call, rest: Bytes::new() })
}

/// The bytes that a client uploads.
struct Upload {
    session: Arc<Session>,
    cancel: Cancel,
    _questions: tokio::sync::mpsc::Sender<BytesMessage>,
    call: Call<BytesMessage>,
    rest: Bytes,
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            let next = async { Ok(self.call.answers.recv().await) };
            match self.session.wait(&self.cancel, next).map_err(|error| io::Error::other(base::chain(&error)))? {
                Ok(Some(Ok(message))) => self.rest = message.data,
                Ok(None) => return Ok(0),
                Ok(Some(Err(status))) | Err(status) => return Err(io::Error::other(status.message().to_owned())),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
