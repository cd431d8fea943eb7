//! An image from a registry: layers download and unpack side by side, each in one stream.
//!
//! ```text
//!   name --resolve--> manifest, configuration --layers--> blobs and trees in the stores --admit--> index
//! ```

pub(crate) mod flight;
mod layers;
mod resolve;
mod stream;

use crate::admit::{self, Documents};
use crate::catalog::{Catalog, Name, Record};
use crate::group::Group;
use crate::reference::Reference;
use crate::store::{Arrival, check_free, now};
use crate::{Error, Keep, Store, load, platform};
use base::Digest;
use oci::image::Platform;
use registry::Repository;
use resolve::Resolved;
use std::sync::Arc;

/// What is pulled, from where, by whom.
#[derive(Debug, Clone)]
pub struct Pull<'a> {
    /// With a tag or a digest.
    pub reference: &'a Reference,
    /// This machine's unless given.
    pub platform: Option<&'a Platform>,
    pub registry: &'a registry::Client,
    pub credentials: &'a registry::Credentials,
    pub cancel: &'a registry::Cancel,
    /// Layers that download at once.
    pub downloads: usize,
}

/// What happens during a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The manifest is here.
    Begun,
    /// `id`: 12 digits of the layer's blob.
    Layer { id: String, state: LayerState },
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerState {
    /// `Pulling fs layer`
    Found,
    Waiting,
    /// Bytes of the blob.
    Downloading {
        current: u64,
        total: u64,
    },
    /// All bytes are here and their digest is right: `Download complete`.
    Downloaded,
    /// Bytes of the blob that the tree has consumed.
    Extracting {
        current: u64,
        total: u64,
    },
    /// `Pull complete`
    Complete,
    /// `Already exists`
    Exists,
}

/// What a pull brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    pub id: Digest,
    /// Of the manifest or index that the reference names in the registry; `name@digest` is now a name of the image.
    pub digest: Digest,
    /// Whether the reference meant another image, or none, before.
    pub newer: bool,
}

impl Store {
    /// Pulls one image. Layers that another pull brings at the same time are fetched once. After an error, or when
    /// cancelled, nothing of it stays.
    ///
    /// A reference with a digest gives the image only the name `name@digest`, as Docker does.
    pub fn pull(&self, pull: &Pull<'_>, tell: &(dyn Fn(Step) + Sync)) -> Result<Pulled, Error> {
        let reference = pull.reference.clone().or_latest();
        check_free(&reference)?;
        let pull = &Pull { reference: &reference, ..pull.clone() };
        // From here on nothing is collected: a layer that is found to exist stays, whoever removes its image.
        let mut arrival = self.arrive();
        let stop = pull.cancel.child();
        let repository = pull.registry.repository(&reference.domain, &reference.path, pull.credentials, &stop);
        if let Some(pulled) = self.up_to_date(pull, &repository)? {
            tell(Step::Begun);
            return Ok(pulled);
        }
        let image = resolve::resolve(&repository, pull)?;
        tell(Step::Begun);
        let bringing = layers::Bringing::new(self, &repository, pull, tell, stop).of(&load::digest(&image.config));
        layers::bring(&bringing, &image.layers, &mut arrival)?;
        let pulled = self.admit(pull, &image, &mut arrival)?;
        drop(arrival);
        self.stores.sync_in_background();
        Ok(pulled)
    }

    /// Asks for the digest alone when the answer may be one that is here, complete.
    fn up_to_date(&self, pull: &Pull<'_>, repository: &Repository) -> Result<Option<Pulled>, Error> {
        let reference = pull.reference;
        let local = self.look(|catalog| named(catalog, reference));
        let Some(word) = local.and(reference.digest.map(|d| d.to_string()).or(reference.tag.clone())) else {
            return Ok(None);
        };
        // Whatever is wrong, fetching the manifest will tell.
        let Ok(Some(found)) = repository.find_manifest(&word) else { return Ok(None) };
        let by_digest = by_digest(reference, found.digest);
        let machine = platform::machine_platform();
        let wanted = pull.platform.unwrap_or(&machine);
        let known = self.look(|catalog| wanted_of(catalog, &by_digest, wanted, &found.digest));
        let Some((name, record)) = known else { return Ok(None) };
        if !self.is_complete(&record) {
            return Ok(None);
        }
        let Some(newer) = self.rename(reference, record.id, name)? else { return Ok(None) };
        Ok(Some(Pulled { id: record.id, digest: found.digest, newer }))
    }

    /// Gives a reference what its digest name stands for. `None`: it is gone.
    fn rename(&self, reference: &Reference, id: Digest, meant: Name) -> Result<Option<bool>, Error> {
        let (here, before) = self.look(|catalog| (catalog.records.contains_key(&id), named(catalog, reference)));
        if !here || before.is_some_and(|before| (before.id, before.index) == (meant.id, meant.index)) {
            return Ok(here.then_some(false));
        }
        self.change(|catalog| {
            if !catalog.records.contains_key(&id) {
                return Ok(None);
            }
            let name = reference.digest.map_or_else(|| reference.clone(), |digest| by_digest(reference, digest));
            match meant.index.filter(|index| catalog.groups.contains_key(index)) {
                Some(index) => catalog.name_index(&name, index, &now()),
                None => catalog.name(&name, id, &now()),
            }
            Ok(Some(true))
        })
    }

    fn is_complete(&self, record: &Record) -> bool {
        let trees = record.config.rootfs.diff_ids.iter().all(|diff_id| self.stores.layers.has(diff_id));
        let blobs = || record.layers.iter().all(|layer| self.stores.content.has(&layer.digest));
        trees && (self.keep == Keep::TreesOnly || blobs())
    }

    fn admit(&self, pull: &Pull<'_>, image: &Resolved, arrival: &mut Arrival<'_>) -> Result<Pulled, Error> {
        if pull.cancel.is_cancelled() {
            return Err(registry::Error::Cancelled.into());
        }
        let manifest = &image.manifest;
        let documents =
            Documents { manifest: &manifest.bytes, media_type: &manifest.media_type, config: &image.config };
        let record = admit::write(&self.stores, &documents, arrival)?;
        let index = image.index.as_ref().map(|index| self.stores.content.put(&index.bytes)).transpose()?;
        arrival.blobs.extend(index);
        let id = record.id;
        let newer = self.change(|catalog| {
            let before = named(catalog, pull.reference);
            let now = now();
            let is_new = !catalog.records.contains_key(&id);
            // The manifest of the registry takes the place of one that says the same in other words (of an archive).
            catalog.records.insert(id, Arc::new(record));
            let mut names = vec![by_digest(pull.reference, image.named)];
            names.extend(pull.reference.digest.is_none().then(|| pull.reference.clone()));
            match index {
                Some(index) => {
                    let group = Group::read(&self.stores, &index, &catalog.records)?;
                    catalog.groups.insert(index, Arc::new(group));
                    names.iter().for_each(|name| catalog.name_index(name, index, &now));
                }
                None => names.iter().for_each(|name| catalog.name(name, id, &now)),
            }
            let after = named(catalog, pull.reference);
            let same = before.zip(after).is_some_and(|(a, b)| (a.id, a.index) == (b.id, b.index));
            Ok(is_new || !same)
        })?;
        Ok(Pulled { id, digest: image.named, newer })
    }
}

/// Why a blob could not be read: the registry's own error where there is one.
fn unread(action: String, error: std::io::Error) -> Error {
    match error.downcast::<registry::Error>() {
        Ok(error) => error.into(),
        Err(source) => Error::Io { action, source },
    }
}

/// `name@digest`
pub(crate) fn by_digest(reference: &Reference, digest: Digest) -> Reference {
    Reference { tag: None, digest: Some(digest), ..reference.clone() }
}

/// What a reference means; one with a digest means that, whatever its tag.
fn named(catalog: &Catalog, reference: &Reference) -> Option<Name> {
    let full = match reference.digest {
        Some(digest) => by_digest(reference, digest),
        None => reference.clone(),
    };
    catalog.names.get(&full.to_string()).cloned()
}

/// What a digest name has for a platform, if nothing better could come from the registry.
fn wanted_of(
    catalog: &Catalog,
    by_digest: &Reference,
    wanted: &Platform,
    served: &Digest,
) -> Option<(Name, Arc<Record>)> {
    let name = named(catalog, by_digest)?;
    let record = match name.index.and_then(|index| catalog.groups.get(&index)) {
        Some(group) => catalog.records.get(&group.choice(wanted)?)?,
        None => {
            let record = catalog.records.get(&name.id)?;
            let is_it = record.manifest.digest == *served || platform::is_best(&record.config, wanted);
            Some(record).filter(|_| is_it)?
        }
    };
    Some((name, Arc::clone(record)))
}
