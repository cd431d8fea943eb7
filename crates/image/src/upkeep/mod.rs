//! What images take up, whether they are intact, and what goes when they take up too much.

mod check;
mod evict;
mod fault;
mod uses;

pub(crate) use uses::Uses;

use crate::catalog::Record;
use crate::store::Stores;
use crate::{Error, Store};
use base::Digest;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Bytes on disk.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    pub images: Vec<ImageUsage>,
    /// All layers and blobs, each counted once: what `du` of both stores says.
    pub total: u64,
}

#[derive(Debug, Clone)]
pub struct ImageUsage {
    pub id: Digest,
    pub size: u64,
    /// Of `size`, what other images stand on, too.
    pub shared: u64,
}

/// What a check found wrong, in words, and how much was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub blobs: usize,
    pub layers: usize,
    pub bytes: u64,
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `blob sha256:...`, `layer sha256:...`, `image busybox:latest`
    pub what: String,
    pub wrong: String,
    /// Whether the check mended it.
    pub mended: bool,
}

/// What was given back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    pub blobs: usize,
    pub layers: usize,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Whether a check may repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    No,
    /// Unpacks broken layers again from intact blobs, drops blobs that lie, images that cannot be saved, and orphans.
    /// Containers that run on a layer that was unpacked again see the broken one until they are started anew.
    Yes,
}

impl Store {
    /// Bytes on disk, within 1 % of `du`.
    pub fn usage(&self) -> Result<Usage, Error> {
        let weights = Weights::of(&self.stores, self.records())?;
        let hidden = self.look(|catalog| catalog.hidden());
        let shown = weights.records.iter().filter(|record| !hidden.contains(&record.id));
        let images = shown.map(|record| weights.image(record, &self.members_of(&record.id))).collect();
        Ok(Usage { images, total: self.total()? })
    }

    /// Mark and sweep, on demand. While something arrives (a pull, a load, a commit) nobody knows what it will need: then
    /// nothing goes now, and everything that is unneeded goes when the last has arrived.
    pub fn collect_garbage(&self) -> Result<Collected, Error> {
        let mut changes = self.alone();
        changes.sweep = true;
        let swept = self.collect(&mut changes);
        drop(changes);
        self.uses.retain(|id| self.look(|catalog| catalog.records.contains_key(id)));
        Ok(swept.collected.clone())
    }

    /// Notes that an image was used now (a container was made of it, it was pulled, it was loaded).
    pub fn touch(&self, id: &Digest) {
        if self.look(|catalog| catalog.records.contains_key(id)) {
            self.uses.touch(id);
        }
    }

    fn records(&self) -> Vec<Arc<Record>> {
        self.look(|catalog| catalog.records.values().cloned().collect())
    }

    fn total(&self) -> Result<u64, Error> {
        Ok(self.stores.content.usage()? + self.stores.layers.usage()?)
    }
}

impl Collected {
    pub(crate) fn blob(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }

    pub(crate) fn layer(&mut self, bytes: u64) {
        self.layers += 1;
        self.bytes += bytes;
    }
}

/// Something on disk that images stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    Blob(Digest),
    Layer(Digest),
}

/// What each part weighs, and how many images stand on it.
struct Weights {
    records: Vec<Arc<Record>>,
    parts: HashMap<Part, Weight>,
}

#[derive(Default)]
struct Weight {
    bytes: u64,
    images: usize,
}

impl Weights {
    fn of(stores: &Stores, records: Vec<Arc<Record>>) -> Result<Weights, Error> {
        let mut parts: HashMap<Part, Weight> = HashMap::new();
        for part in records.iter().flat_map(|record| parts_of(record)) {
            let weight = parts.entry(part).or_default();
            weight.images += 1;
            if weight.images == 1 {
                weight.bytes = match part {
                    Part::Blob(blob) => stores.content.usage_of(&blob),
                    Part::Layer(layer) => stores.layers.usage_of(&layer)?,
                };
            }
        }
        Ok(Weights { records, parts })
    }

    /// An image with the others of its index.
    fn image(&self, record: &Record, members: &[Digest]) -> ImageUsage {
        let mut parts = parts_of(record);
        for member in self.records.iter().filter(|other| members.contains(&other.id)) {
            parts.append(&mut parts_of(member));
        }
        let weights: Vec<&Weight> = parts.iter().filter_map(|part| self.parts.get(part)).collect();
        let size = weights.iter().map(|weight| weight.bytes).sum();
        let shared = weights.iter().filter(|weight| weight.images > 1).map(|weight| weight.bytes).sum();
        ImageUsage { id: record.id, size, shared }
    }

    /// Bytes that are free once this image goes, too.
    fn release(&mut self, record: &Record) -> u64 {
        let mut free = 0;
        for part in parts_of(record) {
            if let Some(weight) = self.parts.get_mut(&part) {
                weight.images = weight.images.saturating_sub(1);
                free += if weight.images == 0 { weight.bytes } else { 0 };
            }
        }
        free
    }
}

fn parts_of(record: &Record) -> BTreeSet<Part> {
    let mut parts = BTreeSet::from([Part::Blob(record.manifest.digest), Part::Blob(record.id)]);
    parts.extend(record.layers.iter().map(|layer| Part::Blob(layer.digest)));
    parts.extend(record.config.rootfs.diff_ids.iter().map(|diff_id| Part::Layer(*diff_id)));
    parts
}
