//! The only file that knows how repositories lie on disk.
//!
//! ```text
//!   repositories/NAME/_tags/TAG              the digest of a manifest
//!                     _manifests/HEX         the type of a manifest; its bytes are a blob
//!                     _blobs/HEX             empty: the blob belongs to the repository, since the file's time
//!                     _referrers/HEX/HEX     how a list shows a manifest (second) that has a subject (first)
//! ```
//!
//! No component of a repository's name begins with `_`, so the folders of `a` and of `a/b` never meet.

use super::uploads::{is_older, make_folder};
use crate::name::{Repository, Tag};
use base::Digest;
use base::atomic::{self, Durability};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TAGS: &str = "_tags";
const MANIFESTS: &str = "_manifests";
const BLOBS: &str = "_blobs";
const REFERRERS: &str = "_referrers";
const VERSION: u32 = 1;

/// The folder of one repository.
#[derive(Debug)]
pub struct Place(PathBuf);

/// What is kept of a manifest besides its bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestRecord {
    version: u32,
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
}

impl ManifestRecord {
    pub fn new(media_type: &str, subject: Option<Digest>) -> ManifestRecord {
        ManifestRecord { version: VERSION, media_type: media_type.to_owned(), subject }
    }
}

impl Place {
    pub fn of(root: &Path, repository: &Repository) -> Place {
        Place(root.join("repositories").join(repository.as_str()))
    }

    pub fn exists(&self) -> bool {
        self.0.join(MANIFESTS).is_dir() || self.0.join(BLOBS).is_dir()
    }

    pub fn tag(&self, tag: &Tag) -> io::Result<Option<Digest>> {
        let Some(bytes) = read(&self.0.join(TAGS).join(tag.as_str()))? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        text.trim().parse().map(Some).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// When a tag was set.
    pub fn tagged_at(&self, tag: &Tag) -> io::Result<std::time::SystemTime> {
        fs::metadata(self.0.join(TAGS).join(tag.as_str()))?.modified()
    }

    pub fn set_tag(&self, tag: &Tag, digest: &Digest) -> io::Result<()> {
        write(&self.0.join(TAGS), tag.as_str(), digest.to_string().as_bytes())
    }

    /// `false`: it was not there.
    pub fn remove_tag(&self, tag: &Tag) -> io::Result<bool> {
        remove(&self.0.join(TAGS).join(tag.as_str()))
    }

    pub fn tags(&self) -> io::Result<Vec<Tag>> {
        let mut tags: Vec<Tag> = names(&self.0.join(TAGS))?.iter().flat_map(|name| Tag::parse(name)).collect();
        tags.sort();
        Ok(tags)
    }

    pub fn manifest(&self, digest: &Digest) -> io::Result<Option<ManifestRecord>> {
        let Some(bytes) = read(&self.0.join(MANIFESTS).join(digest.hex()))? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    pub fn set_manifest(&self, digest: &Digest, record: &ManifestRecord) -> io::Result<()> {
        write(&self.0.join(MANIFESTS), &digest.hex(), &serde_json::to_vec(record)?)
    }

    /// `false`: it was not there.
    pub fn remove_manifest(&self, digest: &Digest) -> io::Result<bool> {
        remove(&self.0.join(MANIFESTS).join(digest.hex()))
    }

    pub fn manifests(&self) -> io::Result<Vec<Digest>> {
        digests(&self.0.join(MANIFESTS))
    }

    /// Where the mark lies that a blob belongs to this repository.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.0.join(BLOBS).join(digest.hex())
    }

    pub fn add_blob(&self, digest: &Digest) -> io::Result<()> {
        write(&self.0.join(BLOBS), &digest.hex(), b"")
    }

    /// `false`: it was not there.
    pub fn remove_blob(&self, digest: &Digest) -> io::Result<bool> {
        remove(&self.blob(digest))
    }

    pub fn blobs(&self) -> io::Result<Vec<Digest>> {
        digests(&self.0.join(BLOBS))
    }

    pub fn add_referrer(&self, subject: &Digest, digest: &Digest, shown: &serde_json::Value) -> io::Result<()> {
        write(&self.0.join(REFERRERS).join(subject.hex()), &digest.hex(), &serde_json::to_vec(shown)?)
    }

    pub fn remove_referrer(&self, subject: &Digest, digest: &Digest) -> io::Result<bool> {
        remove(&self.0.join(REFERRERS).join(subject.hex()).join(digest.hex()))
    }

    /// The manifests that have `subject` as their subject, and how a list shows them.
    pub fn referrers(&self, subject: &Digest) -> io::Result<Vec<(Digest, serde_json::Value)>> {
        let folder = self.0.join(REFERRERS).join(subject.hex());
        let mut found = Vec::new();
        for digest in digests(&folder)? {
            if let Some(bytes) = read(&folder.join(digest.hex()))? {
                found.push((digest, serde_json::from_slice(&bytes)?));
            }
        }
        Ok(found)
    }

    /// Removes temporary files that a crash left. No name that counts begins with a dot.
    pub fn remove_leftovers(&self, age: Duration) -> io::Result<()> {
        let subjects = names(&self.0.join(REFERRERS))?;
        let subjects = subjects.iter().map(|name| self.0.join(REFERRERS).join(name));
        for folder in [TAGS, MANIFESTS, BLOBS].map(|name| self.0.join(name)).into_iter().chain(subjects) {
            for name in names(&folder)?.iter().filter(|name| name.starts_with('.')) {
                if is_older(&fs::metadata(folder.join(name))?, age)? {
                    remove(&folder.join(name))?;
                }
            }
        }
        Ok(())
    }

    /// Removes the folders of a repository in which nothing is left.
    pub fn remove_empty(&self) {
        for name in names(&self.0.join(REFERRERS)).unwrap_or_default() {
            let _ = fs::remove_dir(self.0.join(REFERRERS).join(name));
        }
        for name in [REFERRERS, TAGS, MANIFESTS, BLOBS] {
            let _ = fs::remove_dir(self.0.join(name));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// All repositories below `root`, sorted.
pub fn repositories(root: &Path) -> io::Result<Vec<Repository>> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(prefix) = open.pop() {
        for name in names(&root.join("repositories").join(&prefix))? {
            let full = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let Ok(repository) = Repository::parse(&full) else { continue };
            if Place::of(root, &repository).exists() {
                found.push(repository);
            }
            open.push(full);
        }
    }
    found.sort();
    Ok(found)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    make_folder(folder)?;
    atomic::write(&folder.join(name), bytes, 0o600, Durability::PowerCut)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn digests(folder: &Path) -> io::Result<Vec<Digest>> {
    let mut found: Vec<Digest> = names(folder)?.iter().flat_map(|hex| format!("sha256:{hex}").parse()).collect();
    found.sort();
    Ok(found)
}

/// The entries of a folder, none for one that is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
