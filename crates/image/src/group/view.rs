//! What a name has for each platform, and the image of one.

use super::{Group, Here};
use crate::catalog::{Catalog, Record};
use crate::{Error, Image, Store, platform};
use base::Digest;
use oci::image::{Descriptor, Platform};

/// One manifest of an image, as Docker's API tells of them.
#[derive(Debug, Clone)]
pub struct Part {
    pub descriptor: Descriptor,
    pub available: Available,
    pub kind: Kind,
    /// Bytes of its blobs that are here.
    pub content: u64,
}

/// Whether everything of a manifest is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Available {
    No,
    Yes,
}

/// What a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// With its id when it is here, and the bytes of its layers, unpacked.
    Image {
        id: Option<Digest>,
        platform: Platform,
        unpacked: u64,
    },
    /// About the image with this manifest.
    Attestation(Digest),
    Unknown,
}

impl Store {
    /// As [`Store::get`]; of a name for several platforms the image for `wanted`, and no image that is for another.
    pub fn get_for(&self, name: &str, wanted: Option<&Platform>) -> Result<Image, Error> {
        let Some(wanted) = wanted else { return self.get(name) };
        let plain = self.get(name)?;
        let id = self.look(|catalog| {
            let found = catalog.find(name).ok()?;
            Some(match catalog.group_of(&found) {
                None => Ok(found.id()),
                Some(group) => group.exactly(wanted).map(|(_, id)| id).ok_or_else(|| unprovided(name, wanted)),
            })
        });
        // The built-in image is in no catalogue.
        let Some(id) = id.transpose()? else { return self.fits(plain, name, wanted) };
        if id == plain.id {
            return self.fits(plain, name, wanted);
        }
        self.get(&id.to_string())
    }

    fn fits(&self, image: Image, name: &str, wanted: &Platform) -> Result<Image, Error> {
        if platform::is_for(&platform::platform_of(&image.config), wanted) {
            return Ok(image);
        }
        let own = &image.config;
        Err(Error::Unprovided(format!(
            "image with reference {name} was found but its platform ({}/{}) does not match the specified platform ({}/{})",
            own.os, own.architecture, wanted.os, wanted.architecture
        )))
    }

    /// The manifests of the image with this id and of the indexes that are shown as it.
    pub fn parts_of(&self, id: &Digest) -> Vec<Part> {
        self.look(|catalog| {
            let mut parts: Vec<Part> = Vec::new();
            for group in catalog.groups_shown_as(id) {
                for part in &group.parts {
                    if !parts.iter().any(|known| known.descriptor.digest == part.descriptor.digest) {
                        parts.push(self.part(catalog, part));
                    }
                }
            }
            let own = catalog.records.get(id).filter(|_| parts.is_empty());
            parts.extend(own.map(|record| self.only_part(record)));
            parts
        })
    }

    /// The index behind a name or an id, where there is one: its manifest as a registry has it.
    pub fn target_of(&self, name: &str) -> Option<Descriptor> {
        self.look(|catalog| {
            let found = catalog.find(name).ok()?;
            match catalog.group_of(&found) {
                Some(group) => Some(group.index.clone()),
                None => catalog.records.get(&found.id()).map(|record| with_platform(record)),
            }
        })
    }

    /// The manifest of an image, with what it is for: as an index would list it.
    pub fn manifest_of(&self, id: &Digest) -> Result<Descriptor, Error> {
        let found = self.look(|catalog| catalog.records.get(id).map(|record| with_platform(record)));
        found.ok_or_else(|| Error::NotFound(id.to_string()))
    }

    /// The other images of the indexes that are shown as this one.
    pub fn members_of(&self, id: &Digest) -> Vec<Digest> {
        self.look(|catalog| members(catalog, id))
    }

    fn part(&self, catalog: &Catalog, part: &super::Part) -> Part {
        let descriptor = part.descriptor.clone();
        let (kind, blobs) = match &part.here {
            Here::Image { id, platform, layers } => {
                let unpacked = catalog.records.get(id).map_or(0, |record| record.size);
                let kind = Kind::Image { id: Some(*id), platform: platform.clone(), unpacked };
                (kind, layers.iter().map(|layer| layer.digest).chain([*id]).collect())
            }
            Here::Other { blobs } => (missing(part), blobs.iter().map(|blob| blob.digest).collect()),
            Here::No => (missing(part), Vec::new()),
        };
        if part.here == Here::No {
            return Part { descriptor, available: Available::No, kind, content: 0 };
        }
        let content = descriptor.size + self.sizes(&blobs);
        Part { descriptor, available: Available::Yes, kind, content }
    }

    fn only_part(&self, record: &Record) -> Part {
        let blobs: Vec<Digest> = record.layers.iter().map(|layer| layer.digest).chain([record.id]).collect();
        let platform = platform::platform_of(&record.config);
        Part {
            descriptor: with_platform(record),
            available: Available::Yes,
            kind: Kind::Image { id: Some(record.id), platform, unpacked: record.size },
            content: record.manifest.size + self.sizes(&blobs),
        }
    }

    fn sizes(&self, blobs: &[Digest]) -> u64 {
        blobs.iter().map(|blob| self.stores.content.size(blob).unwrap_or(0)).sum()
    }
}

/// What a part is by what the index says of it alone.
fn missing(part: &super::Part) -> Kind {
    if let Some(about) = part.attests() {
        return Kind::Attestation(about);
    }
    match &part.descriptor.platform {
        Some(platform) if platform.os != "unknown" => Kind::Image { id: None, platform: platform.clone(), unpacked: 0 },
        _ => Kind::Unknown,
    }
}

fn with_platform(record: &Record) -> Descriptor {
    Descriptor { platform: Some(platform::platform_of(&record.config)), ..record.manifest.clone() }
}

fn members(catalog: &Catalog, id: &Digest) -> Vec<Digest> {
    let of = |group: &Group| group.images().map(|(_, id, _)| id).collect::<Vec<_>>();
    let mut all: Vec<Digest> = catalog.groups_shown_as(id).into_iter().flat_map(|group| of(group)).collect();
    all.sort();
    all.dedup();
    all.retain(|other| other != id);
    all
}

/// Docker's words for a name that has no image for a platform.
pub fn unprovided(name: &str, wanted: &Platform) -> Error {
    let wanted = platform::words(&platform::normal(wanted));
    Error::Unprovided(format!(
        "image with reference {name} was found but does not provide the specified platform ({wanted})"
    ))
}
