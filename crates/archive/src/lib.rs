//! Tar in and out, never outside the root it is told.
#![forbid(unsafe_code)]

/// Why an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Broken(String),
    #[error("cannot unpack {path}")]
    Entry { path: String, source: std::io::Error },
    #[error("cannot read the archive")]
    Read(#[source] std::io::Error),
}
