//! Images from an archive: `docker save` (old and new), skopeo, podman, buildah, OCI layouts.
//!
//! ```text
//!   archive --read--> documents in memory, layers already in the stores --docker|oci--> images --add--> index
//! ```
//!
//! The archive is read once, in whatever order it comes. What looks like a layer is stored and unpacked while it
//! passes; whether an image needs it shows only when the archive's own index has been read. What none needs, and
//! everything after an error, is removed.
//!
//! An archive with `manifest.json` is read as Docker's, even if it is an OCI layout as well (as Docker's own are since
//! 25.0, and ours): then the layout's manifest is kept as it is.

mod docker;
mod indexes;
mod layout;
mod read;

use crate::admit::{self, Documents, descriptor};
use crate::catalog::Record;
use crate::group::Group;
use crate::reference::Reference;
use crate::store::{Arrival, check_free, now};
use crate::taking::Taken;
use crate::{Error, Progress, Store, platform};
use base::Digest;
use oci::image::{Descriptor, Manifest, Platform, media};
use sha2::Digest as _;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What an archive held.
#[derive(Default)]
pub(crate) struct Contents {
    /// Small files, by normal path.
    documents: HashMap<Vec<u8>, Vec<u8>>,
    /// Layers, or why a file that looked like one is none. The error counts only when an image needs it.
    layers: HashMap<Vec<u8>, Result<Taken, Error>>,
    /// Links between files of the archive, target as a normal path.
    links: HashMap<Vec<u8>, Vec<u8>>,
}

/// An image of the archive, every digest verified.
pub(crate) struct Arrived {
    pub manifest: Vec<u8>,
    pub media_type: String,
    pub config: Vec<u8>,
    pub names: Vec<Reference>,
    /// Of one that was committed.
    pub parent: Option<Digest>,
}

/// An index of the archive, every digest verified.
pub(crate) struct ArrivedIndex {
    index: Vec<u8>,
    /// Those that are in the archive.
    images: Vec<Arrived>,
    /// Of attestations.
    documents: Vec<Vec<u8>>,
    names: Vec<Reference>,
}

impl Store {
    /// Loads all images of an archive, which may be compressed as a whole with gzip or zstd. Of an index, all that the archive
    /// has.
    pub fn load(&self, archive: &mut dyn std::io::Read, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        self.load_for(archive, None, progress)
    }

    /// As [`Store::load`]; with a platform, only the images that are for it.
    pub fn load_for(
        &self,
        archive: &mut dyn std::io::Read,
        platform: Option<&Platform>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let mut arrival = self.arrive();
        let mut contents = read::read(self, archive, &mut arrival, progress)?;
        let (images, indexes) = contents.images(platform)?;
        let names = images.iter().flat_map(|image| &image.names);
        names.chain(indexes.iter().flat_map(|index| &index.names)).try_for_each(check_free)?;
        let done = self.add_all(images, indexes, &mut arrival)?;
        drop(arrival);
        self.stores.sync_in_background();
        done.into_iter().for_each(progress);
        Ok(())
    }

    /// Puts images into the index, all at once.
    pub(crate) fn add(&self, images: Vec<Arrived>, arrival: &mut Arrival<'_>) -> Result<Vec<Progress>, Error> {
        self.add_all(images, Vec::new(), arrival)
    }

    fn add_all(
        &self,
        images: Vec<Arrived>,
        indexes: Vec<ArrivedIndex>,
        arrival: &mut Arrival<'_>,
    ) -> Result<Vec<Progress>, Error> {
        let mut done = Vec::new();
        let mut records = Vec::new();
        for image in images {
            let record = self.keep_image(&image, arrival)?;
            if image.names.is_empty() {
                done.push(Progress::LoadedUntagged { id: record.id });
            }
            done.extend(image.names.iter().map(|name| Progress::Loaded { tag: name.familiar() }));
            records.push((record, image.names, image.parent));
        }
        let mut groups = Vec::new();
        for arrived in indexes {
            let (index, parts) = self.keep_index(&arrived, arrival)?;
            if arrived.names.is_empty() {
                done.extend(parts.first().map(|part| Progress::LoadedUntagged { id: part.id }));
            }
            done.extend(arrived.names.iter().map(|name| Progress::Loaded { tag: name.familiar() }));
            records.extend(parts.into_iter().map(|record| (record, Vec::new(), None)));
            groups.push((index, arrived.names));
        }
        self.change(|catalog| {
            let now = now();
            for (record, names, parent) in records {
                let id = record.id;
                if let Some(parent) = parent.filter(|_| !catalog.records.contains_key(&id)) {
                    catalog.parents.insert(id, parent);
                }
                // An image that is here already keeps its manifest; the archive's may only be another wrapping of the
                // same layers.
                catalog.records.entry(id).or_insert_with(|| Arc::new(record));
                names.iter().for_each(|name| catalog.name(name, id, &now));
            }
            for (index, names) in groups {
                let group = Group::read(&self.stores, &index, &catalog.records)?;
                catalog.groups.insert(index, Arc::new(group));
                names.iter().for_each(|name| catalog.name_index(name, index, &now));
            }
            Ok(())
        })?;
        Ok(done)
    }

    fn keep_image(&self, image: &Arrived, arrival: &mut Arrival<'_>) -> Result<Record, Error> {
        let (manifest, media_type) = (&image.manifest[..], &image.media_type[..]);
        admit::write(&self.stores, &Documents { manifest, media_type, config: &image.config }, arrival)
    }

    fn keep_index(&self, arrived: &ArrivedIndex, arrival: &mut Arrival<'_>) -> Result<(Digest, Vec<Record>), Error> {
        let parts =
            arrived.images.iter().map(|image| self.keep_image(image, arrival)).collect::<Result<Vec<_>, _>>()?;
        for document in &arrived.documents {
            arrival.blobs.insert(self.stores.content.put(document)?);
        }
        let index = self.stores.content.put(&arrived.index)?;
        arrival.blobs.insert(index);
        Ok((index, parts))
    }
}

impl Arrived {
    /// An image whose manifest we write: its layers are named as they came.
    pub fn with_own_manifest(
        config: Vec<u8>,
        layers: Vec<Descriptor>,
        names: Vec<Reference>,
    ) -> Result<Arrived, Error> {
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            config: descriptor(media::CONFIG, digest(&config), config.len()),
            layers,
            annotations: BTreeMap::new(),
        };
        let manifest =
            serde_json::to_vec(&manifest).map_err(|e| Error::Archive(format!("cannot write a manifest: {e}")))?;
        Ok(Arrived { manifest, media_type: media::MANIFEST.to_owned(), config, names, parent: None })
    }

    /// The same, which was made from another.
    pub fn child_of(self, parent: Digest) -> Arrived {
        Arrived { parent: Some(parent), ..self }
    }
}

impl Contents {
    fn images(&mut self, wanted: Option<&Platform>) -> Result<(Vec<Arrived>, Vec<ArrivedIndex>), Error> {
        let (docker, layout) = (self.has(b"manifest.json"), self.has(b"index.json"));
        if !docker && !layout {
            return Err(Error::Archive("neither manifest.json nor index.json is in it".to_owned()));
        }
        let mut indexes = match indexes::indexes(self, wanted) {
            // What is wrong with an index does not matter where `manifest.json` tells all.
            Err(error) if docker => {
                tracing::debug!(error = base::chain(&error), "an index in an archive is left aside");
                Vec::new()
            }
            read => read?,
        };
        let mut images = match (docker, wanted) {
            (true, None) => docker::images(self)?,
            (true, Some(wanted)) => docker::images_for(self, wanted)?,
            (false, _) => Vec::new(),
        };
        // `manifest.json` knows no platforms, and an index may have what it does not name.
        if images.is_empty() && layout {
            images = layout::images(self, wanted)?;
        }
        indexes::unite(&mut images, &mut indexes);
        match wanted {
            Some(wanted) if images.is_empty() && indexes.is_empty() => {
                Err(Error::ImportPlatform(platform::words(&platform::normal(wanted))))
            }
            _ => Ok((images, indexes)),
        }
    }

    fn has(&self, path: &[u8]) -> bool {
        self.documents.contains_key(path)
    }

    /// Takes the layer at `path` and checks it against the configuration. Several images may share it.
    fn layer(&mut self, path: &[u8], expected: &Digest) -> Result<Descriptor, Error> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        let real = self.follow(path);
        match self.layers.get(&real) {
            None => Err(Error::Archive(format!("the layer {} is not in it", shown()))),
            Some(Ok(taken)) if taken.diff_id == *expected => Ok(taken.blob.clone()),
            Some(Ok(taken)) => Err(Error::WrongDigest { what: shown(), expected: *expected, actual: taken.diff_id }),
            Some(Err(_)) => match self.layers.remove(&real) {
                Some(Err(error)) => Err(error),
                _ => Err(Error::Archive(format!("the layer {} is broken", shown()))),
            },
        }
    }

    fn document(&self, path: &[u8]) -> Result<&[u8], Error> {
        let real = self.follow(path);
        let missing = || Error::Archive(format!("{} is not in it", String::from_utf8_lossy(path)));
        self.documents.get(&real).map(Vec::as_slice).ok_or_else(missing)
    }

    /// The path behind links; a loop ends somewhere in it, where no file is.
    fn follow(&self, path: &[u8]) -> Vec<u8> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => break,
            }
        }
        path
    }
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// `blobs/sha256/HEX` names its own digest.
fn blob_name(path: &[u8]) -> Option<Digest> {
    let hex = std::str::from_utf8(path.strip_prefix(b"blobs/sha256/")?).ok()?;
    format!("sha256:{hex}").parse().ok()
}

fn record_is_image(config: &[u8], what: &str) -> Result<oci::image::Image, Error> {
    let broken = |e: serde_json::Error| Error::Archive(format!("the configuration {what} is broken: {e}"));
    let image: oci::image::Image = serde_json::from_slice(config).map_err(broken)?;
    crate::platform::check_os(what, &image)?;
    Ok(image)
}
