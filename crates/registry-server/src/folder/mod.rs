//! A registry in a folder of its own.
//!
//! ```text
//!   blobs/sha256/HEX     blobs and manifests, once for all repositories; named only when they are whole and on disk
//!   repositories/        which repository has what (layout.rs)
//!   uploads/             what is on its way in (uploads.rs)
//!   lock                 held by the one registry that writes here
//! ```
//!
//! A blob is there before its mark in a repository, a manifest before its tag: whenever the machine stops, what is
//! named is whole, and what is not named is swept (sweep.rs).

pub mod layout;
mod sweep;
pub mod uploads;

use crate::blobs::Blobs;
use crate::document::{MAX_MANIFEST, Part, Shape};
use crate::fault::{Code, Fault};
use crate::name::{Reference, Repository, Tag};
use crate::storage::{Content, Manifest, Push, Storage, Writing, unknown_blob, unknown_manifest, unknown_name};
use base::Digest;
use layout::{ManifestRecord, Place};
use rustix::fs::FlockOperation;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};
use uploads::{Session, Uploads, is_older, make_folder};

/// Why a folder cannot be a registry.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot serve {0}: another registry writes to it; stop that one, or add --read-only")]
    Taken(PathBuf),
    #[error("cannot open the folder {path}")]
    Io { path: PathBuf, source: io::Error },
}

/// A registry in a folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    blobs: Blobs,
    uploads: Arc<Uploads>,
    /// Nothing without it: the folder is only read.
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    /// Read while something is added, written while something is swept.
    gate: RwLock<()>,
    /// How long a blob may wait for its manifest, and an upload for its next bytes.
    patience: Duration,
    _lock: File,
}

impl Folder {
    /// Opens (or makes) a registry at `root`, as the only one that writes there.
    pub fn open(root: &Path, patience: Duration) -> Result<Folder, OpenError> {
        let failed = |source| OpenError::Io { path: root.to_owned(), source };
        let blobs = Blobs::of(root);
        for folder in [root, blobs.folder(), &root.join("repositories")] {
            make_folder(folder).map_err(failed)?;
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(root.join("lock"));
        let lock = lock.map_err(failed)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(OpenError::Taken(root.to_owned()));
        }
        let uploads = Arc::new(Uploads::open(&root.join("uploads")).map_err(failed)?);
        let writer = Writer { gate: RwLock::new(()), patience, _lock: lock };
        Ok(Folder { root: root.to_owned(), blobs, uploads, writer: Some(writer) })
    }

    /// A registry at `root` that is only read, whoever else writes there.
    pub fn open_read_only(root: &Path) -> Result<Folder, OpenError> {
        std::fs::read_dir(root).map_err(|source| OpenError::Io { path: root.to_owned(), source })?;
        Ok(Folder::reading(root))
    }

    /// As [`Folder::open_read_only`], of a folder that need not be there.
    pub fn reading(root: &Path) -> Folder {
        let uploads = Arc::new(Uploads::at(&root.join("uploads")));
        Folder { root: root.to_owned(), blobs: Blobs::of(root), uploads, writer: None }
    }

    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    pub fn place(&self, repository: &Repository) -> Place {
        Place::of(&self.root, repository)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn writer(&self) -> Result<&Writer, Fault> {
        self.writer.as_ref().ok_or_else(read_only)
    }

    /// Nothing is swept while it is held.
    fn adding(&self) -> Result<RwLockReadGuard<'_, ()>, Fault> {
        Ok(self.writer()?.gate.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The size of a blob, if it belongs to a repository and is here.
    pub fn size_in(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>, Fault> {
        if !self.place(repository).blob(digest).exists() {
            return Ok(None);
        }
        self.blobs.size(digest).map_err(Fault::io("look at a blob"))
    }

    /// Makes a blob that is here one of a repository.
    pub fn mark(&self, repository: &Repository, digest: &Digest) -> Result<(), Fault> {
        let _adding = self.adding()?;
        self.place(repository).add_blob(digest).map_err(Fault::io("add a blob to a repository"))
    }

    /// Keeps a manifest without asking for what it names.
    pub fn keep_manifest(&self, repository: &Repository, push: &Push) -> Result<(), Fault> {
        let _adding = self.adding()?;
        self.write_manifest(repository, push).map_err(Fault::io("keep a manifest"))
    }

    fn write_manifest(&self, repository: &Repository, push: &Push) -> io::Result<()> {
        let document = &push.document;
        let place = self.place(repository);
        self.blobs.put(&document.bytes)?;
        if let Some(subject) = &document.subject {
            place.add_referrer(subject, &document.digest, &document.referrer())?;
        }
        place.set_manifest(&document.digest, &ManifestRecord::new(&document.media_type, document.subject))?;
        push.tags.iter().try_for_each(|tag| place.set_tag(tag, &document.digest))
    }

    /// Refuses a manifest that names what this repository has not.
    fn check_parts(&self, repository: &Repository, push: &Push) -> Result<(), Fault> {
        let place = self.place(repository);
        for part in push.document.parts().into_iter().filter(|part| !part.foreign) {
            let failed = Fault::io("look for what a manifest names");
            let here = match &push.document.shape {
                Shape::Manifest { .. } => place.blob(&part.digest).exists(),
                Shape::Index { .. } => place.manifest(&part.digest).map_err(&failed)?.is_some(),
            };
            let size = if here { self.blobs.size(&part.digest).map_err(&failed)? } else { None };
            check_part(repository, part, size)?;
        }
        Ok(())
    }

    fn remove_manifest(&self, repository: &Repository, digest: &Digest) -> io::Result<bool> {
        let place = self.place(repository);
        let Some(record) = place.manifest(digest)? else { return Ok(false) };
        for tag in place.tags()? {
            if place.tag(&tag)? == Some(*digest) {
                place.remove_tag(&tag)?;
            }
        }
        if let Some(subject) = &record.subject {
            place.remove_referrer(subject, digest)?;
        }
        place.remove_manifest(digest)
    }

    /// A blob that somebody asks for may soon be named by a manifest: it is not to be swept before.
    fn refresh(&self, repository: &Repository, digest: &Digest) -> io::Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let mark = File::open(self.place(repository).blob(digest))?;
        if is_older(&mark.metadata()?, writer.patience / 2)? {
            mark.set_modified(SystemTime::now())?;
        }
        Ok(())
    }
}

/// Whether what a manifest names is there (with `size` bytes) as the manifest says.
pub fn check_part(repository: &Repository, part: &Part, size: Option<u64>) -> Result<(), Fault> {
    let Some(size) = size else {
        let text =
            format!("the repository {repository} has no {}, which the manifest names: push it first", part.digest);
        return Err(Fault::new(Code::ManifestBlobUnknown, text).with_detail(json!({ "digest": part.digest })));
    };
    if size != part.size {
        let text = format!("{} has {size} bytes, the manifest says {}", part.digest, part.size);
        return Err(Fault::new(Code::SizeInvalid, text));
    }
    Ok(())
}

fn read_only() -> Fault {
    Fault::new(Code::Unsupported, "this registry is read-only".to_owned())
}

impl Storage for Folder {
    fn manifest(&self, repository: &Repository, reference: &Reference) -> Result<Manifest, Fault> {
        let failed = Fault::io("read a manifest");
        let unknown = || unknown_manifest(repository, reference);
        let place = self.place(repository);
        let digest = match reference {
            Reference::Tag(tag) => place.tag(tag).map_err(&failed)?.ok_or_else(unknown)?,
            Reference::Digest(digest) => *digest,
        };
        let record = place.manifest(&digest).map_err(&failed)?.ok_or_else(unknown)?;
        let bytes = self.blobs.read(&digest, MAX_MANIFEST as u64).map_err(&failed)?.ok_or_else(unknown)?;
        Ok(Manifest { bytes, media_type: record.media_type, digest })
    }

    fn blob(&self, repository: &Repository, digest: &Digest) -> Result<Content, Fault> {
        let here = self.place(repository).blob(digest).exists();
        let found = if here { self.blobs.open(digest).map_err(Fault::io("open a blob"))? } else { None };
        found.map(|(file, size)| Content::Whole { file, size }).ok_or_else(|| unknown_blob(repository, digest))
    }

    fn blob_size(&self, repository: &Repository, digest: &Digest) -> Result<u64, Fault> {
        let size = self.size_in(repository, digest)?.ok_or_else(|| unknown_blob(repository, digest))?;
        match self.refresh(repository, digest) {
            Ok(()) => Ok(size),
            // Swept since the look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown_blob(repository, digest)),
            Err(error) => Err(Fault::io("look at a blob")(error)),
        }
    }

    fn tags(&self, repository: &Repository) -> Result<Vec<String>, Fault> {
        let place = self.place(repository);
        if !place.exists() {
            return Err(unknown_name(repository));
        }
        let tags = place.tags().map_err(Fault::io("list tags"))?;
        Ok(tags.iter().map(Tag::to_string).collect())
    }

    fn repositories(&self) -> Result<Vec<String>, Fault> {
        let all = layout::repositories(&self.root).map_err(Fault::io("list repositories"))?;
        Ok(all.iter().map(Repository::to_string).collect())
    }

    fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Value>, Fault> {
        let failed = Fault::io("list referrers");
        let place = self.place(repository);
        let mut found = Vec::new();
        for (digest, shown) in place.referrers(subject).map_err(&failed)? {
            if place.manifest(&digest).map_err(&failed)?.is_some() {
                found.push(shown);
            }
        }
        Ok(found)
    }

    fn writing(&self) -> Result<&dyn Writing, Fault> {
        self.writer().map(|_| self as &dyn Writing)
    }

    fn sweep(&self) -> Result<(), Fault> {
        self.sweep_all().map_err(Fault::io("sweep the registry"))
    }
}

impl Writing for Folder {
    fn uploads(&self) -> &Arc<Uploads> {
        &self.uploads
    }

    fn keep(&self, repository: &Repository, session: Session, digest: &Digest) -> Result<(), Fault> {
        let _adding = self.adding()?;
        session.finish(digest, &self.blobs.path(digest))?;
        self.place(repository).add_blob(digest).map_err(Fault::io("add a blob to a repository"))
    }

    fn mount(&self, repository: &Repository, from: Option<&Repository>, digest: &Digest) -> Result<bool, Fault> {
        let _adding = self.adding()?;
        let size = match from {
            Some(from) => self.size_in(from, digest)?,
            None => self.blobs.size(digest).map_err(Fault::io("look at a blob"))?,
        };
        if size.is_some() {
            self.place(repository).add_blob(digest).map_err(Fault::io("add a blob to a repository"))?;
        }
        Ok(size.is_some())
    }

    fn put_manifest(&self, repository: &Repository, push: &Push) -> Result<(), Fault> {
        let _adding = self.adding()?;
        self.check_parts(repository, push)?;
        self.write_manifest(repository, push).map_err(Fault::io("keep a manifest"))
    }

    fn delete_manifest(&self, repository: &Repository, reference: &Reference) -> Result<(), Fault> {
        let removed = match reference {
            Reference::Tag(tag) => self.place(repository).remove_tag(tag),
            Reference::Digest(digest) => self.remove_manifest(repository, digest),
        };
        if removed.map_err(Fault::io("delete a manifest"))? {
            Ok(())
        } else {
            Err(unknown_manifest(repository, reference))
        }
    }

    fn delete_blob(&self, repository: &Repository, digest: &Digest) -> Result<(), Fault> {
        let removed = self.place(repository).remove_blob(digest).map_err(Fault::io("delete a blob"))?;
        if removed { Ok(()) } else { Err(unknown_blob(repository, digest)) }
    }
}
