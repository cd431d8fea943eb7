//! The documents of a cache, as BuildKit's clients and registries know them: a manifest or an index that names a configuration of
//! the type `application/vnd.buildkit.cacheconfig.v0` and layers.
//!
//! The records have this engine's keys, and in `dhow` what BuildKit's have no place for. BuildKit reads such a document and finds
//! nothing in it; of one of its own nothing is found here.

use super::Noted;
use crate::cache::{Made, Outcome};
use crate::{Error, Result};
use base::Digest;
use oci::image::{Descriptor, Index, Manifest, media};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

pub(crate) const CONFIG_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// Bytes that a document may have.
pub(crate) const LARGEST: u64 = 8 << 20;
/// Records that are looked at; layers of an image are far fewer.
const MOST_RECORDS: usize = 100_000;

/// The configuration of a cache.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Record>,
}

/// A layer whose blob the manifest names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub blob: Digest,
    /// The one below; here they are all for themselves.
    #[serde(default, rename = "parent")]
    pub parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Annotations {
    #[serde(default)]
    pub media_type: String,
    #[serde(rename = "diffID")]
    pub diff_id: Digest,
    #[serde(default)]
    pub size: u64,
    pub created_at: String,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(default, rename = "layers", skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<Place>,
    /// Its key; other builders' may be of other algorithms.
    pub digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhow: Option<Step>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    pub layer: usize,
    pub created_at: String,
}

/// What only this engine says of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub title: String,
    pub created: String,
    /// Its layer, which may be none of those that lie here.
    #[serde(default, rename = "diffID", skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<Digest>,
    /// Another key of the same step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Digest>,
    /// Bytes of the layer's tar, and of its files.
    #[serde(default)]
    pub tar: u64,
    #[serde(default)]
    pub bytes: u64,
}

impl Step {
    pub fn of(noted: &Noted) -> Step {
        let made = noted.outcome.layer;
        Step {
            title: noted.title.clone(),
            created: noted.outcome.created.clone(),
            alias: noted.alias,
            diff_id: made.map(|made| made.diff_id),
            tar: made.map_or(0, |made| made.tar),
            bytes: made.map_or(0, |made| made.bytes),
        }
    }

    fn outcome(&self) -> Outcome {
        let layer = self.diff_id.map(|diff_id| Made { diff_id, tar: self.tar, bytes: self.bytes });
        Outcome { layer, created: self.created.clone() }
    }
}

/// What a cache says: steps by their keys, and where layers lie.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub steps: Vec<Noted>,
    pub layers: Vec<(Digest, Descriptor)>,
}

/// Reads the configuration of a cache beside the blobs that its manifest names.
pub(crate) fn read(bytes: &[u8], blobs: &[Descriptor]) -> Result<Said> {
    let config: Config = serde_json::from_slice(bytes).map_err(broken)?;
    let by_digest: BTreeMap<Digest, &Descriptor> = blobs.iter().map(|blob| (blob.digest, blob)).collect();
    let place = |layer: &Layer| {
        let (annotations, blob) = (layer.annotations.as_ref()?, by_digest.get(&layer.blob)?);
        Some((annotations.diff_id, Descriptor::clone(blob)))
    };
    let layers = config.layers.iter().filter_map(place).collect();
    Ok(Said { steps: steps(config.records), layers })
}

/// Reads the records that an image has in its configuration; its layers lie beside it.
pub(crate) fn read_inline(config: &oci::image::Image, blobs: &[Descriptor]) -> Result<Said> {
    use base64::Engine as _;
    let Some(text) = &config.build_cache else { return Ok(Said::default()) };
    if config.rootfs.diff_ids.len() != blobs.len() {
        return Err(Error::Invalid("the image has another number of layers than its configuration says".to_owned()));
    }
    let wrong = || Error::Invalid("the image's cache is no base64".to_owned());
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| wrong())?;
    let records: Vec<Record> = serde_json::from_slice(&bytes).map_err(broken)?;
    let layers = config.rootfs.diff_ids.iter().copied().zip(blobs.iter().cloned()).collect();
    Ok(Said { steps: steps(records), layers })
}

/// Records for the configuration of an image with these layers.
pub(crate) fn inline(layers: &[Digest], steps: &[Noted]) -> String {
    use base64::Engine as _;
    let record = |noted: &Noted| {
        let at = noted.outcome.layer.and_then(|made| layers.iter().position(|layer| *layer == made.diff_id));
        let results = at.map(|layer| Place { layer, created_at: noted.outcome.created.clone() });
        let dhow = Some(Step::of(noted));
        Record { results: results.into_iter().collect(), digest: noted.key.to_string(), dhow }
    };
    let records: Vec<Record> = steps.iter().map(record).collect();
    base64::engine::general_purpose::STANDARD.encode(serde_json::to_vec(&records).unwrap_or_default())
}

/// Records that are this engine's.
fn steps(records: Vec<Record>) -> Vec<Noted> {
    let own = records.into_iter().take(MOST_RECORDS);
    own.filter_map(|record| {
        let step = record.dhow?;
        let (outcome, alias) = (step.outcome(), step.alias);
        Some(Noted { key: record.digest.parse().ok()?, title: step.title, outcome, alias })
    })
    .collect()
}

/// The two forms of a cache's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An image's, with the layers as layers.
    Image,
    Index,
    /// An index of Docker's type.
    List,
}

/// A document and what it is.
#[derive(Debug)]
pub(crate) struct Written {
    pub bytes: Vec<u8>,
    pub descriptor: Descriptor,
}

pub(crate) fn manifest(form: Form, layers: Vec<Descriptor>, config: Descriptor) -> Result<Written> {
    let kind = match form {
        Form::Image => media::MANIFEST,
        Form::Index => media::INDEX,
        Form::List => media::DOCKER_LIST,
    };
    let media_type = Some(kind.to_owned());
    let bytes = if form == Form::Image {
        serde_json::to_vec(&Manifest { schema_version: 2, media_type, config, layers, annotations: BTreeMap::new() })
    } else {
        let manifests = layers.into_iter().chain([config]).collect();
        serde_json::to_vec(&Index { schema_version: 2, media_type, manifests, ..Index::default() })
    };
    Ok(written(bytes.map_err(broken)?, kind))
}

pub(crate) fn config(config: &Config) -> Result<Written> {
    Ok(written(serde_json::to_vec(config).map_err(broken)?, CONFIG_TYPE))
}

fn written(bytes: Vec<u8>, media_type: &str) -> Written {
    let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
    let size = bytes.len() as u64;
    let descriptor =
        Descriptor { media_type: media_type.to_owned(), digest, size, annotations: BTreeMap::new(), platform: None };
    Written { bytes, descriptor }
}

pub(crate) fn broken(error: serde_json::Error) -> Error {
    Error::Invalid(format!("a document of the cache is broken: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::from_bytes([number; 32])
    }

    fn blob(number: u8) -> Descriptor {
        let media_type = media::LAYER_GZIP.to_owned();
        Descriptor { media_type, digest: digest(number), size: 1, annotations: BTreeMap::new(), platform: None }
    }

    fn noted(key: u8, layer: Option<u8>) -> Noted {
        let layer = layer.map(|layer| Made { diff_id: digest(layer), tar: 2048, bytes: 3 });
        Noted {
            key: digest(key),
            title: format!("RUN {key}"),
            outcome: Outcome { layer, created: "2026-01-01T00:00:00Z".into() },
            alias: None,
        }
    }

    #[test]
    fn what_an_image_says_is_read_again() {
        let steps = [noted(1, Some(11)), noted(2, None), noted(3, Some(13))];
        let mut image =
            oci::image::Image { build_cache: Some(inline(&[digest(10), digest(11)], &steps)), ..Default::default() };
        image.rootfs.diff_ids = vec![digest(10), digest(11)];
        let said = read_inline(&image, &[blob(20), blob(21)]).unwrap();
        assert_eq!(said.layers, [(digest(10), blob(20)), (digest(11), blob(21))]);
        assert_eq!(said.steps, steps);
        assert!(read_inline(&image, &[blob(20)]).is_err());
    }

    #[test]
    fn records_of_another_builder_say_nothing_and_do_no_harm() {
        let text = br#"{"layers":[{"blob":"sha256:1111111111111111111111111111111111111111111111111111111111111111","parent":-1,
            "annotations":{"mediaType":"x","diffID":"sha256:2222222222222222222222222222222222222222222222222222222222222222","size":3,"createdAt":"2026-01-01T00:00:00Z"}}],
            "records":[{"digest":"sha256:3333333333333333333333333333333333333333333333333333333333333333","inputs":[[{"link":7}]],"layers":[{"layer":9,"createdAt":"2026-01-01T00:00:00Z"}]},
                       {"digest":"random:4444","inputs":[]}]}"#;
        let said = read(text, &[]);
        assert!(said.is_ok_and(|said| said.steps.is_empty()));
        assert!(read(b"{", &[]).is_err() && read(b"7", &[]).is_err());
    }
}
