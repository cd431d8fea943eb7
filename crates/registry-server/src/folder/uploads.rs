//! Blobs on their way in: `uploads/ID/data`, which survives the end of the process, and their hash so far, which is
//! computed anew from the data when it does not.

use crate::fault::{Code, Fault};
use crate::name::Repository;
use base::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Bytes read at once when a hash is computed anew.
const PIECE: usize = 1024 * 1024;

/// The name of an upload: a UUID, hex digits and `-` only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(String);

/// All uploads of a folder. One request at a time has each of them.
#[derive(Debug)]
pub struct Uploads {
    folder: PathBuf,
    known: Mutex<HashMap<UploadId, State>>,
}

#[derive(Debug)]
enum State {
    /// The hash of that many bytes.
    Idle(Box<Sha256>, u64),
    Busy,
}

/// One upload in the hands of one request. Dropped, it can be continued.
#[derive(Debug)]
pub struct Session {
    uploads: Arc<Uploads>,
    id: UploadId,
    file: File,
    hash: Option<Sha256>,
    /// Bytes so far.
    size: u64,
}

impl UploadId {
    fn random() -> UploadId {
        let hex = base::Id::random().to_string();
        UploadId([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-"))
    }

    pub fn parse(text: &str) -> Result<UploadId, Fault> {
        let lengths = text.split('-').map(str::len);
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        if digits && lengths.eq([8, 4, 4, 4, 12]) {
            return Ok(UploadId(text.to_owned()));
        }
        Err(Fault::new(Code::BlobUploadUnknown, "there is no such upload".to_owned()))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Uploads {
    pub fn open(folder: &Path) -> io::Result<Uploads> {
        make_folder(folder)?;
        Ok(Uploads::at(folder))
    }

    /// Uploads of a folder that need not be there: none can begin then.
    pub fn at(folder: &Path) -> Uploads {
        Uploads { folder: folder.to_owned(), known: Mutex::default() }
    }

    /// Starts an upload to a repository.
    pub fn begin(self: &Arc<Self>, repository: &Repository) -> Result<Session, Fault> {
        let failed = Fault::io("start an upload");
        let id = UploadId::random();
        let folder = self.path(&id);
        make_folder(&folder).map_err(&failed)?;
        let session = || {
            fs::write(folder.join("repository"), repository.as_str())?;
            OpenOptions::new().append(true).read(true).create_new(true).mode(0o600).open(folder.join("data"))
        };
        let file = session().map_err(|error| {
            let _ = fs::remove_dir_all(&folder);
            failed(error)
        })?;
        self.lock().insert(id.clone(), State::Busy);
        Ok(Session { uploads: Arc::clone(self), id, file, hash: Some(Sha256::new()), size: 0 })
    }

    /// Goes on with an upload; its hash is computed anew when this process does not know it.
    pub fn resume(self: &Arc<Self>, repository: &Repository, id: &UploadId) -> Result<Session, Fault> {
        self.check(repository, id)?;
        let known = match self.lock().insert(id.clone(), State::Busy) {
            Some(State::Busy) => return Err(in_use()),
            Some(State::Idle(hash, size)) => Some((hash, size)),
            None => None,
        };
        self.reopen(id, known).map_err(|error| {
            self.lock().remove(id);
            // It ended between the look and here.
            if error.kind() == io::ErrorKind::NotFound {
                unknown(repository, id)
            } else {
                Fault::io("continue an upload")(error)
            }
        })
    }

    fn reopen(self: &Arc<Self>, id: &UploadId, known: Option<(Box<Sha256>, u64)>) -> io::Result<Session> {
        let mut file = OpenOptions::new().append(true).read(true).open(self.path(id).join("data"))?;
        let (hash, size) = match known {
            Some((hash, size)) => (*hash, size),
            None => hash_of(&mut file)?,
        };
        // What a failed write left behind the last byte that counts.
        file.set_len(size)?;
        Ok(Session { uploads: Arc::clone(self), id: id.clone(), file, hash: Some(hash), size })
    }

    /// Bytes that an upload has so far.
    pub fn size(&self, repository: &Repository, id: &UploadId) -> Result<u64, Fault> {
        self.check(repository, id)?;
        if let Some(State::Idle(_, size)) = self.lock().get(id) {
            return Ok(*size);
        }
        match fs::metadata(self.path(id).join("data")) {
            Ok(data) => Ok(data.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown(repository, id)),
            Err(error) => Err(Fault::io("look at an upload")(error)),
        }
    }

    pub fn cancel(self: &Arc<Self>, repository: &Repository, id: &UploadId) -> Result<(), Fault> {
        self.resume(repository, id)?.discard();
        Ok(())
    }

    /// Removes uploads that nobody continued for `age`.
    pub fn sweep(&self, age: Duration) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(id) = UploadId::parse(&entry.file_name().to_string_lossy()) else { continue };
            let mut known = self.lock();
            if matches!(known.get(&id), Some(State::Busy)) {
                continue;
            }
            // One that has just ended is not here any more.
            let Ok(data) = entry.path().join("data").metadata().or_else(|_| entry.metadata()) else { continue };
            if !is_older(&data, age)? {
                continue;
            }
            known.remove(&id);
            match fs::remove_dir_all(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&self, repository: &Repository, id: &UploadId) -> Result<(), Fault> {
        let owner = fs::read_to_string(self.path(id).join("repository"));
        if owner.is_ok_and(|owner| owner == repository.as_str()) {
            return Ok(());
        }
        Err(unknown(repository, id))
    }

    fn path(&self, id: &UploadId) -> PathBuf {
        self.folder.join(&id.0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UploadId, State>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub fn id(&self) -> &UploadId {
        &self.id
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Another handle of the bytes, also after the upload has become a blob.
    pub fn reader(&self) -> io::Result<File> {
        File::open(self.uploads.path(&self.id).join("data"))
    }

    /// Appends bytes, all or (after an error) as many as counted in [`Session::size`].
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Checks the digest of the whole, brings it to disk and gives it the name `to`, unless that is there already.
    pub fn finish(mut self, expected: &Digest, to: &Path) -> Result<(), Fault> {
        let actual = Digest::from_bytes(self.hash.take().unwrap_or_default().finalize().into());
        if actual != *expected {
            let text = format!("wrong digest: the uploaded bytes are {actual}, not {expected}");
            self.discard();
            return Err(Fault::new(Code::DigestInvalid, text));
        }
        let named = if to.exists() { Ok(()) } else { self.name(to) };
        self.discard();
        named.map_err(Fault::io("keep a blob"))
    }

    fn name(&self, to: &Path) -> io::Result<()> {
        self.file.sync_data()?;
        fs::rename(self.uploads.path(&self.id).join("data"), to)?;
        let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
        File::open(folder)?.sync_all()
    }

    /// Ends the upload; nothing of it stays.
    pub fn discard(mut self) {
        self.hash = None;
        if let Err(error) = fs::remove_dir_all(self.uploads.path(&self.id)) {
            tracing::warn!(upload = %self.id, %error, "cannot remove an upload");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut known = self.uploads.lock();
        match self.hash.take() {
            Some(hash) => known.insert(self.id.clone(), State::Idle(Box::new(hash), self.size)),
            None => known.remove(&self.id),
        };
    }
}

fn unknown(repository: &Repository, id: &UploadId) -> Fault {
    Fault::new(Code::BlobUploadUnknown, format!("the repository {repository} has no upload {id}"))
}

fn in_use() -> Fault {
    let text = "another request is still sending to this upload: ask for its state again in a moment";
    Fault::new(Code::TooManyRequests, text.to_owned())
}

fn hash_of(file: &mut File) -> io::Result<(Sha256, u64)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((hash, size)),
            count => {
                hash.update(&piece[..count]);
                size += count as u64;
            }
        }
    }
}

pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether a file was last changed more than `age` ago.
pub fn is_older(data: &fs::Metadata, age: Duration) -> io::Result<bool> {
    let passed = SystemTime::now().duration_since(data.modified()?);
    Ok(passed.is_ok_and(|passed| passed > age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::digest_of;

    fn repository() -> Repository {
        Repository::parse("a/b").unwrap()
    }

    #[test]
    fn an_upload_survives_the_end_of_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let first = Arc::new(Uploads::open(folder.path()).unwrap());
        let mut session = first.begin(&repository()).unwrap();
        session.write(b"hello ").unwrap();
        let id = session.id().clone();
        drop((session, first));
        let second = Arc::new(Uploads::open(folder.path()).unwrap());
        let mut session = second.resume(&repository(), &id).unwrap();
        assert_eq!(session.size(), 6);
        session.write(b"world").unwrap();
        let to = folder.path().join("blob");
        session.finish(&digest_of(b"hello world"), &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"hello world");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_upload_belongs_to_its_repository_and_to_one_request() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Arc::new(Uploads::open(folder.path()).unwrap());
        let session = uploads.begin(&repository()).unwrap();
        let id = session.id().clone();
        assert_eq!(uploads.resume(&repository(), &id).unwrap_err().code, Code::TooManyRequests);
        drop(session);
        assert!(uploads.resume(&Repository::parse("other").unwrap(), &id).unwrap_err().is_unknown());
        uploads.cancel(&repository(), &id).unwrap();
        assert!(uploads.size(&repository(), &id).unwrap_err().is_unknown());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_upload_that_ends_meanwhile_is_unknown_and_no_failure_of_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Arc::new(Uploads::open(folder.path()).unwrap());
        let session = uploads.begin(&repository()).unwrap();
        let id = session.id().clone();
        drop(session);
        fs::remove_file(uploads.path(&id).join("data")).unwrap();
        assert!(uploads.resume(&repository(), &id).unwrap_err().is_unknown());
        assert!(uploads.size(&repository(), &id).unwrap_err().is_unknown());
    }

    #[test]
    fn bytes_of_another_digest_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Arc::new(Uploads::open(folder.path()).unwrap());
        let session = uploads.begin(&repository()).unwrap();
        let fault = session.finish(&digest_of(b"x"), &folder.path().join("blob")).unwrap_err();
        assert_eq!(fault.code, Code::DigestInvalid);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_forgotten_uploads_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Arc::new(Uploads::open(folder.path()).unwrap());
        let old = uploads.begin(&repository()).unwrap();
        old.file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let busy = uploads.begin(&repository()).unwrap();
        busy.file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let new = uploads.begin(&repository()).unwrap().id().clone();
        let (old, forgotten) = (old.id().clone(), old);
        drop(forgotten);
        uploads.sweep(Duration::from_secs(3600)).unwrap();
        assert!(uploads.size(&repository(), &old).is_err());
        assert!(uploads.size(&repository(), busy.id()).is_ok());
        assert!(uploads.size(&repository(), &new).is_ok());
    }
}
