//! The engine's images as a registry sees them: its index, read and never written.

use crate::fault::Fault;
use crate::name::{Repository, Tag};
use base::Digest;
use image::Reference;
use image::reference::Reference as FullName;
use oci::image::{Descriptor, Index};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// image-spec 1.1, annotations.md; the second as containerd and Docker write it.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
pub const FULL_NAME: &str = "io.containerd.image.name";
const TAGGED_AT: &str = "dhow.image.tagged-at";
/// The index that a name stands for, beside the manifest of the image that is shown (crate image).
const INDEX: &str = "dhow.image.index";

/// One name of an image.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: FullName,
    pub descriptor: Descriptor,
}

impl Entry {
    pub fn index(&self) -> Option<Digest> {
        self.descriptor.annotations.get(INDEX)?.parse().ok()
    }

    pub fn tagged_at(&self) -> Option<jiff::Timestamp> {
        self.descriptor.annotations.get(TAGGED_AT)?.parse().ok()
    }
}

/// The index of an engine's content store, read again whenever the engine has written it.
#[derive(Debug)]
pub struct View {
    path: PathBuf,
    known: Mutex<Option<(Stamp, Arc<Vec<Entry>>)>>,
}

/// The index is replaced as a whole, so that each version is another file.
type Stamp = (u64, u64, i64, i64);

impl View {
    /// Of the content store at `root`.
    pub fn of(root: &Path) -> View {
        View { path: root.join("index.json"), known: Mutex::default() }
    }

    /// All names of all images; none before the engine ran for the first time.
    pub fn entries(&self) -> Result<Arc<Vec<Entry>>, Fault> {
        self.read().map_err(Fault::io("read the engine's images"))
    }

    /// The entries of a repository.
    pub fn entries_of(&self, repository: &Repository) -> Result<Vec<Entry>, Fault> {
        let Some(full) = full_name(repository) else { return Ok(Vec::new()) };
        let same = |entry: &&Entry| entry.name.domain == full.domain && entry.name.path == full.path;
        Ok(self.entries()?.iter().filter(same).cloned().collect())
    }

    pub fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Entry>, Fault> {
        let entries = self.entries_of(repository)?;
        let plain = |entry: &Entry| entry.name.digest.is_none() && entry.name.tag.as_deref() == Some(tag.as_str());
        Ok(entries.into_iter().find(plain))
    }

    fn read(&self) -> io::Result<Arc<Vec<Entry>>> {
        let data = match fs::metadata(&self.path) {
            Ok(data) => data,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(error),
        };
        let stamp = (data.ino(), data.len(), data.mtime(), data.mtime_nsec());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, entries)) = known.as_ref().filter(|(old, _)| *old == stamp) {
            return Ok(Arc::clone(entries));
        }
        let index: Index = serde_json::from_slice(&fs::read(&self.path)?)?;
        let entries = Arc::new(index.manifests.into_iter().filter_map(entry).collect());
        *known = Some((stamp, Arc::clone(&entries)));
        Ok(entries)
    }
}

fn entry(descriptor: Descriptor) -> Option<Entry> {
    let name = Reference::parse(descriptor.annotations.get(FULL_NAME)?).ok()?.or_latest();
    Some(Entry { name, descriptor })
}

/// The image that a repository means: `busybox` and `library/busybox` are `docker.io/library/busybox`, and a mirror is
/// told the registry apart from the name.
pub fn full_name(repository: &Repository) -> Option<FullName> {
    let text = match repository.namespace() {
        Some(namespace) => format!("{namespace}/{repository}"),
        None => repository.to_string(),
    };
    Reference::parse(&text).ok()
}

/// How a client of this registry writes an image's name; nothing for a registry with a port, which only a mirror's
/// client can ask for.
pub fn repository_of(name: &FullName) -> Option<String> {
    Repository::parse(&name.familiar_name()).ok().map(|repository| repository.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(name: &str, namespace: Option<&str>) -> String {
        full_name(&Repository::parse(name).unwrap().within(namespace.map(str::to_owned))).unwrap().name()
    }

    #[test]
    fn short_names_mean_docker_hub() {
        assert_eq!(full("busybox", None), "docker.io/library/busybox");
        assert_eq!(full("library/busybox", None), "docker.io/library/busybox");
        assert_eq!(full("foo/bar", None), "docker.io/foo/bar");
        assert_eq!(full("ghcr.io/foo/bar", None), "ghcr.io/foo/bar");
        assert_eq!(full("library/busybox", Some("docker.io")), "docker.io/library/busybox");
        assert_eq!(full("a/b", Some("localhost:5000")), "localhost:5000/a/b");
    }

    #[test]
    fn a_store_that_is_not_there_is_empty_and_a_new_index_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let view = View::of(folder.path());
        assert!(view.entries().unwrap().is_empty());
        let digest = format!("sha256:{}", "a".repeat(64));
        let annotations = serde_json::json!({ FULL_NAME: "docker.io/library/x:1" });
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": [
            { "mediaType": oci::image::media::MANIFEST, "digest": digest, "size": 1, "annotations": annotations }
        ]});
        fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
        let entry = view.tag(&Repository::parse("x").unwrap(), &Tag::parse("1").unwrap()).unwrap().unwrap();
        assert_eq!(entry.descriptor.digest.to_string(), digest);
        assert_eq!(repository_of(&entry.name).as_deref(), Some("x"));
    }
}
