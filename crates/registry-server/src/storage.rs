//! What a driver does for the routes.
//!
//! Everything blocks and may be called from many threads at once. A blob or a manifest that was answered for is whole
//! and was verified when it came in. Lists are sorted by bytes.

use crate::document::Document;
use crate::fault::{Code, Fault};
use crate::folder::uploads::{Session, Uploads};
use crate::name::{Reference, Repository, Tag};
use crate::proxy::growing::Growing;
use base::Digest;
use std::fs::File;
use std::sync::Arc;

/// A manifest or an index, byte for byte.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub bytes: Vec<u8>,
    pub media_type: String,
    pub digest: Digest,
}

/// Bytes of a blob.
#[derive(Debug)]
pub enum Content {
    Whole {
        file: File,
        size: u64,
    },
    /// Arriving while it is read.
    Arriving(Arc<Growing>),
}

/// A manifest that a client sent, checked as far as it can be without a store.
#[derive(Debug)]
pub struct Push {
    pub document: Document,
    pub tags: Vec<Tag>,
}

/// Reading.
pub trait Storage: Send + Sync {
    fn manifest(&self, repository: &Repository, reference: &Reference) -> Result<Manifest, Fault>;

    fn blob(&self, repository: &Repository, digest: &Digest) -> Result<Content, Fault>;

    /// The size of a blob in bytes, without its bytes: a proxy does not fetch it for that.
    fn blob_size(&self, repository: &Repository, digest: &Digest) -> Result<u64, Fault>;

    fn tags(&self, repository: &Repository) -> Result<Vec<String>, Fault>;

    fn repositories(&self) -> Result<Vec<String>, Fault>;

    /// Descriptors of the manifests that have `subject` as their subject; none for a repository that is not there.
    fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<serde_json::Value>, Fault>;

    /// Writing, or why not.
    fn writing(&self) -> Result<&dyn Writing, Fault>;

    /// Removes what nobody needs: called at start and from time to time.
    fn sweep(&self) -> Result<(), Fault>;
}

/// Writing.
pub trait Writing: Send + Sync {
    fn uploads(&self) -> &Arc<Uploads>;

    /// Turns a finished upload into a blob of a repository, if its bytes have that digest. The upload ends either way.
    fn keep(&self, repository: &Repository, session: Session, digest: &Digest) -> Result<(), Fault>;

    /// Makes a blob of another repository (of any, without `from`) one of this. `false`: it is not there.
    fn mount(&self, repository: &Repository, from: Option<&Repository>, digest: &Digest) -> Result<bool, Fault>;

    fn put_manifest(&self, repository: &Repository, push: &Push) -> Result<(), Fault>;

    /// A tag, or a manifest with all its tags.
    fn delete_manifest(&self, repository: &Repository, reference: &Reference) -> Result<(), Fault>;

    fn delete_blob(&self, repository: &Repository, digest: &Digest) -> Result<(), Fault>;
}

pub fn unknown_manifest(repository: &Repository, reference: &Reference) -> Fault {
    Fault::new(Code::ManifestUnknown, format!("the repository {repository} has no manifest {reference}"))
}

pub fn unknown_blob(repository: &Repository, digest: &Digest) -> Fault {
    Fault::new(Code::BlobUnknown, format!("the repository {repository} has no blob {digest}"))
}

pub fn unknown_name(repository: &Repository) -> Fault {
    Fault::new(Code::NameUnknown, format!("there is no repository {repository}"))
}
