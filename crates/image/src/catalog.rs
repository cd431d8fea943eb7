//! What is here and under which names: a plain value, read from and written to the layout's index.

use crate::group::Group;
use crate::reference::Reference;
use crate::{Error, Image, Keep};
use base::Digest;
use layer::Lower;
use oci::image::{Descriptor, Index, Manifest, media};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// image-spec 1.1, annotations.md.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full name, as containerd and Docker write it.
pub const FULL_NAME: &str = "io.containerd.image.name";
const TAGGED_AT: &str = "dhow.image.tagged-at";
/// `trees`: see [`Record::keep`].
const KEEP: &str = "dhow.image.keep";
/// The image that a container was made from, which this one was committed from.
const PARENT: &str = "dhow.image.parent";
/// The index that the name stands for; the entry itself is the manifest of its image that is shown. So the layout names only what
/// is here, also for readers that know one platform.
pub const INDEX: &str = "dhow.image.index";

/// Most bytes of a manifest, an index or a configuration.
pub const MAX_DOCUMENT: u64 = 8 * 1024 * 1024;

/// All images and names.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub records: BTreeMap<Digest, Arc<Record>>,
    /// By full name with tag or digest.
    pub names: BTreeMap<String, Name>,
    /// What images were committed from, of those that were.
    pub parents: BTreeMap<Digest, Digest>,
    /// Indexes, by their digests.
    pub groups: BTreeMap<Digest, Arc<Group>>,
    /// Entries of the index that could not be read this time, and may be next time.
    pub unread: Vec<Descriptor>,
    /// Made from the rest by [`Catalog::refresh`].
    images: HashMap<Digest, Arc<Image>>,
    /// Images that are only there as a part of an index which another image is shown for.
    hidden: HashSet<Digest>,
}

/// One image as it lies in the stores.
#[derive(Debug)]
pub struct Record {
    pub id: Digest,
    /// Of the manifest, without annotations.
    pub manifest: Descriptor,
    /// Of the layers, lowest first; each stands beside its diffID in the configuration.
    pub layers: Vec<Descriptor>,
    pub config: oci::image::Image,
    /// Bytes of all layers, unpacked.
    pub size: u64,
    /// What was kept of its layers when it came.
    pub keep: Keep,
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub struct Name {
    pub id: Digest,
    /// The index that it is a name of; `id` is then the image of it that is shown.
    pub index: Option<Digest>,
    /// RFC 3339
    pub tagged_at: String,
}

impl Catalog {
    pub fn image(&self, id: &Digest) -> Option<&Arc<Image>> {
        self.images.get(id)
    }

    /// Those that are shown.
    pub fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.values().filter(|image| !self.hidden.contains(&image.id))
    }

    /// The names of an image, sorted.
    pub fn names_of(&self, id: &Digest) -> Vec<String> {
        self.names.iter().filter(|(_, name)| name.id == *id).map(|(full, _)| full.clone()).collect()
    }

    /// Gives `reference` to `id`; who had it before loses it.
    pub fn name(&mut self, reference: &Reference, id: Digest, now: &str) {
        self.names.insert(reference.to_string(), Name { id, index: None, tagged_at: now.to_owned() });
    }

    /// Every blob that some image needs.
    pub fn blobs(&self) -> BTreeSet<Digest> {
        let of = |record: &Arc<Record>| {
            let mut all = vec![record.manifest.digest, record.id];
            all.extend(record.layers.iter().map(|layer| layer.digest));
            all
        };
        let groups = self.groups.values().flat_map(|group| group.blobs());
        self.records.values().flat_map(of).chain(groups).collect()
    }

    /// Every layer that some image needs.
    pub fn layers(&self) -> BTreeSet<Digest> {
        self.records.values().flat_map(|record| record.config.rootfs.diff_ids.iter().copied()).collect()
    }

    /// The diffID of a blob that some image has as a layer.
    pub fn diff_id_of(&self, blob: &Digest) -> Option<(Digest, Descriptor)> {
        self.records.values().find_map(|record| {
            let pairs = record.layers.iter().zip(&record.config.rootfs.diff_ids);
            pairs.into_iter().find(|(layer, _)| layer.digest == *blob).map(|(layer, diff_id)| (*diff_id, layer.clone()))
        })
    }

    /// Repositories of `domain` that an image with this blob was pulled from or pushed to, those of `id` first.
    pub fn repositories_with(&self, blob: &Digest, domain: &str, id: &Digest) -> Vec<String> {
        let has =
            |id: &Digest| self.records.get(id).is_some_and(|r| r.layers.iter().any(|layer| layer.digest == *blob));
        let mut found = Vec::new();
        for own in [true, false] {
            let names = self.names.iter().filter(|(_, name)| (name.id == *id) == own && has(&name.id));
            for reference in names.filter_map(|(full, _)| Reference::parse(full).ok()) {
                if reference.digest.is_some() && reference.domain == domain && !found.contains(&reference.path) {
                    found.push(reference.path);
                }
            }
        }
        found
    }

    /// A compressed form of a layer that some image has.
    pub fn compressed(&self, diff_id: &Digest) -> Option<Descriptor> {
        let layers = self.records.values().flat_map(|record| record.layers.iter().zip(&record.config.rootfs.diff_ids));
        layers.into_iter().find(|(layer, id)| *id == diff_id && layer.digest != **id).map(|(layer, _)| layer.clone())
    }

    /// All blobs that images have a layer as, with OCI types.
    pub fn blobs_of(&self, diff_id: &Digest) -> Vec<Descriptor> {
        let layers = self.records.values().flat_map(|record| record.layers.iter().zip(&record.config.rootfs.diff_ids));
        let mut found: Vec<Descriptor> = Vec::new();
        for (layer, _) in layers.filter(|(_, id)| *id == diff_id) {
            if !found.iter().any(|known| known.digest == layer.digest) {
                found.push(Descriptor { annotations: BTreeMap::new(), ..crate::commit::as_oci(layer) });
            }
        }
        found
    }

    /// Whether a registry knows the image: it was pulled or pushed.
    pub fn has_digest_name(&self, id: &Digest) -> bool {
        self.names.iter().any(|(full, name)| name.id == *id && full.contains('@'))
    }

    /// Looks up an image by name, id, prefix of an id, or `name@digest`.
    pub fn find(&self, text: &str) -> Result<Found, Error> {
        if let Ok(id) = text.parse::<Digest>() {
            let found = if self.records.contains_key(&id) { Some(id) } else { self.image_behind(&id) };
            return found.map(Found::Id).ok_or_else(|| Error::NotFound(text.to_owned()));
        }
        let parsed = Reference::parse(text).map(Reference::or_latest);
        if let Ok(reference) = &parsed
            && let Some(found) = self.find_name(reference)
        {
            return Ok(found);
        }
        if let Some(id) = self.find_prefix(text)? {
            return Ok(Found::Id(id));
        }
        match parsed {
            Err(error) if !is_hex(text) => Err(error),
            _ => Err(Error::NotFound(text.to_owned())),
        }
    }

    fn find_name(&self, reference: &Reference) -> Option<Found> {
        // `name:tag@digest`: the digest counts.
        let tag = reference.tag.clone().filter(|_| reference.digest.is_none());
        let full = Reference { tag, ..reference.clone() }.to_string();
        if let Some(name) = self.names.get(&full) {
            return Some(Found::Name { full, id: name.id });
        }
        let digest = reference.digest?;
        let repository = reference.name();
        let same = |full: &str| Reference::parse(full).is_ok_and(|other| other.name() == repository);
        let matches = |id: &Digest| self.records.get(id).is_some_and(|r| r.manifest.digest == digest || r.id == digest);
        self.names.iter().find(|(full, name)| matches(&name.id) && same(full)).map(|(_, name)| Found::Id(name.id))
    }

    fn find_prefix(&self, text: &str) -> Result<Option<Digest>, Error> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if !is_hex(prefix) {
            return Ok(None);
        }
        let mut matches = self.records.keys().filter(|id| id.hex().starts_with(prefix));
        let first = matches.next().copied();
        if matches.next().is_some() { Err(Error::Ambiguous(text.to_owned())) } else { Ok(first) }
    }

    /// Makes the images anew after a change.
    pub fn refresh(&mut self) {
        self.settle_groups();
        self.hidden = self.hidden();
        let mut names: HashMap<Digest, Vec<(Reference, &str)>> = HashMap::new();
        for (full, name) in &self.names {
            if let Ok(reference) = Reference::parse(full) {
                names.entry(name.id).or_default().push((reference, &name.tagged_at));
            }
        }
        let none = Vec::new();
        self.images = self
            .records
            .values()
            .map(|record| {
                let parent = self.parents.get(&record.id).filter(|parent| self.records.contains_key(parent));
                let image = Image { parent: parent.copied(), ..image(record, names.get(&record.id).unwrap_or(&none)) };
                (record.id, Arc::new(image))
            })
            .collect();
    }

    /// The index of the layout: one entry per name, and one for an image without a name.
    pub fn index(&self) -> Index {
        let mut manifests = self.unread.clone();
        for record in self.records.values() {
            let names = self.names_of(&record.id);
            let mut entry = record.manifest.clone();
            if record.keep == Keep::TreesOnly {
                entry.annotations.insert(KEEP.to_owned(), "trees".to_owned());
            }
            if let Some(parent) = self.parents.get(&record.id) {
                entry.annotations.insert(PARENT.to_owned(), parent.to_string());
            }
            let nameless = self.nameless_groups(&record.id);
            if names.is_empty() && nameless.is_empty() {
                manifests.push(entry.clone());
            }
            for group in nameless {
                let mut descriptor = entry.clone();
                descriptor.annotations.insert(INDEX.to_owned(), group.to_string());
                manifests.push(descriptor);
            }
            for full in names {
                let mut descriptor = entry.clone();
                let familiar = Reference::parse(&full).map(|r| r.familiar()).unwrap_or_else(|_| full.clone());
                let name = self.names.get(&full);
                let tagged_at = name.map(|name| name.tagged_at.clone()).unwrap_or_default();
                if let Some(index) = name.and_then(|name| name.index) {
                    descriptor.annotations.insert(INDEX.to_owned(), index.to_string());
                }
                descriptor.annotations.insert(REF_NAME.to_owned(), familiar);
                descriptor.annotations.insert(FULL_NAME.to_owned(), full);
                descriptor.annotations.insert(TAGGED_AT.to_owned(), tagged_at);
                manifests.push(descriptor);
            }
        }
        Index { schema_version: 2, media_type: Some(media::INDEX.to_owned()), manifests, ..Index::default() }
    }

    /// Adds the name and the parent that an entry of the index carries.
    pub fn name_from(&mut self, entry: &Descriptor, id: Digest) {
        if let Some(parent) = entry.annotations.get(PARENT).and_then(|text| text.parse().ok()) {
            self.parents.insert(id, parent);
        }
        if let Some(reference) = name_in(entry) {
            let tagged_at = entry.annotations.get(TAGGED_AT).map(String::as_str).unwrap_or_default();
            self.name(&reference, id, tagged_at);
            if let Some(name) = self.names.get_mut(&reference.to_string()) {
                name.index = index_in(entry);
            }
        }
    }
}

/// The index that an entry of the layout's index is shown for.
pub fn index_in(entry: &Descriptor) -> Option<Digest> {
    entry.annotations.get(INDEX)?.parse().ok()
}

/// What an entry says about its layers.
pub fn keep_in(entry: &Descriptor) -> Keep {
    if entry.annotations.contains_key(KEEP) { Keep::TreesOnly } else { Keep::Blobs }
}

/// What [`Catalog::find`] found, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Name { full: String, id: Digest },
    Id(Digest),
}

impl Found {
    pub fn id(&self) -> Digest {
        match self {
            Found::Name { id, .. } | Found::Id(id) => *id,
        }
    }
}

/// The name in an entry's annotations: the full one, or a reference name that is more than a tag.
pub fn name_in(entry: &Descriptor) -> Option<Reference> {
    let full = entry.annotations.get(FULL_NAME).and_then(|name| Reference::parse(name).ok());
    let written = || {
        let name = entry.annotations.get(REF_NAME)?;
        if name.contains(['/', ':']) { Reference::parse(name).ok() } else { None }
    };
    full.or_else(written).map(Reference::or_latest)
}

/// Checks that a manifest and its configuration tell of the same number of layers.
pub fn check_layers(what: &str, manifest: &Manifest, config: &oci::image::Image) -> Result<(), Error> {
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers == diff_ids {
        return Ok(());
    }
    Err(Error::Archive(format!("{what} has {layers} layers, its configuration {diff_ids}")))
}

fn image(record: &Record, names: &[(Reference, &str)]) -> Image {
    let mut tags: Vec<String> = names.iter().filter(|(r, _)| r.digest.is_none()).map(|(r, _)| r.familiar()).collect();
    tags.sort();
    let digests = names.iter().filter(|(r, _)| r.digest.is_some()).map(|(r, _)| r.familiar()).collect();
    Image {
        id: record.id,
        manifest: record.manifest.digest,
        tags,
        digests,
        config: record.config.clone(),
        lowers: record.config.rootfs.diff_ids.iter().rev().map(|diff_id| Lower::Layer(*diff_id)).collect(),
        size: record.size,
        parent: None,
        tagged_at: names.iter().map(|(_, at)| *at).max().unwrap_or_default().to_owned(),
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
