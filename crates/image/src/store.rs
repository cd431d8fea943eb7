//! The store of images: opens the stores below, answers who is here, and changes names one change at a time.

use crate::assemble::Pins;
use crate::catalog::{Catalog, MAX_DOCUMENT, Record, check_layers, index_in, keep_in, name_in};
use crate::group::Group;
use crate::pull::flight::Flights;
use crate::reference::Reference;
use crate::slots::Slots;
use crate::upkeep::{Collected, Uses};
use crate::{Error, HostMask, Image, host};
use base::{Digest, Kind, Kinded};
use oci::image::{Descriptor, Manifest};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// What is kept of a layer besides its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The blob as it came: the layout on disk is valid, an image can be pushed or saved byte for byte.
    Blobs,
    /// Nothing: each layer is on disk once. Manifests then name blobs that are not in the layout.
    TreesOnly,
}

/// All images of an engine. Owns the content store and the layer store. Callable from many threads at once.
#[derive(Debug)]
pub struct Store {
    pub(crate) stores: Arc<Stores>,
    pub(crate) keep: Keep,
    /// What readers see. Never locked while something slow happens.
    catalog: RwLock<Catalog>,
    /// Held during a change of names or images, and while garbage is removed.
    changes: Mutex<Changes>,
    /// Layers that come from registries now.
    pub(crate) flights: Flights,
    pub(crate) downloads: Slots,
    pub(crate) uploads: Slots,
    /// Held while an image is made ready for a push.
    pub(crate) preparing: Mutex<()>,
    pub(crate) uses: Uses,
    pub(crate) pins: Pins,
    host: Image,
}

/// The two stores below.
#[derive(Debug)]
pub struct Stores {
    pub content: content::Store,
    pub layers: layer::Store,
}

#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Loads and imports that go on. Their blobs and layers have no image yet.
    pub arriving: usize,
    /// What may be needed no more.
    pub blobs: BTreeSet<Digest>,
    pub layers: BTreeSet<Digest>,
    /// Everything on disk may be needed no more.
    pub sweep: bool,
}

/// What was collected. Its trees go from the disk when this is dropped, after the changes are unlocked.
#[derive(Default)]
pub(crate) struct Swept {
    pub collected: Collected,
    pub trash: layer::Trash,
}

/// A load or an import. While one lives, nothing is collected; what it brought is collected in the end unless an image
/// needs it.
pub(crate) struct Arrival<'store> {
    store: &'store Store,
    pub blobs: BTreeSet<Digest>,
    pub layers: BTreeSet<Digest>,
}

impl Store {
    /// Opens (or makes) the stores below `root`: `content/` and `layers/`. Garbage of earlier processes is swept.
    pub fn open(root: &Path, mask: HostMask) -> Result<Store, Error> {
        Store::open_keeping(root, mask, Keep::Blobs)
    }

    /// As [`Store::open`], with a policy for blobs of layers. It holds for what comes from now on.
    pub fn open_keeping(root: &Path, mask: HostMask, keep: Keep) -> Result<Store, Error> {
        let content = content::Store::open(&root.join("content"))?;
        let layers = layer::Store::open(&root.join("layers"))?;
        layers.hide_from_host_image(&mask.paths);
        let stores = Arc::new(Stores { content, layers });
        let (catalog, changed) = read(&stores)?;
        if changed {
            stores.content.change_index(|index| *index = catalog.index())?;
        }
        let pins = Pins::open(&root.join("pins"))?;
        if catalog.unread.is_empty() {
            sweep(&stores, &catalog, &pins)?;
        }
        stores.sync_in_background();
        let uses = Uses::open(&root.join("used"))?;
        uses.retain(|id| catalog.records.contains_key(id));
        Ok(Store {
            stores,
            keep,
            catalog: RwLock::new(catalog),
            changes: Mutex::default(),
            flights: Flights::default(),
            downloads: Slots::default(),
            uploads: Slots::default(),
            preparing: Mutex::default(),
            uses,
            pins,
            host: host::image(),
        })
    }

    pub fn layers(&self) -> &layer::Store {
        &self.stores.layers
    }

    /// By name, id, id prefix, or `name@digest`. Reads no file.
    pub fn get(&self, name: &str) -> Result<Image, Error> {
        if self.is_host(name) {
            return Ok(self.host.clone());
        }
        let catalog = self.catalog.read().unwrap_or_else(PoisonError::into_inner);
        let id = catalog.find(name)?.id();
        let image = catalog.image(&id).ok_or_else(|| Error::NotFound(name.to_owned()))?;
        Ok(Image::clone(image))
    }

    /// The id of the image that [`Store::get`] finds.
    pub fn find_id(&self, name: &str) -> Option<Digest> {
        if self.is_host(name) {
            return Some(self.host.id);
        }
        self.look(|catalog| catalog.find(name).ok().map(|found| found.id()))
    }

    /// The diffIDs of an image's layers, lowest first; none of one that is not here.
    pub fn layers_of(&self, id: &Digest) -> Vec<Digest> {
        if *id == self.host.id {
            return self.host.config.rootfs.diff_ids.clone();
        }
        self.look(|catalog| catalog.image(id).map(|image| image.config.rootfs.diff_ids.clone()).unwrap_or_default())
    }

    /// All images, the newest first; the built-in one last.
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        let catalog = self.catalog.read().unwrap_or_else(PoisonError::into_inner);
        let mut images: Vec<Image> = catalog.images().map(|image| Image::clone(image)).collect();
        drop(catalog);
        let age = |image: &Image| image.config.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        images.sort_by_cached_key(|image| (std::cmp::Reverse(age(image)), image.tags.clone(), image.id));
        images.push(self.host.clone());
        Ok(images)
    }

    /// Gives the image `source` the further name `target`.
    pub fn tag(&self, source: &str, target: &str) -> Result<(), Error> {
        let target = Reference::parse(target)?;
        if target.digest.is_some() {
            return Err(Error::Reference("refusing to create a tag with a digest reference".to_owned()));
        }
        let target = target.or_latest();
        check_free(&target)?;
        if self.is_host(source) {
            return Err(Error::BuiltIn(crate::HOST.to_owned()));
        }
        self.change(|catalog| {
            let found = catalog.find(source)?;
            match catalog.group_of(&found).map(|group| group.index.digest) {
                Some(index) => catalog.name_index(&target, index, &now()),
                None => catalog.name(&target, found.id(), &now()),
            }
            Ok(())
        })
    }

    /// The words that mean the built-in image: its name, its id and, when no other image has it, a prefix of its id.
    pub(crate) fn is_host(&self, name: &str) -> bool {
        let id = &self.host.id;
        if name == crate::HOST || *name == id.to_string() {
            return true;
        }
        if Reference::parse(name).is_ok_and(|reference| reference.or_latest().to_string() == host::FULL_NAME) {
            return true;
        }
        let prefix = name.strip_prefix("sha256:").unwrap_or(name);
        prefix.len() >= 12 && id.hex().starts_with(prefix)
    }

    /// Changes the catalogue: on a copy, then on disk, then for the readers.
    pub(crate) fn change<T>(&self, edit: impl FnOnce(&mut Catalog) -> Result<T, Error>) -> Result<T, Error> {
        let mut changes = self.alone();
        let mut catalog = self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone();
        let before = (catalog.blobs(), catalog.layers());
        let result = edit(&mut catalog)?;
        catalog.refresh();
        self.stores.content.change_index(|index| *index = catalog.index())?;
        changes.blobs.extend(before.0.difference(&catalog.blobs()));
        changes.layers.extend(before.1.difference(&catalog.layers()));
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        let swept = self.collect(&mut changes);
        drop(changes);
        drop(swept);
        Ok(result)
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Catalog) -> T) -> T {
        look(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn arrive(&self) -> Arrival<'_> {
        self.alone().arriving += 1;
        Arrival { store: self, blobs: BTreeSet::new(), layers: BTreeSet::new() }
    }

    pub(crate) fn alone(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes away what nobody needs, unless something is arriving that may need it. What cannot be removed is swept at
    /// the next start.
    pub(crate) fn collect(&self, changes: &mut Changes) -> Swept {
        let mut swept = Swept::default();
        if changes.arriving > 0 {
            return swept;
        }
        let measure = std::mem::take(&mut changes.sweep);
        if measure && self.look(|catalog| catalog.unread.is_empty()) {
            changes.blobs.extend(self.stores.content.list().unwrap_or_default());
            changes.layers.extend(self.stores.layers.list().unwrap_or_default());
        }
        let (needed_blobs, mut needed_layers) = self.look(|catalog| (catalog.blobs(), catalog.layers()));
        needed_layers.append(&mut self.pins.all());
        for blob in std::mem::take(&mut changes.blobs).difference(&needed_blobs) {
            let bytes = self.stores.content.usage_of(blob);
            match self.stores.content.remove(blob) {
                Ok(()) => swept.collected.blob(bytes),
                Err(error) => tracing::warn!(%blob, error = base::chain(&error), "cannot remove a blob"),
            }
        }
        for layer in std::mem::take(&mut changes.layers).difference(&needed_layers) {
            let bytes = if measure { self.stores.layers.usage_of(layer).unwrap_or(0) } else { 0 };
            match self.stores.layers.discard(layer, &mut swept.trash) {
                Ok(()) => swept.collected.layer(bytes),
                Err(error) => tracing::warn!(%layer, error = base::chain(&error), "cannot remove a layer"),
            }
        }
        swept
    }
}

impl<'store> Arrival<'store> {
    /// One that was counted when it began, without what it brought.
    pub fn of_counted(store: &'store Store) -> Arrival<'store> {
        Arrival { store, blobs: BTreeSet::new(), layers: BTreeSet::new() }
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let mut changes = self.store.alone();
        changes.arriving -= 1;
        changes.blobs.append(&mut self.blobs);
        changes.layers.append(&mut self.layers);
        let swept = self.store.collect(&mut changes);
        drop(changes);
        drop(swept);
    }
}

impl Stores {
    /// Brings blobs and layers to disk without anybody waiting for it.
    pub fn sync_in_background(self: &Arc<Stores>) {
        let stores = Arc::clone(self);
        let work = move || {
            if let Err(error) = stores.sync() {
                tracing::warn!(error = base::chain(&error), "cannot write images to disk");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("image-sync".to_owned()).spawn(work) {
            tracing::warn!(%error, "cannot start a thread");
        }
    }

    /// Documents are on disk when they are written; what waits is layers and their blobs.
    fn sync(&self) -> Result<(), Error> {
        if !self.layers.is_synced()? {
            self.content.sync()?;
            self.layers.sync()?;
        }
        Ok(())
    }

    /// Reads the image behind an entry of the index, and unpacks layers that are missing again.
    pub fn record(&self, entry: &Descriptor) -> Result<Record, Error> {
        let broken = |what: &str, error: serde_json::Error| Error::Archive(format!("{what} is broken: {error}"));
        let manifest = self.content.read(&entry.digest, MAX_DOCUMENT)?;
        let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|e| broken("a manifest", e))?;
        let config = self.content.read(&manifest.config.digest, MAX_DOCUMENT)?;
        let config: oci::image::Image = serde_json::from_slice(&config).map_err(|e| broken("a configuration", e))?;
        check_layers("the manifest", &manifest, &config)?;
        let mut size = 0;
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            if !self.layers.has(diff_id) {
                let mut blob = self.content.open_blob(&layer.digest)?;
                self.layers.unpack(&mut blob, Some(diff_id))?;
            }
            size += self.layers.size(diff_id)?;
        }
        let manifest_entry = Descriptor { annotations: Default::default(), ..entry.clone() };
        let (id, layers, keep) = (manifest.config.digest, manifest.layers, keep_in(entry));
        Ok(Record { id, manifest: manifest_entry, layers, config, size, keep })
    }
}

/// The catalogue of an index, and whether the index must be written anew because some of its images are gone.
fn read(stores: &Stores) -> Result<(Catalog, bool), Error> {
    let mut catalog = Catalog::default();
    let mut changed = false;
    let mut indexes: BTreeMap<Digest, Vec<Descriptor>> = BTreeMap::new();
    for entry in stores.content.index()?.manifests {
        let known = catalog.records.values().find(|record| record.manifest.digest == entry.digest);
        let id = match known {
            Some(record) => record.id,
            None => match stores.record(&entry) {
                Ok(record) => {
                    let id = record.id;
                    catalog.records.entry(id).or_insert_with(|| Arc::new(record));
                    id
                }
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => {
                    tracing::warn!(manifest = %entry.digest, error = base::chain(&error), "an image is gone");
                    changed = true;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(manifest = %entry.digest, error = base::chain(&error), "cannot read an image");
                    catalog.unread.push(entry);
                    continue;
                }
            },
        };
        catalog.name_from(&entry, id);
        if let Some(index) = index_in(&entry) {
            indexes.entry(index).or_default().push(entry);
        }
    }
    catalog.names.remove(host::FULL_NAME);
    for (index, entries) in indexes {
        match Group::read(stores, &index, &catalog.records) {
            Ok(group) => drop(catalog.groups.insert(index, Arc::new(group))),
            // The images stay, each by itself.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => {
                tracing::warn!(%index, error = base::chain(&error), "an index is gone");
                changed = true;
            }
            Err(error) => {
                tracing::warn!(%index, error = base::chain(&error), "cannot read an index");
                for name in entries.iter().filter_map(name_in) {
                    catalog.names.remove(&name.to_string());
                }
                catalog.unread.extend(entries);
            }
        }
    }
    catalog.refresh();
    Ok((catalog, changed))
}

/// Mark and sweep: what no image needs goes.
fn sweep(stores: &Stores, catalog: &Catalog, pins: &Pins) -> Result<(), Error> {
    let needed = catalog.blobs();
    for blob in stores.content.list()?.iter().filter(|blob| !needed.contains(blob)) {
        stores.content.remove(blob)?;
    }
    let mut needed = catalog.layers();
    needed.append(&mut pins.all());
    for layer in stores.layers.list()?.iter().filter(|layer| !needed.contains(layer)) {
        stores.layers.remove(layer)?;
    }
    Ok(())
}

/// Refuses the name of the built-in image.
pub(crate) fn check_free(reference: &Reference) -> Result<(), Error> {
    if reference.to_string() == host::FULL_NAME {
        return Err(Error::BuiltIn(crate::HOST.to_owned()));
    }
    Ok(())
}

pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
