//! A folder of this machine as a place for caches: an OCI layout (image-spec 1.1, image-layout.md).

use super::Blobs;
use super::document::LARGEST;
use crate::{Error, Result};
use base::Digest;
use base::atomic::{self, Durability};
use oci::image::{Descriptor, Index, media};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The annotation that names a manifest.
const NAME: &str = "org.opencontainers.image.ref.name";

/// An OCI layout. What is written belongs to who has the folder.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    /// Held while the index is read, changed and written.
    index: Mutex<()>,
}

impl Layout {
    /// The layout at `root`, which is made with the first blob.
    pub fn at(root: &Path) -> Layout {
        Layout { root: root.to_owned(), index: Mutex::default() }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    fn index(&self) -> Result<Index> {
        let path = self.root.join("index.json");
        let file = match regular(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Index::default()),
            other => other.map_err(Error::io(format!("open {}", path.display())))?,
        };
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(Error::io(format!("read {}", path.display())))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Invalid(format!("{} is broken: {error}", path.display())))
    }

    /// Folders that are missing are made, and belong to who has the one above.
    fn make(&self) -> Result<()> {
        let blobs = self.root.join("blobs/sha256");
        let missing: Vec<&Path> = blobs.ancestors().take_while(|path| !path.exists()).collect();
        for path in missing.into_iter().rev() {
            fs::create_dir(path).map_err(Error::io(format!("make {}", path.display())))?;
            give(path)?;
        }
        let layout = self.root.join("oci-layout");
        if !layout.exists() {
            self.write(&layout, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let written = atomic::write(path, bytes, 0o644, Durability::Process);
        written.map_err(Error::io(format!("write {}", path.display())))?;
        give(path)
    }
}

/// A file to be read. Who has the folder may have put a pipe in its place, which would hold the build up.
fn regular(path: &Path) -> io::Result<File> {
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// Gives what is new to who has the folder that it is in; never what he has put in its place a link to.
fn give(path: &Path) -> Result<()> {
    let failed = || Error::io(format!("give {} to who has its folder", path.display()));
    let parent = path.parent().map(fs::metadata).transpose().map_err(failed())?;
    let own = fs::symlink_metadata(path).map_err(failed())?;
    match parent {
        Some(parent) if (parent.uid(), parent.gid()) != (own.uid(), own.gid()) => {
            lchown(path, Some(parent.uid()), Some(parent.gid())).map_err(failed())
        }
        _ => Ok(()),
    }
}

impl Blobs for Layout {
    fn open(&self, blob: &Descriptor) -> Result<Option<Box<dyn Read + Send>>> {
        let path = self.path(&blob.digest);
        match regular(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => Ok(Some(Box::new(other.map_err(Error::io(format!("open {}", path.display())))?))),
        }
    }

    fn has(&self, blob: &Descriptor) -> Result<bool> {
        let found = fs::metadata(self.path(&blob.digest));
        Ok(found.is_ok_and(|found| found.is_file() && (blob.size == 0 || found.len() == blob.size)))
    }

    fn put(&self, blob: &Descriptor, content: &File) -> Result<()> {
        if self.has(blob)? {
            return Ok(());
        }
        self.make()?;
        let path = self.path(&blob.digest);
        let failed = || Error::io(format!("write {}", path.display()));
        let mut source = File::open(format!("/proc/self/fd/{}", content.as_raw_fd())).map_err(failed())?;
        source.rewind().map_err(failed())?;
        let draft = self.root.join("blobs/sha256").join(format!(".{}", base::Id::random()));
        let written = File::create_new(&draft).and_then(|mut draft| io::copy(&mut source, &mut draft));
        let written = written.and_then(|_| fs::rename(&draft, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&draft);
            return Err(failed()(error));
        }
        give(&path)
    }

    fn find(&self, tag: &str) -> Result<Option<Descriptor>> {
        let named = |entry: &Descriptor| entry.annotations.get(NAME).is_some_and(|name| name == tag);
        Ok(self.index()?.manifests.into_iter().find(named))
    }

    fn name(&self, tag: &str, manifest: &Descriptor) -> Result<()> {
        let _alone = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = self.index()?;
        index.schema_version = 2;
        index.media_type.get_or_insert_with(|| media::INDEX.to_owned());
        index.manifests.retain(|entry| entry.annotations.get(NAME).is_none_or(|name| name != tag));
        let mut entry = manifest.clone();
        entry.annotations.insert(NAME.to_owned(), tag.to_owned());
        index.manifests.push(entry);
        let bytes = serde_json::to_vec(&index).map_err(super::document::broken)?;
        self.write(&self.root.join("index.json"), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Write;

    #[test]
    fn what_is_put_is_found_again_by_its_digest_and_its_tag() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(&folder.path().join("a/b"));
        let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".parse().unwrap();
        let blob = Descriptor { media_type: "x".into(), digest, size: 5, annotations: BTreeMap::new(), platform: None };
        let mut content = tempfile::tempfile().unwrap();
        content.write_all(b"hello").unwrap();
        assert!(layout.open(&blob).unwrap().is_none() && layout.find("t").unwrap().is_none());
        layout.put(&blob, &content).unwrap();
        layout.put(&blob, &content).unwrap();
        layout.name("t", &blob).unwrap();
        layout.name("t", &blob).unwrap();
        let mut bytes = String::new();
        layout.open(&blob).unwrap().unwrap().read_to_string(&mut bytes).unwrap();
        assert_eq!(bytes, "hello");
        assert_eq!(layout.find("t").unwrap().map(|found| found.digest), Some(digest));
        assert_eq!(layout.index().unwrap().manifests.len(), 1);
        let left = fs::read_dir(folder.path().join("a/b/blobs/sha256")).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_pipe_in_place_of_a_file_holds_nothing_up() {
        use rustix::fs::{CWD, FileType};
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".parse().unwrap();
        let blob = Descriptor { media_type: "x".into(), digest, size: 5, annotations: BTreeMap::new(), platform: None };
        layout.make().unwrap();
        for path in [layout.path(&digest), folder.path().join("index.json")] {
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        }
        assert!(layout.open(&blob).is_err() && layout.find("t").is_err());
    }
}
