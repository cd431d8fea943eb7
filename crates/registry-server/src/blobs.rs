//! Blobs by digest in `blobs/sha256/HEX`, as an OCI layout has them: the reading side, and small documents.

use base::Digest;
use base::atomic::{self, Durability};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A folder of blobs. Reading never changes it, so it may be another process's.
#[derive(Debug)]
pub struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    /// The blobs of the layout at `root`, which need not be there.
    pub fn of(root: &Path) -> Blobs {
        Blobs { folder: root.join("blobs/sha256") }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// Opens a blob and tells its size in bytes.
    pub fn open(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len();
        Ok(Some((file, size)))
    }

    /// Bytes of a blob, if it is there.
    pub fn size(&self, digest: &Digest) -> io::Result<Option<u64>> {
        match fs::metadata(self.path(digest)) {
            Ok(data) => Ok(Some(data.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a document of at most `limit` bytes and verifies it.
    pub fn read(&self, digest: &Digest, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some((file, size)) = self.open(digest)? else { return Ok(None) };
        if size > limit {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        if digest_of(&bytes) != *digest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the blob {digest} is damaged")));
        }
        Ok(Some(bytes))
    }

    /// Keeps a document, safe on disk.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Digest> {
        let digest = digest_of(bytes);
        if self.size(&digest)?.is_none() {
            atomic::write(&self.path(&digest), bytes, 0o600, Durability::PowerCut)?;
        }
        Ok(digest)
    }

    /// Removes a blob; one that is not there is fine.
    pub fn remove(&self, digest: &Digest) -> io::Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}
