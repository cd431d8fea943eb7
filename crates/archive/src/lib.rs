//! Tar in and out, never outside the root it is told.
//!
//! ```text
//!   bytes --decompress--> tar --Reader--> Entry + content --extract--> a tree below a root fd
//!                  \--pipe--> another thread
//! ```
//!
//! - [`decompress`]: gzip, zstd or plain, found by the first bytes.
//! - [`Reader`]: the entries of a tar stream, with PAX, GNU long names and sparse maps applied; memory stays bounded.
//! - [`extract`]: a layer's tar as overlayfs wants it (whiteouts, opaque folders), opened only below the root fd.
//! - [`copy_in`], [`copy_out()`]: files put into, and taken from, a tree that a container uses meanwhile.
//! - [`compare`]: whether a tree still is what a tar says.
//! - [`pack()`]: a tree as a tar; the parts of it that read trees are in [`pack`](mod@pack).
//! - `fixture` (only for tests): tars of any shape, also hostile ones.
//! - [`pipe`]: a bounded pipe between the thread that reads and the thread that writes.
#![forbid(unsafe_code)]

mod beneath;
mod compare;
mod copy_in;
mod decompress;
mod entry;
mod extract;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod overlay;
mod owners;
pub mod pack;
mod path;
pub mod pipe;
mod reader;

pub use beneath::Mounts;
pub use compare::{Difference, compare};
pub use copy_in::{Destination, Renamed, Replacing, copy_in};
pub use decompress::{Compression, Decompressed, decompress, decompress_any};
pub use entry::{Entry, EntryKind, Extent, Sparse, Time};
pub use extract::{Unpacked, extract};
pub use pack::{Packing, Times, Whiteouts, copy_out, is_made_up, pack, pack_chosen, pack_together, pack_without};
pub use path::normal;
pub use reader::Reader;

/// Why an archive cannot be read or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no archive that this reader accepts.
    #[error("{0}")]
    Broken(String),
    /// A compression that this engine cannot undo, by its name.
    #[error("{0} compression is not supported: use gzip, zstd or none")]
    Compression(&'static str),
    /// The entry is fine, the file system refused it.
    #[error("cannot unpack {path}")]
    Entry { path: String, source: std::io::Error },
    /// The entry is to lie outside of the folder it is put into.
    #[error("{name:?} is outside of {folder:?}")]
    Outside { name: String, folder: String },
    #[error("cannot overwrite directory {path:?} with non-directory {folder:?}")]
    OverFolder { path: String, folder: String },
    #[error("cannot overwrite non-directory {path:?} with directory {folder:?}")]
    OverFile { path: String, folder: String },
    /// The tree beside the tar cannot be read.
    #[error("cannot compare {path}")]
    Compare { path: String, source: std::io::Error },
    /// The source of the bytes failed.
    #[error("cannot read the archive")]
    Read(#[source] std::io::Error),
}

impl Error {
    pub(crate) fn broken(path: &[u8], what: &str) -> Error {
        Error::Broken(format!("entry {:?}: {what}", String::from_utf8_lossy(path)))
    }
}

impl base::Kinded for Error {
    fn kind(&self) -> base::Kind {
        match self {
            Error::Broken(_) => base::Kind::Invalid,
            Error::Compression(_) => base::Kind::Unsupported,
            Error::Outside { .. } | Error::OverFolder { .. } | Error::OverFile { .. } => base::Kind::Internal,
            Error::Entry { .. } | Error::Compare { .. } => base::Kind::Internal,
            Error::Read(source) if of_content(source) => base::Kind::Invalid,
            Error::Read(source) => base::Kinded::kind(source),
        }
    }
}

/// Whether a failed read is the fault of the bytes (cut, or not what a decoder expects) and not of the system.
fn of_content(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    let decoder = matches!(error.kind(), E::InvalidData | E::InvalidInput | E::UnexpectedEof | E::Other);
    error.raw_os_error().is_none() && decoder
}
