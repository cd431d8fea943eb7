//! Indexes within an OCI layout: kept as they are, with the images of theirs that the archive has.

use super::layout::{blob, check_type, image, parse};
use super::{Arrived, ArrivedIndex, Contents};
use crate::catalog::name_in;
use crate::platform::{is_for, machine_platform, platform_of, words};
use crate::{Error, group};
use base::Digest;
use oci::image::{Descriptor, Index, Manifest, Platform, media};
use std::collections::{BTreeMap, BTreeSet};

/// The indexes of which some image is in the archive; with `wanted`, only the images that are for it.
pub fn indexes(contents: &mut Contents, wanted: Option<&Platform>) -> Result<Vec<ArrivedIndex>, Error> {
    let Ok(layout) = contents.document(b"index.json") else { return Ok(Vec::new()) };
    let layout: Index = parse("index.json", layout)?;
    let plain = plain(contents, &layout);
    let mut found: Vec<ArrivedIndex> = Vec::new();
    // Where each is, if any of it is wanted.
    let mut places: BTreeMap<Digest, Option<usize>> = BTreeMap::new();
    for entry in layout.manifests.iter().filter(|entry| is_index(entry) && plain.contains(&entry.digest)) {
        if let Some(place) = places.get(&entry.digest) {
            if let Some(known) = place.and_then(|place| found.get_mut(place)) {
                known.names.extend(name_in(entry));
            }
            continue;
        }
        let bytes = blob(contents, entry)?.to_vec();
        let arrived = one(contents, entry, bytes, wanted)?;
        if arrived.images.is_empty() {
            places.insert(entry.digest, None);
            if wanted.is_none() {
                return Err(nothing(contents, entry));
            }
        } else {
            places.insert(entry.digest, Some(found.len()));
            found.push(arrived);
        }
    }
    Ok(found)
}

/// The entries of a layout that are indexes of manifests. Indexes within indexes are not kept, only what they lead to.
pub fn plain(contents: &Contents, layout: &Index) -> BTreeSet<Digest> {
    let entries: BTreeMap<Digest, &Descriptor> =
        layout.manifests.iter().filter(|entry| is_index(entry)).map(|entry| (entry.digest, entry)).collect();
    let read = |entry| parse::<Index>("an index", contents.document(&super::layout::path(entry)).ok()?).ok();
    let is_plain = |entry| read(entry).is_some_and(|index| !index.manifests.iter().any(is_index));
    entries.into_iter().filter(|(_, entry)| is_plain(*entry)).map(|(digest, _)| digest).collect()
}

/// Images that are in an index are not there a second time; what names them names the index.
pub fn unite(images: &mut Vec<Arrived>, indexes: &mut [ArrivedIndex]) {
    images.retain_mut(|image| {
        let same = |index: &&mut ArrivedIndex| index.images.iter().any(|part| part.config == image.config);
        let Some(index) = indexes.iter_mut().find(same) else { return true };
        for name in std::mem::take(&mut image.names) {
            if !index.names.contains(&name) {
                index.names.push(name);
            }
        }
        false
    });
}

pub fn is_index(entry: &Descriptor) -> bool {
    matches!(entry.media_type.as_str(), media::INDEX | media::DOCKER_LIST)
}

fn one(
    contents: &mut Contents,
    entry: &Descriptor,
    bytes: Vec<u8>,
    wanted: Option<&Platform>,
) -> Result<ArrivedIndex, Error> {
    let index: Index = parse(&entry.digest.to_string(), &bytes)?;
    check_type(entry, index.media_type.as_deref())?;
    if index.manifests.len() > group::MOST_PARTS {
        let most = group::MOST_PARTS;
        return Err(Error::Archive(format!("the index {} lists more than {most} manifests", entry.digest)));
    }
    // What stands there several times is kept once: a small archive must not become a large one in memory.
    let mut documented = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let mut arrived = ArrivedIndex {
        index: bytes,
        images: Vec::new(),
        documents: Vec::new(),
        names: name_in(entry).into_iter().collect(),
    };
    for part in &index.manifests {
        // Images of other systems cannot even be unpacked; and an archive has what its writer had.
        if part.platform.as_ref().is_some_and(|p| !matches!(p.os.as_str(), "" | "linux" | "unknown")) {
            continue;
        }
        let Ok(manifest) = blob(contents, part).map(<[u8]>::to_vec) else { continue };
        let read: Manifest = parse(&part.digest.to_string(), &manifest)?;
        if !group::is_image(part, &read.config) {
            if documented.insert(part.digest) {
                arrived.documents.extend(documents(contents, &read, manifest));
            }
        } else if is_here(contents, &read) {
            let image = image(contents, part, None)?;
            if !wanted.is_none_or(|wanted| fits(part, &image, wanted)) {
                continue;
            }
            match taken.insert(read.config.digest) {
                true => arrived.images.push(image),
                // The same image, wrapped otherwise.
                false if documented.insert(part.digest) => arrived.documents.push(manifest),
                false => {}
            }
        }
    }
    Ok(arrived)
}

/// Whether the archive has the configuration: then it is to have the layers, too.
fn is_here(contents: &Contents, manifest: &Manifest) -> bool {
    blob(contents, &manifest.config).is_ok()
}

fn fits(part: &Descriptor, image: &Arrived, wanted: &Platform) -> bool {
    let own =
        part.platform.clone().or_else(|| serde_json::from_slice(&image.config).ok().map(|config| platform_of(&config)));
    own.is_some_and(|own| is_for(&own, wanted))
}

/// All of an attestation, or nothing.
fn documents(contents: &Contents, manifest: &Manifest, own: Vec<u8>) -> Vec<Vec<u8>> {
    let blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
    let all: Result<Vec<Vec<u8>>, Error> = blobs.map(|entry| blob(contents, entry).map(<[u8]>::to_vec)).collect();
    all.map(|mut all| {
        all.push(own);
        all
    })
    .unwrap_or_default()
}

fn nothing(contents: &Contents, entry: &Descriptor) -> Error {
    let index = contents
        .document(&super::layout::path(entry))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Index>(bytes).ok());
    let listed = index.unwrap_or_default().manifests;
    let platforms: Vec<String> = listed.iter().filter_map(|part| part.platform.as_ref()).map(words).collect();
    Error::Platform {
        name: name_in(entry).map_or_else(|| entry.digest.to_string(), |name| name.familiar()),
        image: platforms.join(", "),
        machine: words(&machine_platform()),
    }
}
