//! A registry over the images of the local engine.
//!
//! Reading goes to the engine's content store, which stays as it is; layers that it keeps as trees alone are made again when
//! they are asked for (trees.rs). What is pushed waits in a folder beside it; an
//! image that is complete goes to the engine by its API and is then served from the engine's store. What is no image
//! (an index, an artifact, an attestation, whatever has a subject) stays in the folder and is served from there.
//!
//! A tag can be in both. The engine's counts, unless the folder's was pushed later and is no image, or is the same
//! image under another manifest: then it is the one that the client pushed, byte for byte.

mod handover;
mod trees;
pub mod view;

use crate::blobs::Blobs;
use crate::document::{Document, MAX_MANIFEST, Part, Shape, is_index};
use crate::fault::{Code, Fault};
use crate::folder::uploads::{Session, Uploads};
use crate::folder::{Folder, check_part};
use crate::name::{Reference, Repository, Tag};
use crate::storage::{Content, Manifest, Push, Storage, Writing, unknown_blob, unknown_manifest, unknown_name};
use api::client::Endpoint;
use base::Digest;
use handover::Parcel;
use oci::image::media;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use trees::Trees;
use view::{Entry, View, full_name, repository_of};

/// The local engine as a registry.
#[derive(Debug)]
pub struct Engine {
    view: View,
    blobs: Blobs,
    trees: Trees,
    /// What is pushed, and what of it is no image; layers that were made of their trees, for as long as somebody asks for them.
    staging: Folder,
    endpoint: Endpoint,
}

impl Engine {
    /// Over the engine whose data is at `data_root` and that listens at `endpoint`.
    pub fn new(data_root: &Path, endpoint: Endpoint, staging: Folder) -> Engine {
        let content = data_root.join("content");
        let trees = Trees::of(&data_root.join("layers"));
        Engine { view: View::of(&content), blobs: Blobs::of(&content), trees, staging, endpoint }
    }

    /// The engine's manifest of that digest in a repository: an entry, or behind an index that is one.
    fn entry_by_digest(&self, repository: &Repository, digest: &Digest) -> Result<Option<Manifest>, Fault> {
        for entry in self.view.entries_of(repository)? {
            if entry.descriptor.digest == *digest {
                return self.load(digest, &entry.descriptor.media_type);
            }
            if let Some(index) = self.index_of(&entry)? {
                if index.digest == *digest {
                    return Ok(Some(manifest(&index)));
                }
                if let Some(part) = index.parts().into_iter().find(|part| part.digest == *digest) {
                    return self.load(digest, &part.media_type);
                }
            }
            if is_index(&entry.descriptor.media_type)
                && let Some(index) = self.load(&entry.descriptor.digest, &entry.descriptor.media_type)?
                && let Ok(index) = Document::parse(index.bytes, Some(&index.media_type))
                && let Some(part) = index.parts().into_iter().find(|part| part.digest == *digest)
            {
                return self.load(digest, &part.media_type);
            }
        }
        Ok(None)
    }

    fn load(&self, digest: &Digest, media_type: &str) -> Result<Option<Manifest>, Fault> {
        let bytes = self.blobs.read(digest, MAX_MANIFEST as u64).map_err(Fault::io("read a manifest"))?;
        Ok(bytes.map(|bytes| Manifest { bytes, media_type: media_type.to_owned(), digest: *digest }))
    }

    /// Which manifest a tag means, and whether the engine or the folder has it.
    fn by_tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Manifest>, Fault> {
        let entry = self.view.tag(repository, tag)?;
        if let Some(manifest) = self.staged(repository, tag)?
            && self.staged_counts(repository, tag, &manifest, entry.as_ref())?
        {
            return Ok(Some(manifest));
        }
        let Some(entry) = entry else { return Ok(None) };
        // Of an index of which not all is here a client gets the image that is.
        if let Some(index) = self.index_of(&entry)?
            && self.has_all(&index)?
        {
            return Ok(Some(manifest(&index)));
        }
        self.load(&entry.descriptor.digest, &entry.descriptor.media_type)
    }

    /// The index that an entry is a name of.
    fn index_of(&self, entry: &Entry) -> Result<Option<Document>, Fault> {
        let Some(digest) = entry.index() else { return Ok(None) };
        let bytes = self.blobs.read(&digest, MAX_MANIFEST as u64).map_err(Fault::io("read an index"))?;
        let read = |bytes: Vec<u8>| {
            // One of OCI need not say what it is.
            let named = Document::parse(bytes.clone(), None);
            named.or_else(|_| Document::parse(bytes, Some(media::INDEX))).ok()
        };
        Ok(bytes.and_then(read))
    }

    fn has_all(&self, index: &Document) -> Result<bool, Fault> {
        for part in index.parts() {
            if self.blobs.size(&part.digest).map_err(Fault::io("look at a manifest"))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn staged(&self, repository: &Repository, tag: &Tag) -> Result<Option<Manifest>, Fault> {
        match self.staging.manifest(repository, &Reference::Tag(tag.clone())) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(fault) if fault.is_unknown() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn staged_counts(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
        entry: Option<&Entry>,
    ) -> Result<bool, Fault> {
        let document = Document::parse(manifest.bytes.clone(), Some(&manifest.media_type))?;
        match (config_of(&document), entry) {
            (Some(_), None) => Ok(false),
            (Some(config), Some(entry)) => {
                let other = self.load(&entry.descriptor.digest, &entry.descriptor.media_type)?;
                let other = other.and_then(|other| Document::parse(other.bytes, Some(&other.media_type)).ok());
                Ok(other.is_some_and(|other| config_of(&other) == Some(config)))
            }
            (None, None) => Ok(true),
            (None, Some(entry)) => {
                let place = self.staging.place(repository);
                let staged_at = place.tagged_at(tag).map_err(Fault::io("look at a tag"))?;
                let staged_at = jiff::Timestamp::try_from(staged_at).unwrap_or_default();
                Ok(entry.tagged_at().is_none_or(|engine| staged_at > engine))
            }
        }
    }

    /// The size of a blob that is in the folder, for this repository, or in the engine's store.
    fn size_of(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>, Fault> {
        if let Some(size) = self.staging.size_in(repository, digest)? {
            return Ok(Some(size));
        }
        self.blobs.size(digest).map_err(Fault::io("look at a blob"))
    }

    /// What an image of the repository names.
    fn part(&self, repository: &Repository, digest: &Digest) -> Option<Part> {
        let part_of = |manifest: Option<Manifest>| {
            let manifest = manifest?;
            let document = Document::parse(manifest.bytes, Some(&manifest.media_type)).ok()?;
            document.parts().into_iter().find(|part| part.digest == *digest).cloned()
        };
        self.view.entries_of(repository).unwrap_or_default().into_iter().find_map(|entry| {
            let of = |digest: &Digest, media_type: &str| part_of(self.load(digest, media_type).ok().flatten());
            let index = || self.index_of(&entry).ok().flatten();
            of(&entry.descriptor.digest, &entry.descriptor.media_type)
                .or_else(|| index()?.parts().into_iter().find_map(|part| of(&part.digest, &part.media_type)))
        })
    }

    /// A layer that lies here as a tree alone, which may give its bytes again.
    fn tree(&self, repository: &Repository, digest: &Digest) -> Option<Part> {
        if !self.trees.has(digest) || self.staging.writing().is_err() {
            return None;
        }
        let is_plain = |part: &Part| matches!(part.media_type.as_str(), media::LAYER | media::DOCKER_LAYER);
        self.part(repository, digest).filter(is_plain)
    }

    fn missing_blob(&self, repository: &Repository, digest: &Digest) -> Fault {
        if self.part(repository, digest).is_none() {
            return unknown_blob(repository, digest);
        }
        let text = format!(
            "the engine has not kept the blob {digest}, only what was in it: let it keep blobs and pull {repository} again"
        );
        Fault::new(Code::BlobUnknown, text)
    }

    fn check_parts(&self, repository: &Repository, push: &Push) -> Result<(), Fault> {
        for part in push.document.parts().into_iter().filter(|part| !part.foreign) {
            let size = match &push.document.shape {
                Shape::Manifest { .. } => self.size_of(repository, &part.digest)?,
                Shape::Index { .. } => match self.manifest(repository, &Reference::Digest(part.digest)) {
                    Ok(manifest) => Some(manifest.bytes.len() as u64),
                    Err(fault) if fault.is_unknown() => None,
                    Err(fault) => return Err(fault),
                },
            };
            check_part(repository, part, size)?;
        }
        Ok(())
    }

    fn hand_over(&self, repository: &Repository, push: &Push, tag: &Tag) -> Result<(), Fault> {
        let document = &push.document;
        let invalid = || Fault::new(Code::NameInvalid, format!("{repository} is no name of an image"));
        let mut name = full_name(repository).ok_or_else(invalid)?;
        name.tag = Some(tag.to_string());
        let mut blobs = Vec::new();
        let mut known = BTreeSet::new();
        for part in document.parts().into_iter().filter(|part| known.insert(part.digest)) {
            let (file, size) = self.open(repository, &part.digest)?;
            blobs.push((part.digest, file, size));
        }
        let (media_type, manifest) = (document.media_type.clone(), document.bytes.clone());
        handover::load(&self.endpoint, Parcel { name, media_type, digest: document.digest, manifest, blobs })
    }

    fn open(&self, repository: &Repository, digest: &Digest) -> Result<(std::fs::File, u64), Fault> {
        match self.blob(repository, digest)? {
            Content::Whole { file, size } => Ok((file, size)),
            Content::Arriving(_) => Err(unknown_blob(repository, digest)),
        }
    }

    /// After a hand-over: what the engine has need not be in the folder as well.
    fn settle(&self, repository: &Repository, push: &Push, tag: &Tag) -> Result<(), Fault> {
        let staging = &self.staging;
        let document = &push.document;
        let kept = self.view.tag(repository, tag)?.is_some_and(|entry| entry.descriptor.digest == document.digest);
        if !kept || document.subject.is_some() {
            return staging.keep_manifest(repository, push);
        }
        let failed = Fault::io("clean up after a push");
        staging.place(repository).remove_tag(tag).map_err(&failed)?;
        let blobs: Vec<Digest> = document.parts().iter().map(|part| part.digest).collect();
        staging.release(repository, &blobs).map_err(&failed)
    }
}

/// A document as it is served.
fn manifest(document: &Document) -> Manifest {
    let (bytes, media_type) = (document.bytes.clone(), document.media_type.clone());
    Manifest { bytes, media_type, digest: document.digest }
}

/// The configuration of an image.
fn config_of(document: &Document) -> Option<Digest> {
    match &document.shape {
        Shape::Manifest { config, .. } if document.is_image() => Some(config.digest),
        _ => None,
    }
}

impl Storage for Engine {
    fn manifest(&self, repository: &Repository, reference: &Reference) -> Result<Manifest, Fault> {
        let found = match reference {
            Reference::Tag(tag) => self.by_tag(repository, tag)?,
            Reference::Digest(digest) => self.entry_by_digest(repository, digest)?,
        };
        match (found, reference) {
            (Some(manifest), _) => Ok(manifest),
            (None, Reference::Digest(_)) => self.staging.manifest(repository, reference),
            (None, Reference::Tag(_)) => Err(unknown_manifest(repository, reference)),
        }
    }

    fn blob(&self, repository: &Repository, digest: &Digest) -> Result<Content, Fault> {
        if let Some((file, size)) = self.blobs.open(digest).map_err(Fault::io("open a blob"))? {
            return Ok(Content::Whole { file, size });
        }
        match self.staging.blob(repository, digest) {
            Err(fault) if fault.is_unknown() => {}
            answer => return answer,
        }
        if self.tree(repository, digest).is_some() && self.trees.make(digest, &self.staging, repository)? {
            return self.staging.blob(repository, digest);
        }
        Err(self.missing_blob(repository, digest))
    }

    fn blob_size(&self, repository: &Repository, digest: &Digest) -> Result<u64, Fault> {
        let here = self.size_of(repository, digest)?;
        // It is made when its bytes are asked for.
        let size = here.or_else(|| self.tree(repository, digest).map(|part| part.size));
        size.ok_or_else(|| self.missing_blob(repository, digest))
    }

    fn tags(&self, repository: &Repository) -> Result<Vec<String>, Fault> {
        let entries = self.view.entries_of(repository)?;
        let plain = entries.iter().filter(|entry| entry.name.digest.is_none());
        let mut tags: BTreeSet<String> = plain.filter_map(|entry| entry.name.tag.clone()).collect();
        let staged = self.staging.tags(repository).ok();
        if entries.is_empty() && staged.is_none() {
            return Err(unknown_name(repository));
        }
        for text in staged.unwrap_or_default() {
            if !tags.contains(&text) && self.by_tag(repository, &Tag::parse(&text)?)?.is_some() {
                tags.insert(text);
            }
        }
        Ok(tags.into_iter().collect())
    }

    fn repositories(&self) -> Result<Vec<String>, Fault> {
        let entries = self.view.entries()?;
        let mut all: BTreeSet<String> = entries.iter().filter_map(|entry| repository_of(&entry.name)).collect();
        all.extend(self.staging.repositories()?);
        Ok(all.into_iter().collect())
    }

    fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Value>, Fault> {
        self.staging.referrers(repository, subject)
    }

    fn writing(&self) -> Result<&dyn Writing, Fault> {
        self.staging.writing().map(|_| self as &dyn Writing)
    }

    fn sweep(&self) -> Result<(), Fault> {
        self.staging.sweep()
    }
}

impl Writing for Engine {
    fn uploads(&self) -> &Arc<Uploads> {
        self.staging.uploads()
    }

    fn keep(&self, repository: &Repository, session: Session, digest: &Digest) -> Result<(), Fault> {
        self.staging.keep(repository, session, digest)
    }

    fn mount(&self, repository: &Repository, from: Option<&Repository>, digest: &Digest) -> Result<bool, Fault> {
        // A blob of the engine's store is part of every repository.
        let here = self.blobs.size(digest).map_err(Fault::io("look at a blob"))?.is_some();
        if here { Ok(true) } else { self.staging.mount(repository, from, digest) }
    }

    fn put_manifest(&self, repository: &Repository, push: &Push) -> Result<(), Fault> {
        self.check_parts(repository, push)?;
        if !push.document.is_image() || push.tags.is_empty() {
            return self.staging.keep_manifest(repository, push);
        }
        for tag in &push.tags {
            self.hand_over(repository, push, tag)?;
        }
        push.tags.iter().try_for_each(|tag| self.settle(repository, push, tag))
    }

    fn delete_manifest(&self, repository: &Repository, reference: &Reference) -> Result<(), Fault> {
        let named = |entry: &Entry| match reference {
            Reference::Tag(tag) => entry.name.tag.as_deref() == Some(tag.as_str()) && entry.name.digest.is_none(),
            Reference::Digest(digest) => entry.descriptor.digest == *digest,
        };
        let entries: Vec<Entry> = self.view.entries_of(repository)?.into_iter().filter(named).collect();
        for entry in &entries {
            handover::remove(&self.endpoint, &entry.name)?;
        }
        match self.staging.delete_manifest(repository, reference) {
            Err(fault) if fault.is_unknown() && !entries.is_empty() => Ok(()),
            other => other,
        }
    }

    fn delete_blob(&self, repository: &Repository, digest: &Digest) -> Result<(), Fault> {
        match self.staging.delete_blob(repository, digest) {
            Err(fault) if fault.is_unknown() && self.blobs.size(digest).is_ok_and(|size| size.is_some()) => {
                let text = "the blob is the engine's, which removes it with the last image that needs it";
                Err(Fault::new(Code::Unsupported, text.to_owned()))
            }
            other => other,
        }
    }
}
