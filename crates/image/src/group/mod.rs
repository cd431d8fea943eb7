//! Indexes: one name for the images of several platforms, of which some are here.
//!
//! The index itself is kept byte for byte, with what it lists and is not here: its digest is the registry's. Each of its images is
//! an image like others, with an id of its own; one is shown for all of them.

mod assemble;
mod names;
mod view;

pub use assemble::{AssembledIndex, Indexed};
pub use view::{Available, Kind, Part as PartView, unprovided};

use crate::catalog::{MAX_DOCUMENT, Record};
use crate::store::Stores;
use crate::{Error, document, platform};
use base::{Digest, Kinded};
use oci::image::{Descriptor, Index, Manifest, Platform, media};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What BuildKit writes beside an attestation (the manifest that it is about is in another annotation).
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// Manifests that an index may list. It is a stranger's, and all that it lists is looked at while nothing else changes.
pub const MOST_PARTS: usize = 1000;

/// An index, and what of it is here.
#[derive(Debug, Clone)]
pub struct Group {
    /// Of the index, without annotations.
    pub index: Descriptor,
    /// As the index lists them.
    pub parts: Vec<Part>,
}

/// What an index lists.
#[derive(Debug, Clone)]
pub struct Part {
    pub descriptor: Descriptor,
    pub here: Here,
}

/// What of a part is in the stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Here {
    No,
    /// The layers as the manifest that the index names has them, which may be other blobs than those of the image's own manifest.
    Image {
        id: Digest,
        platform: Platform,
        layers: Arc<[Descriptor]>,
    },
    /// An attestation, or whatever else is no image: the blobs of its manifest that are here.
    Other {
        blobs: Vec<Descriptor>,
    },
}

impl Group {
    /// Reads an index that is in the stores; `records` are the images that are here.
    pub fn read(stores: &Stores, digest: &Digest, records: &BTreeMap<Digest, Arc<Record>>) -> Result<Group, Error> {
        let bytes = stores.content.read(digest, MAX_DOCUMENT)?;
        let index = parse(digest, &bytes)?;
        if index.manifests.len() > MOST_PARTS {
            return Err(Error::Archive(format!("the index {digest} lists more than {MOST_PARTS} manifests")));
        }
        let media_type = index.media_type.as_deref().unwrap_or(media::INDEX);
        // One may stand there for several platforms.
        let mut known: HashMap<Digest, Listed> = HashMap::new();
        let mut parts = Vec::with_capacity(index.manifests.len());
        for descriptor in index.manifests {
            let listed = match known.entry(descriptor.digest) {
                Entry::Occupied(listed) => listed.into_mut(),
                Entry::Vacant(place) => place.insert(Listed::read(stores, &descriptor.digest)?),
            };
            let here = here(stores, (&descriptor, listed), records);
            parts.push(Part { descriptor, here });
        }
        Ok(Group { index: crate::admit::descriptor(media_type, *digest, bytes.len()), parts })
    }

    /// Its images that are here: each with what it is for.
    pub fn images(&self) -> impl Iterator<Item = (&Part, Digest, &Platform)> {
        self.parts.iter().filter_map(|part| match &part.here {
            Here::Image { id, platform, .. } => Some((part, *id, platform)),
            _ => None,
        })
    }

    pub fn has(&self, id: &Digest) -> bool {
        self.images().any(|(_, own, _)| own == *id)
    }

    /// The image that is shown: the best for this machine, else the first that is here.
    pub fn face(&self) -> Option<Digest> {
        let best = self.best(&platform::machine_platform());
        best.or_else(|| self.images().next().map(|(_, id, _)| id))
    }

    /// The best of its images that runs on `wanted`.
    pub fn best(&self, wanted: &Platform) -> Option<Digest> {
        let images = self.images().map(|(part, id, platform)| {
            (Descriptor { platform: Some(platform.clone()), ..part.descriptor.clone() }, id)
        });
        let (entries, ids): (Vec<Descriptor>, Vec<Digest>) = images.unzip();
        let chosen = platform::choose(&entries, wanted)?;
        entries.iter().position(|entry| entry == chosen).and_then(|at| ids.get(at).copied())
    }

    /// The image that a pull for `wanted` would choose of all that are listed, if that one is here.
    pub fn choice(&self, wanted: &Platform) -> Option<Digest> {
        let entries: Vec<Descriptor> = self.parts.iter().map(|part| part.descriptor.clone()).collect();
        let chosen = platform::choose(&entries, wanted)?;
        self.images().find(|(part, _, _)| part.descriptor.digest == chosen.digest).map(|(_, id, _)| id)
    }

    /// The image for this very platform.
    pub fn exactly(&self, wanted: &Platform) -> Option<(&Part, Digest)> {
        let same = |own: &Platform| platform::is_for(own, wanted);
        let found = self.images().filter(|(_, _, own)| same(own));
        // One of exactly that variant rather than one that says none.
        let (part, id, _) = found.min_by_key(|(_, _, own)| own.variant != wanted.variant)?;
        Some((part, id))
    }

    /// Whether everything that it lists is here.
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| part.here != Here::No)
    }

    /// Every blob of it that is needed.
    pub fn blobs(&self) -> Vec<Digest> {
        let mut all = vec![self.index.digest];
        let mut seen = BTreeSet::new();
        for part in self.parts.iter().filter(|part| seen.insert(part.descriptor.digest)) {
            match &part.here {
                Here::No => {}
                Here::Image { id, layers, .. } => {
                    all.extend([part.descriptor.digest, *id]);
                    all.extend(layers.iter().map(|layer| layer.digest));
                }
                Here::Other { blobs } => {
                    all.push(part.descriptor.digest);
                    all.extend(blobs.iter().map(|blob| blob.digest));
                }
            }
        }
        all
    }

    /// Forgets images that are not here any more. Attestations stay for those that are.
    pub fn retain(&mut self, is_here: impl Fn(&Digest) -> bool) {
        for part in &mut self.parts {
            if matches!(&part.here, Here::Image { id, .. } if !is_here(id)) {
                part.here = Here::No;
            }
        }
    }
}

impl Part {
    /// Its image, with the manifest that the index names.
    pub fn record(&self, own: &Record) -> Option<Record> {
        let Here::Image { id, layers, .. } = &self.here else { return None };
        let manifest = Descriptor { annotations: BTreeMap::new(), platform: None, ..self.descriptor.clone() };
        let (layers, config) = (layers.to_vec(), own.config.clone());
        Some(Record { id: *id, manifest, layers, config, size: own.size, keep: own.keep })
    }

    /// The manifest that an attestation is about.
    pub fn attests(&self) -> Option<Digest> {
        let annotations = &self.descriptor.annotations;
        let is_one = annotations.get(REFERENCE_TYPE).is_some_and(|kind| kind == "attestation-manifest");
        annotations.get(REFERENCE_DIGEST).filter(|_| is_one)?.parse().ok()
    }
}

/// Reads an index.
pub fn parse(digest: &Digest, bytes: &[u8]) -> Result<Index, Error> {
    document::parse(&format!("the index {digest}"), bytes).map_err(Error::Archive)
}

/// A document that an index lists, read once however often it stands there.
enum Listed {
    Gone,
    Broken,
    Manifest { config: Descriptor, layers: Arc<[Descriptor]> },
}

impl Listed {
    fn read(stores: &Stores, digest: &Digest) -> Result<Listed, Error> {
        let bytes = match stores.content.read(digest, MAX_DOCUMENT) {
            Err(error) if matches!(error.kind(), base::Kind::NotFound | base::Kind::Invalid) => {
                return Ok(Listed::Gone);
            }
            read => read?,
        };
        Ok(match document::parse::<Manifest>("a manifest", &bytes) {
            Ok(Manifest { config, layers, .. }) => Listed::Manifest { config, layers: layers.into() },
            Err(_) => Listed::Broken,
        })
    }
}

fn here(stores: &Stores, (part, listed): (&Descriptor, &Listed), records: &BTreeMap<Digest, Arc<Record>>) -> Here {
    let is_manifest = matches!(part.media_type.as_str(), media::MANIFEST | media::DOCKER_MANIFEST);
    let (config, layers) = match listed {
        Listed::Gone => return Here::No,
        _ if !is_manifest => return Here::Other { blobs: Vec::new() },
        Listed::Broken => return Here::No,
        Listed::Manifest { config, layers } => (config, layers),
    };
    if is_image(part, config) {
        return match records.get(&config.digest) {
            Some(record) => {
                let platform = part.platform.clone().unwrap_or_else(|| platform::platform_of(&record.config));
                Here::Image { id: config.digest, platform, layers: Arc::clone(layers) }
            }
            None => Here::No,
        };
    }
    let blobs: Vec<Descriptor> = std::iter::once(config).chain(layers.iter()).cloned().collect();
    if blobs.iter().all(|blob| stores.content.has(&blob.digest)) { Here::Other { blobs } } else { Here::No }
}

/// Whether a manifest in an index is that of an image. Attestations have an image's configuration, too, but say that they are for
/// no platform.
pub fn is_image(part: &Descriptor, config: &Descriptor) -> bool {
    let for_none = part.platform.as_ref().is_some_and(|p| p.os == "unknown" || p.architecture == "unknown");
    !for_none && matches!(config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG | "application/octet-stream")
}
