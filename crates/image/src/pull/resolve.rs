//! From a name to an image: manifest or index, the manifest for a platform, the configuration; everything verified.

use super::Pull;
use crate::catalog::{MAX_DOCUMENT, check_layers};
use crate::group::MOST_PARTS;
use crate::{Error, document, load, platform};
use base::Digest;
use oci::image::{Descriptor, Index, Manifest, media};
use registry::{Document, Repository};
use serde::Deserialize;
use std::io::Read;

/// How deep an index may stand in an index.
const MAX_DEPTH: usize = 4;

/// An image as a registry has it.
pub struct Resolved {
    /// Of the manifest or index that the reference names.
    pub named: Digest,
    /// The index that the reference names, if it lists the manifest.
    pub index: Option<Document>,
    pub manifest: Document,
    pub config: Vec<u8>,
    /// Lowest first; a blob that stands there several times stands here once.
    pub layers: Vec<Layer>,
}

/// A layer, by its two names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub blob: Descriptor,
    pub diff_id: Digest,
}

/// What a document says about itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    media_type: Option<String>,
}

enum Kind {
    Manifest,
    Index,
}

pub fn resolve(repository: &Repository, pull: &Pull<'_>) -> Result<Resolved, Error> {
    let word = match (&pull.reference.digest, &pull.reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => "latest".to_owned(),
    };
    let top = repository.manifest(&word)?;
    if let Some(expected) = pull.reference.digest {
        check_digest("manifest", &expected, &top.bytes)?;
    }
    let named = top.digest;
    let (index, manifest) = descend(repository, pull, top)?;
    let what = pull.reference.familiar();
    let parsed: Manifest = document::parse(&what, &manifest.bytes).map_err(Error::Served)?;
    check_config_type(&parsed.config.media_type)?;
    parsed.layers.iter().try_for_each(check_layer_type)?;
    let config = config(repository, &parsed.config)?;
    let layers = layers(&what, &parsed, &config)?;
    Ok(Resolved { named, index, manifest, config, layers })
}

/// Follows indexes down to a manifest. The index is that which lists it, if the reference names that one.
fn descend(repository: &Repository, pull: &Pull<'_>, top: Document) -> Result<(Option<Document>, Document), Error> {
    let mut at = top;
    let mut entry = None;
    let mut above = Vec::new();
    for _ in 0..=MAX_DEPTH {
        if let Kind::Manifest = kind_of(pull, &at, entry.as_ref())? {
            let only = if above.len() == 1 { above.pop() } else { None };
            return Ok((only, at));
        }
        let index: Index = document::parse(&at.digest.to_string(), &at.bytes).map_err(Error::Served)?;
        if index.manifests.len() > MOST_PARTS {
            return Err(Error::Served(format!("the index {} lists more than {MOST_PARTS} manifests", at.digest)));
        }
        let machine = platform::machine_platform();
        let wanted = pull.platform.unwrap_or(&machine);
        let Some(chosen) = platform::choose(&index.manifests, wanted) else {
            return Err(Error::NoMatch(platform::words(&platform::normal(wanted))));
        };
        let next = repository.manifest(&chosen.digest.to_string())?;
        above.push(std::mem::replace(&mut at, next));
        check_digest("manifest", &chosen.digest, &at.bytes)?;
        check_size(chosen, at.bytes.len() as u64)?;
        entry = Some(chosen.clone());
    }
    Err(Error::Served(format!("{}: an index within {MAX_DEPTH} indexes", pull.reference.familiar())))
}

/// What sort of document it is. The registry client has compared the header with the document; here the index that names
/// it, and spellings of keys that other readers take for the same, have a say.
fn kind_of(pull: &Pull<'_>, document: &Document, entry: Option<&Descriptor>) -> Result<Kind, Error> {
    let what = pull.reference.familiar();
    let probe: Probe = document::parse(&what, &document.bytes).map_err(Error::Served)?;
    let media_type = document.media_type.as_str();
    for said in [probe.media_type.as_deref(), entry.map(|entry| entry.media_type.as_str())] {
        document::check_type(&document.digest, said, media_type).map_err(Error::Served)?;
    }
    kind(media_type)
        .ok_or_else(|| Error::Served(format!("unsupported manifest format: {what} is of the type {media_type:?}")))
}

fn kind(media_type: &str) -> Option<Kind> {
    match media_type {
        media::MANIFEST | media::DOCKER_MANIFEST => Some(Kind::Manifest),
        media::INDEX | media::DOCKER_LIST => Some(Kind::Index),
        _ => None,
    }
}

/// An artifact (chart, signature, plugin) has another configuration than an image. Docker 1.10 pushed octet streams.
fn check_config_type(media_type: &str) -> Result<(), Error> {
    match media_type {
        media::CONFIG | media::DOCKER_CONFIG | "application/octet-stream" => Ok(()),
        other => {
            let class = if other.starts_with("application/vnd.docker.plugin.") { "plugin" } else { "unknown" };
            Err(Error::Served(format!("Encountered remote {other:?}({class}) when fetching")))
        }
    }
}

fn check_layer_type(layer: &Descriptor) -> Result<(), Error> {
    let plain = ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"];
    let name = layer.media_type.as_str();
    let ending = plain.iter().find_map(|plain| name.strip_prefix(plain));
    if matches!(ending, Some("" | "+gzip" | "+zstd" | ".gzip" | ".zstd")) {
        return Ok(());
    }
    let short = layer.digest.short();
    Err(Error::Served(if name.contains("foreign") || name.contains("nondistributable") {
        format!(
            "layer {short} is not in the registry: its license forbids it ({name}), and such layers are not supported"
        )
    } else if name.ends_with("+encrypted") {
        format!("layer {short} is encrypted, which is not supported")
    } else {
        format!("layer {short} is of the type {name:?}, which is not supported")
    }))
}

fn config(repository: &Repository, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    if blob.size > MAX_DOCUMENT {
        return Err(content::Error::TooLarge { digest: blob.digest, size: blob.size }.into());
    }
    let mut bytes = Vec::new();
    let read = repository.blob(blob)?.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes);
    read.map_err(|error| super::unread("download the image's configuration".to_owned(), error))?;
    check_size(blob, bytes.len() as u64)?;
    check_digest("image config", &blob.digest, &bytes)?;
    Ok(bytes)
}

fn layers(what: &str, manifest: &Manifest, config: &[u8]) -> Result<Vec<Layer>, Error> {
    let broken = |e: serde_json::Error| Error::Served(format!("the configuration of {what} is broken: {e}"));
    let image: oci::image::Image = serde_json::from_slice(config).map_err(broken)?;
    platform::check_os(what, &image)?;
    let mismatch = || Error::Served("layers from manifest don't match image configuration".to_owned());
    check_layers(what, manifest, &image).map_err(|_| mismatch())?;
    let mut layers: Vec<Layer> = Vec::new();
    for (blob, diff_id) in manifest.layers.iter().zip(&image.rootfs.diff_ids) {
        match layers.iter().find(|known| known.blob.digest == blob.digest) {
            Some(known) if known.diff_id != *diff_id || known.blob.size != blob.size => return Err(mismatch()),
            Some(_) => {}
            None => layers.push(Layer { blob: blob.clone(), diff_id: *diff_id }),
        }
    }
    Ok(layers)
}

fn check_digest(what: &str, expected: &Digest, bytes: &[u8]) -> Result<(), Error> {
    if load::digest(bytes) == *expected {
        return Ok(());
    }
    Err(Error::Served(format!("{what} verification failed for digest {expected}")))
}

fn check_size(expected: &Descriptor, actual: u64) -> Result<(), Error> {
    if expected.size == actual {
        return Ok(());
    }
    Err(content::Error::WrongSize { expected: expected.size, actual }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(media_type: &str) -> Descriptor {
        crate::admit::descriptor(media_type, Digest::from_bytes([1; 32]), 1)
    }

    #[test]
    fn layers_that_cannot_be_had_are_told_apart() {
        for fine in [
            media::LAYER,
            media::LAYER_GZIP,
            media::LAYER_ZSTD,
            media::DOCKER_LAYER,
            media::DOCKER_LAYER_GZIP,
            "application/vnd.docker.image.rootfs.diff.tar.zstd",
        ] {
            check_layer_type(&layer(fine)).unwrap();
        }
        for (wrong, word) in [
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "license"),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "license"),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted"),
            ("application/vnd.oci.image.layer.v1.tarball", "of the type"),
            ("application/vnd.in-toto+json", "of the type"),
            ("", "of the type"),
        ] {
            let error = check_layer_type(&layer(wrong)).unwrap_err().to_string();
            assert!(error.contains(word), "{wrong}: {error}");
        }
    }
}
