//! Images that a build puts together of layers that are in the store already, and the layers that its cache keeps without an
//! image.
//!
//! A pinned layer stays though no image has it. Its pin is an empty file: one that a power cut took with it costs no more than a
//! step that is built again.

use crate::catalog::Catalog;
use crate::commit::as_oci;
use crate::load::Arrived;
use crate::reference::Reference;
use crate::store::{Arrival, check_free};
use crate::{Error, Store};
use base::Digest;
use oci::image::{Descriptor, Image, media};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What an image is put together of.
#[derive(Debug)]
pub struct Assembled<'a> {
    /// With the digests of its layers.
    pub config: &'a Image,
    /// Bytes of the tars of those layers that were made here; of others the store knows.
    pub tars: &'a BTreeMap<Digest, u64>,
    pub names: &'a [Reference],
    pub parent: Option<Digest>,
}

/// While this lives, nothing is collected: images, layers and blobs that nobody needs any more go when it is dropped.
pub struct Hold<'a>(#[allow(dead_code)] Arrival<'a>);

impl std::fmt::Debug for Hold<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

/// [`Hold`] for one who has a handle of the store of his own.
#[derive(Debug)]
pub struct Held<S: AsRef<Store>>(S);

impl<S: AsRef<Store>> Held<S> {
    pub fn of(store: S) -> Held<S> {
        // Counted here, let go of by the drop.
        std::mem::forget(store.as_ref().arrive());
        Held(store)
    }
}

impl<S: AsRef<Store>> Drop for Held<S> {
    fn drop(&mut self) {
        drop(Arrival::of_counted(self.0.as_ref()));
    }
}

impl Store {
    pub fn hold(&self) -> Hold<'_> {
        Hold(self.arrive())
    }

    /// Makes an image of layers that are in the store. Returns its id, which follows from its configuration alone.
    pub fn assemble(&self, assembled: &Assembled<'_>) -> Result<Digest, Error> {
        let names: Vec<Reference> = assembled.names.iter().cloned().map(Reference::or_latest).collect();
        names.iter().try_for_each(check_free)?;
        let bytes = document(assembled.config)?;
        let id = crate::load::digest(&bytes);
        let descriptors = |catalog: &Catalog| {
            let of = |diff_id: &Digest| descriptor(catalog, diff_id, assembled.tars);
            assembled.config.rootfs.diff_ids.iter().map(of).collect::<Result<Vec<_>, Error>>()
        };
        let layers = self.look(descriptors)?;
        let mut arrival = self.arrive();
        let arrived = Arrived::with_own_manifest(bytes, layers, names)?;
        let parent = assembled.parent.filter(|parent| *parent != id);
        let arrived = match parent {
            Some(parent) => arrived.child_of(parent),
            None => arrived,
        };
        self.add(vec![arrived], &mut arrival)?;
        drop(arrival);
        self.stores.sync_in_background();
        Ok(id)
    }

    /// What the id of an image with this configuration would be.
    pub fn id_of(config: &Image) -> Result<Digest, Error> {
        Ok(crate::load::digest(&document(config)?))
    }

    /// Keeps a layer that no image has, also before it is there.
    pub fn pin(&self, diff_id: &Digest) -> Result<(), Error> {
        self.pins.add(diff_id)
    }

    /// Lets layers go, unless an image has them.
    pub fn unpin(&self, diff_ids: impl IntoIterator<Item = Digest>) {
        let gone = self.pins.take(diff_ids);
        let mut changes = self.alone();
        changes.layers.extend(gone);
        let swept = self.collect(&mut changes);
        drop(changes);
        drop(swept);
    }

    /// Layers that stay though no image may have them.
    pub fn pinned(&self) -> BTreeSet<Digest> {
        self.pins.all()
    }

    /// Layers that some image has.
    pub fn layers_of_images(&self) -> BTreeSet<Digest> {
        self.look(Catalog::layers)
    }
}

fn document(config: &Image) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(config).map_err(|e| Error::Archive(format!("cannot write a configuration: {e}")))
}

/// A layer as some image has it, or as the plain tar that it was named by.
fn descriptor(catalog: &Catalog, diff_id: &Digest, tars: &BTreeMap<Digest, u64>) -> Result<Descriptor, Error> {
    if let Some(size) = tars.get(diff_id) {
        let (media_type, annotations) = (media::LAYER.to_owned(), BTreeMap::new());
        return Ok(Descriptor { media_type, digest: *diff_id, size: *size, annotations, platform: None });
    }
    let layers = catalog.records.values().flat_map(|record| record.layers.iter().zip(&record.config.rootfs.diff_ids));
    let known = layers.into_iter().find(|(_, known)| *known == diff_id).map(|(layer, _)| as_oci(layer));
    known.ok_or_else(|| Error::NotFound(diff_id.to_string()))
}

/// Layers that stay though no image has them.
#[derive(Debug)]
pub(crate) struct Pins {
    folder: PathBuf,
    all: Mutex<BTreeSet<Digest>>,
}

impl Pins {
    pub fn open(folder: &Path) -> Result<Pins, Error> {
        let failed = |source| Error::Io { action: format!("read {}", folder.display()), source };
        let mut all = BTreeSet::new();
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            other => Some(other.map_err(failed)?),
        };
        for entry in entries.into_iter().flatten() {
            let name = entry.map_err(failed)?.file_name();
            all.extend(format!("sha256:{}", name.to_string_lossy()).parse::<Digest>());
        }
        Ok(Pins { folder: folder.to_owned(), all: Mutex::new(all) })
    }

    pub fn all(&self) -> BTreeSet<Digest> {
        self.lock().clone()
    }

    fn add(&self, diff_id: &Digest) -> Result<(), Error> {
        let path = self.folder.join(diff_id.hex());
        let failed = |source| Error::Io { action: format!("write {}", path.display()), source };
        std::fs::create_dir_all(&self.folder).and_then(|()| std::fs::write(&path, b"")).map_err(failed)?;
        self.lock().insert(*diff_id);
        Ok(())
    }

    fn take(&self, diff_ids: impl IntoIterator<Item = Digest>) -> Vec<Digest> {
        let mut all = self.lock();
        let gone: Vec<Digest> = diff_ids.into_iter().filter(|diff_id| all.remove(diff_id)).collect();
        for diff_id in &gone {
            // One that stays pins its layer for longer, no more.
            let _ = std::fs::remove_file(self.folder.join(diff_id.hex()));
        }
        gone
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
