//! A context that comes as a tar: unpacked into a folder of its own, which goes with the build.

use super::Folder;
use crate::{Error, Result};
use archive::{Compression, Destination, Replacing};
use base::Id;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where it lies; dropped, it is gone.
#[derive(Debug)]
pub struct Unpacked {
    path: PathBuf,
}

impl Unpacked {
    /// A fresh, empty folder in `parent`.
    pub fn make(parent: &Path) -> Result<Unpacked> {
        let path = parent.join(Id::random().to_string());
        std::fs::create_dir_all(&path).map_err(Error::io(format!("make {}", path.display())))?;
        Ok(Unpacked { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder, to be read while the build goes on.
    pub fn into_folder(self) -> Result<Folder> {
        Ok(Folder::open(&self.path)?.keeping(Box::new(self)))
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        if let Err(error) = base::tree::remove(&self.path) {
            tracing::warn!("cannot delete {}: {error}", self.path.display());
        }
    }
}

/// Whether what begins with `first` is an archive, and no text: a tar has zeros in its header, and what is compressed tells so.
pub fn is_archive(first: &[u8]) -> bool {
    first.contains(&0) || !matches!(Compression::of(first), Ok(Compression::Plain))
}

/// Unpacks a tar (plain, or compressed with gzip, bzip2, xz or zstd) below `parent`.
pub fn unpack(tar: impl Read, parent: &Path) -> Result<Unpacked> {
    let unpacked = Unpacked::make(parent)?;
    let plain = archive::decompress_any(tar)?;
    let root = std::fs::File::open(&unpacked.path).map_err(Error::io("open a context"))?;
    let destination = Destination {
        root: root.as_fd(),
        folder: root.as_fd(),
        path: "/",
        named: "/",
        renamed: None,
        owner: 0,
        of: None,
        replacing: Replacing::Anything,
    };
    archive::copy_in(plain, destination)?;
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_archive_wherever_it_is_cut() {
        let text = "# é\n".repeat(200);
        for length in [0, 1, 3, 511, 512, 513] {
            assert!(!is_archive(&text.as_bytes()[..length]), "{length}");
        }
        assert!(!is_archive(b"FROM a\n# caf\xe9\n"));
        for archive in [&b"BZh91AY&SY"[..], b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"name\0\0\0"] {
            assert!(is_archive(archive), "{archive:?}");
        }
    }
}
