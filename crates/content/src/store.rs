//! The only file that knows how blobs and the index lie on disk.

use crate::{Error, Ingest};
use base::Digest;
use base::atomic::{self, Durability};
use oci::image::{Index, media};
use sha2::Digest as _;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// All blobs of an engine. Callable from many threads at once; one store per folder and machine.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// `blobs/sha256`
    blobs: OwnedFd,
    /// Held while `index.json` is read, changed and written.
    index: Mutex<()>,
}

impl Store {
    /// Opens (or makes) the store at `root`, readable only by its owner, and removes what an earlier process left
    /// half-written.
    pub fn open(root: &Path) -> Result<Store, Error> {
        for folder in [root.to_owned(), root.join("blobs/sha256"), root.join("ingest")] {
            make_folder(&folder).map_err(fail("make", &folder))?;
        }
        let layout = root.join("oci-layout");
        if !layout.exists() {
            let text = br#"{"imageLayoutVersion":"1.0.0"}"#;
            atomic::write(&layout, text, 0o600, Durability::PowerCut).map_err(fail("write", &layout))?;
        }
        let path = root.join("blobs/sha256");
        let blobs = OwnedFd::from(File::open(&path).map_err(fail("open", &path))?);
        let store = Store { root: root.to_owned(), blobs, index: Mutex::new(()) };
        store.sweep_ingest()?;
        if !root.join("index.json").exists() {
            let media_type = Some(media::INDEX.to_owned());
            store.write_index(&Index { schema_version: 2, media_type, ..Index::default() })?;
        }
        Ok(store)
    }

    /// Starts a new blob. Dropped without a commit, nothing of it stays.
    pub fn ingest(&self) -> Result<Ingest<'_>, Error> {
        Ingest::new(self, &self.root.join("ingest"))
    }

    /// Keeps a small document, safe on disk.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let mut ingest = self.ingest()?;
        let written = io::Write::write_all(&mut ingest, bytes);
        written.and_then(|()| ingest.sync()).map_err(fail("write a blob below", &self.root))?;
        Ok(ingest.commit(None, None)?.0)
    }

    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Opens a blob for reading. Its bytes are not verified.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.path(digest);
        File::open(&path).map_err(|e| missing(*digest, e, "open", &path))
    }

    /// Bytes of a blob.
    pub fn size(&self, digest: &Digest) -> Result<u64, Error> {
        let path = self.path(digest);
        Ok(fs::metadata(&path).map_err(|e| missing(*digest, e, "look at", &path))?.len())
    }

    /// Reads a document of at most `limit` bytes and verifies it.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        let file = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        let size = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        let size = size.map_err(fail("read", &self.path(digest)))? as u64;
        if size > limit {
            return Err(Error::TooLarge { digest: *digest, size });
        }
        let actual = Digest::from_bytes(sha2::Sha256::digest(&bytes).into());
        if actual != *digest {
            return Err(Error::WrongDigest { expected: *digest, actual });
        }
        Ok(bytes)
    }

    /// Removes a blob; one that is not there is fine.
    pub fn remove(&self, digest: &Digest) -> Result<(), Error> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(fail("remove", &path)),
        }
    }

    /// All blobs, in no order.
    pub fn list(&self) -> Result<Vec<Digest>, Error> {
        let path = self.root.join("blobs/sha256");
        let mut found = Vec::new();
        for entry in fs::read_dir(&path).map_err(fail("list", &path))? {
            let name = entry.map_err(fail("list", &path))?.file_name();
            found.extend(format!("sha256:{}", name.to_string_lossy()).parse::<Digest>());
        }
        Ok(found)
    }

    pub fn index(&self) -> Result<Index, Error> {
        let path = self.root.join("index.json");
        let bytes = fs::read(&path).map_err(fail("read", &path))?;
        serde_json::from_slice(&bytes).map_err(Error::Index)
    }

    /// Changes the index: read, changed, written and safe on disk, one change at a time.
    pub fn change_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, Error> {
        let _alone = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = self.index()?;
        let result = change(&mut index);
        self.write_index(&index)?;
        Ok(result)
    }

    /// Writes the index anew, whatever it was.
    pub fn replace_index(&self, index: &Index) -> Result<(), Error> {
        let _alone = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_index(index)
    }

    /// Makes all blobs safe against a power cut (syncfs(2)).
    pub fn sync(&self) -> Result<(), Error> {
        rustix::fs::syncfs(&self.blobs).map_err(|e| fail("sync", &self.root)(e.into()))
    }

    /// Bytes on disk of all blobs and of the index: what `du` says.
    pub fn usage(&self) -> Result<u64, Error> {
        base::tree::disk_usage(&self.root).map_err(fail("measure", &self.root))
    }

    /// Bytes on disk of one blob; none when it is not there.
    pub fn usage_of(&self, digest: &Digest) -> u64 {
        rustix::fs::stat(self.path(digest)).map_or(0, |stat| base::tree::blocks(&stat))
    }

    /// Names in the store that are neither blobs nor parts of the layout, nor blobs on their way.
    pub fn strangers(&self) -> Result<Vec<PathBuf>, Error> {
        let known = |name: &str| matches!(name, "oci-layout" | "index.json" | "blobs" | "ingest");
        let mut found = others(&self.root, known)?;
        found.extend(others(&self.root.join("blobs"), |name| name == "sha256")?);
        found.extend(others(&self.root.join("blobs/sha256"), |name| {
            format!("sha256:{name}").parse::<Digest>().is_ok()
        })?);
        Ok(found)
    }

    /// Where a blob lies.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    fn write_index(&self, index: &Index) -> Result<(), Error> {
        let path = self.root.join("index.json");
        let bytes = serde_json::to_vec(index).map_err(Error::Index)?;
        atomic::write(&path, &bytes, 0o600, Durability::PowerCut).map_err(fail("write", &path))
    }

    /// Blobs on their way, and drafts of the index (`base::atomic`), that an earlier process did not finish.
    fn sweep_ingest(&self) -> Result<(), Error> {
        let mut left = others(&self.root.join("ingest"), |_| false)?;
        left.extend(others(&self.root, |name| !name.starts_with(".index.json.") && !name.starts_with(".oci-layout."))?);
        left.iter().try_for_each(|path| fs::remove_file(path).map_err(fail("remove", path)))
    }
}

/// What is in a folder under names that are not `known`.
fn others(folder: &Path, known: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, Error> {
    base::tree::others(folder, known).map_err(fail("list", folder))
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn fail<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

fn missing(digest: Digest, error: io::Error, action: &'static str, path: &Path) -> Error {
    if error.kind() == io::ErrorKind::NotFound { Error::NotFound(digest) } else { fail(action, path)(error) }
}
