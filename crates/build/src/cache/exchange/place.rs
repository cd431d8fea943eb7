//! One place that has a cache: a repository, or a client's folder.

use super::document::{self, LARGEST};
use super::{Blobs, ExchangeKind, Export, Import, flag, needed};
use crate::context::Sources;
use crate::request::Keys;
use crate::{Error, Result};
use base::Digest;
use engine::Engine;
use image::Reference;
use oci::image::Descriptor;
use registry::{Cancel, Repository};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) enum Place {
    Registry(Repository),
    Folder(Arc<dyn Blobs>),
}

/// A manifest as it lies there.
pub(crate) struct Found {
    pub bytes: Vec<u8>,
    pub media_type: String,
}

/// Who asks, for whom.
pub(crate) struct Asking<'a> {
    pub engine: &'a Engine,
    pub sources: &'a dyn Sources,
    pub keys: &'a dyn Keys,
    pub cancel: &'a Cancel,
}

impl Asking<'_> {
    /// Where an import lies, and the name of its manifest there.
    pub fn source(&self, import: &Import) -> Result<(Place, String)> {
        let attributes = &import.attributes;
        match import.kind {
            ExchangeKind::Registry | ExchangeKind::Inline => self.repository(attributes, "the cache import"),
            ExchangeKind::Local => {
                let place = self.folder(needed(attributes, "src", "the local cache import")?)?;
                let name = attributes.get("digest").or(attributes.get("tag")).map_or("latest", String::as_str);
                Ok((place, name.to_owned()))
            }
            foreign @ ExchangeKind::Foreign(_) => Err(foreign.refused()),
        }
    }

    /// Where an export goes, and what its manifest is to be called.
    pub fn target(&self, export: &Export) -> Result<(Place, String)> {
        let attributes = &export.attributes;
        match export.kind {
            ExchangeKind::Registry => self.repository(attributes, "the cache export"),
            ExchangeKind::Local => {
                let place = self.folder(needed(attributes, "dest", "the local cache export")?)?;
                Ok((place, attributes.get("tag").map_or("latest", String::as_str).to_owned()))
            }
            ExchangeKind::Inline => Err(Error::Invalid("an inline cache goes with its image".to_owned())),
            foreign @ ExchangeKind::Foreign(_) => Err(foreign.refused()),
        }
    }

    fn repository(&self, attributes: &BTreeMap<String, String>, whose: &str) -> Result<(Place, String)> {
        let reference = Reference::parse(needed(attributes, "ref", whose)?)?.or_latest();
        // It would be for this place alone; the engine knows registries by their names.
        if flag(attributes, "registry.insecure", false)? {
            tracing::debug!("registry.insecure is what the engine's insecure-registries say");
        }
        let repository = self.engine.repository(&reference, &self.keys.of(&reference), self.cancel);
        let name = reference.digest.map(|digest| digest.to_string()).or(reference.tag).unwrap_or_default();
        Ok((Place::Registry(repository), name))
    }

    fn folder(&self, path: &str) -> Result<Place> {
        let none = || Error::Invalid(format!("this client cannot lend the folder {path:?} for a cache"));
        self.sources.blobs(path)?.map(Place::Folder).ok_or_else(none)
    }
}

impl Place {
    /// The manifest of a name; `None` when there is none.
    pub fn manifest(&self, name: &str) -> Result<Option<Found>> {
        match self {
            Place::Registry(repository) => {
                if repository.find_manifest(name).map_err(engine::Error::from)?.is_none() {
                    return Ok(None);
                }
                let found = repository.manifest(name).map_err(engine::Error::from)?;
                Ok(Some(Found { bytes: found.bytes, media_type: found.media_type }))
            }
            Place::Folder(blobs) => {
                let named = match name.parse::<Digest>() {
                    Ok(digest) => Some(nameless(digest)),
                    Err(_) => blobs.find(name)?,
                };
                let Some(descriptor) = named else { return Ok(None) };
                let bytes = self.document(&descriptor)?;
                Ok(Some(Found { bytes, media_type: descriptor.media_type }))
            }
        }
    }

    /// A small blob, verified.
    pub fn document(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        let unread = |source| Error::Io { action: format!("read the cache's blob {}", blob.digest), source };
        let mut bytes = Vec::new();
        let reader = self.open(blob)?;
        reader.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unread)?;
        if bytes.len() as u64 > LARGEST {
            return Err(Error::Invalid(format!("the cache's blob {} is too large to be a document", blob.digest)));
        }
        let actual = Digest::from_bytes(Sha256::digest(&bytes).into());
        if actual != blob.digest {
            return Err(Error::Checksum { expected: blob.digest.to_string(), actual: actual.to_string() });
        }
        Ok(bytes)
    }

    pub fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        match self {
            Place::Registry(repository) if blob.size > 0 => Ok(repository.blob(blob).map_err(engine::Error::from)?),
            Place::Registry(repository) => {
                let size = repository.find_blob(&blob.digest).map_err(engine::Error::from)?;
                let size = size.ok_or_else(|| missing(blob))?;
                Ok(repository.blob(&Descriptor { size, ..blob.clone() }).map_err(engine::Error::from)?)
            }
            Place::Folder(blobs) => blobs.open(blob)?.ok_or_else(|| missing(blob)),
        }
    }

    pub fn has(&self, blob: &Descriptor) -> Result<bool> {
        match self {
            Place::Registry(repository) => Ok(repository.has_blob(&blob.digest).map_err(engine::Error::from)?),
            Place::Folder(blobs) => blobs.has(blob),
        }
    }

    pub fn put(&self, blob: &Descriptor, content: &File) -> Result<()> {
        match self {
            Place::Registry(repository) => {
                let path = format!("/proc/self/fd/{}", content.as_raw_fd());
                let open = || -> io::Result<File> { File::open(&path) };
                Ok(repository.push_blob(blob, &open, &|_| {}).map_err(engine::Error::from)?)
            }
            Place::Folder(blobs) => blobs.put(blob, content),
        }
    }

    /// Keeps the manifest of a cache, and gives it its name.
    pub fn finish(&self, name: &str, manifest: &document::Written, content: &File) -> Result<()> {
        match self {
            Place::Registry(repository) => {
                let kind = &manifest.descriptor.media_type;
                repository.push_manifest(name, kind, &manifest.bytes).map_err(engine::Error::from)?;
                Ok(())
            }
            Place::Folder(blobs) => {
                blobs.put(&manifest.descriptor, content)?;
                blobs.name(name, &manifest.descriptor)
            }
        }
    }
}

fn missing(blob: &Descriptor) -> Error {
    Error::Invalid(format!("the cache does not have the blob {} that it names", blob.digest))
}

/// One of which no more is known.
fn nameless(digest: Digest) -> Descriptor {
    Descriptor { media_type: String::new(), digest, size: 0, annotations: BTreeMap::new(), platform: None }
}
