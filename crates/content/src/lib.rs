//! The content store: blobs named by digest, in a valid OCI image layout on disk (image-spec 1.1, image-layout.md).
//!
//! ```text
//!   oci-layout          which version of the layout this is
//!   index.json          the images, by name: replaced as a whole, never changed in place
//!   blobs/sha256/HEX    one blob; written once, under its name only when it is complete
//!   ingest/             where unnamed files grow (O_TMPFILE: a process that dies leaves nothing)
//! ```
//!
//! A blob survives the end of the process as soon as it has its name, and a power cut after [`Store::sync`]. The index
//! is always safe: it is written to disk before a change returns. After a power cut a blob can so be named by the index
//! and be damaged: [`Store::read`] verifies, and who reads large blobs must.
#![forbid(unsafe_code)]

mod ingest;
mod store;
mod straight;

pub use ingest::Ingest;
pub use store::Store;

use base::Digest;
use std::path::PathBuf;

/// Why a blob operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("blob {0} is not in the store")]
    NotFound(Digest),
    #[error("wrong digest: the blob is {actual}, its name says {expected}")]
    WrongDigest { expected: Digest, actual: Digest },
    #[error("wrong size: the blob has {actual} bytes, its descriptor says {expected}")]
    WrongSize { expected: u64, actual: u64 },
    #[error("blob {digest} is too large to be a document: {size} bytes")]
    TooLarge { digest: Digest, size: u64 },
    #[error("the index of the content store is broken")]
    Index(#[source] serde_json::Error),
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl base::Kinded for Error {
    fn kind(&self) -> base::Kind {
        match self {
            Error::NotFound(_) => base::Kind::NotFound,
            Error::WrongDigest { .. } | Error::WrongSize { .. } | Error::TooLarge { .. } => base::Kind::Invalid,
            Error::Index(_) => base::Kind::Internal,
            Error::Io { source, .. } => base::Kinded::kind(source),
        }
    }
}
