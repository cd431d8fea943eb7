//! A blob on its way into the store.

use crate::store::fail;
use crate::straight::Straight;
use crate::{Error, Store};
use base::Digest;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Grows without a name (O_TMPFILE, Linux 3.11) and gets one by linkat(2) when it is complete.
///
/// File systems without O_TMPFILE get a temporary name in `ingest/`.
#[derive(Debug)]
pub struct Ingest<'store> {
    store: &'store Store,
    file: Straight,
    temporary: Option<PathBuf>,
    /// `None`: whoever writes computes the digest.
    hash: Option<Sha256>,
    size: u64,
}

impl<'store> Ingest<'store> {
    pub(crate) fn new(store: &'store Store, folder: &Path) -> Result<Ingest<'store>, Error> {
        let mode = Mode::from_raw_mode(0o600);
        let unnamed = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (file, temporary) = match rustix::fs::open(folder, unnamed, mode) {
            Ok(file) => (file, None),
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                let path = folder.join(base::Id::random().to_string());
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
                let file = rustix::fs::open(&path, flags, mode).map_err(|e| fail("make", &path)(e.into()))?;
                (file, Some(path))
            }
            Err(e) => return Err(fail("make a blob in", folder)(e.into())),
        };
        Ok(Ingest { store, file: Straight::new(file.into()), temporary, hash: Some(Sha256::new()), size: 0 })
    }

    /// For a writer that computes the digest of the same bytes anyway, and ends with [`Ingest::commit_as`].
    pub fn unhashed(mut self) -> Ingest<'store> {
        self.hash = None;
        self
    }

    /// Another handle of the bytes, with an offset of its own, also after the commit.
    pub fn reader(&mut self) -> io::Result<File> {
        self.file.flush()?;
        File::open(self.proc_path())
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Waits until the bytes are on disk, which a commit does not.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.file().sync_data()
    }

    /// Names the blob by its digest, after comparing digest and size with what was promised. A blob that is there
    /// already stays.
    pub fn commit(mut self, expected: Option<&Digest>, size: Option<u64>) -> Result<(Digest, u64), Error> {
        let hash = self.hash.take().unwrap_or_default();
        let actual = Digest::from_bytes(hash.finalize().into());
        if let Some(expected) = size.filter(|expected| *expected != self.size) {
            return Err(Error::WrongSize { expected, actual: self.size });
        }
        if let Some(expected) = expected.filter(|expected| **expected != actual) {
            return Err(Error::WrongDigest { expected: *expected, actual });
        }
        self.name(&actual)?;
        Ok((actual, self.size))
    }

    /// Names the blob by a digest that the caller computed of exactly the bytes that were written.
    pub fn commit_as(mut self, digest: &Digest) -> Result<u64, Error> {
        self.name(digest)?;
        Ok(self.size)
    }

    fn proc_path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.file().as_raw_fd())
    }

    fn name(&mut self, digest: &Digest) -> Result<(), Error> {
        let path = self.store.path(digest);
        self.file.flush().map_err(fail("write", &path))?;
        let linked = match &self.temporary {
            Some(temporary) => rustix::fs::linkat(CWD, temporary, CWD, &path, AtFlags::empty()),
            None => rustix::fs::linkat(CWD, self.proc_path(), CWD, &path, AtFlags::SYMLINK_FOLLOW),
        };
        match linked {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(fail("name", &path)(e.into())),
        }
    }
}

impl Write for Ingest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&bytes[..written]);
        }
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Ingest<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}
