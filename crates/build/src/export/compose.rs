//! The documents of a result: configurations, manifests, attestations, and an index where there is more than one manifest.

use super::Export;
use super::annotations::Place;
use super::options::{Options, Types};
use super::ready::Ready;
use crate::attest::{self, Statement};
use crate::{Error, Result};
use base::Digest;
use image::outbound::{Layer, Outbound};
use oci::image::{Descriptor, Index, Manifest, Platform, media};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The type of a statement about a result (in-toto, envelope).
const STATEMENT: &str = "application/vnd.in-toto+json";
const ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A result as documents.
#[derive(Debug, Default)]
pub(super) struct Composed {
    pub images: Vec<Composite>,
    /// Manifests of attestations, as the index lists them.
    pub attestations: Vec<Descriptor>,
    /// Configurations and statements.
    pub blobs: Vec<Descriptor>,
    pub documents: BTreeMap<Digest, Vec<u8>>,
    pub index: Option<Index>,
    /// What stands for all of it: the index, or the only manifest.
    pub root: Option<Descriptor>,
}

/// The image for one platform.
#[derive(Debug)]
pub(super) struct Composite {
    pub config: Digest,
    pub manifest: Descriptor,
    pub layers: Vec<Layer>,
}

impl Composed {
    pub fn root(&self) -> Result<&Descriptor> {
        self.root.as_ref().ok_or_else(|| Error::Invalid("the build has no result".to_owned()))
    }

    /// Manifests in the order in which a registry can take them.
    pub fn manifests(&self) -> Vec<Descriptor> {
        let mut all: Vec<Descriptor> = self.images.iter().map(|image| image.manifest.clone()).collect();
        all.extend(self.attestations.iter().cloned());
        if self.index.is_some() {
            all.extend(self.root.clone());
        }
        all
    }

    fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let digest = digest(&bytes);
        let size = bytes.len() as u64;
        self.documents.insert(digest, bytes);
        Descriptor { media_type: media_type.to_owned(), digest, size, annotations: BTreeMap::new(), platform: None }
    }
}

/// Makes the documents of `ready`.
pub(super) fn compose(
    export: &Export<'_>,
    outbound: &Outbound<'_>,
    options: &Options,
    ready: &[Ready],
) -> Result<Composed> {
    let platforms: Vec<&Platform> = ready.iter().map(|one| &one.platform).collect();
    options.annotations.check(&platforms)?;
    let mut composed = Composed::default();
    for one in ready {
        let image = image(export, outbound, options, (one, &mut composed))?;
        composed.images.push(image);
    }
    finish(export, options, ready, composed)
}

/// Adds what is said of the images whose manifests are there, and the index.
pub(super) fn finish(export: &Export<'_>, options: &Options, ready: &[Ready], composed: Composed) -> Result<Composed> {
    let mut composed = composed;
    let attested = options.attested(export.solved, ready.len())?;
    if !attested.is_empty() {
        if options.types == Types::Docker {
            return Err(Error::Invalid("cannot export attestations with \"oci-mediatypes=false\"".to_owned()));
        }
        for (number, one) in ready.iter().enumerate() {
            let subjects = attest::subjects_of(&options.names, &one.platform, &composed.images[number].manifest.digest);
            let statements =
                attest::statements(export, &attested, (number, &composed.images[number].layers), &subjects)?;
            let about = composed.images[number].manifest.clone();
            let manifest = attestation(&mut composed, options, &about, &statements)?;
            export.done(&format!("exporting attestation manifest {}", manifest.digest));
            composed.attestations.push(manifest);
        }
    }
    let annotations = &options.annotations;
    if ready.len() == 1 && attested.is_empty() {
        if annotations.has(Place::Index) || annotations.has(Place::IndexDescriptor) {
            let why = "index annotations not supported for single platform export";
            return Err(Error::Invalid(why.to_owned()));
        }
        composed.root = composed.images.first().map(|image| image.manifest.clone());
        return Ok(composed);
    }
    let media_type = if options.types == Types::Oci { media::INDEX } else { media::DOCKER_LIST };
    let index = Index {
        schema_version: 2,
        media_type: Some(media_type.to_owned()),
        manifests: composed.images.iter().map(|image| &image.manifest).chain(&composed.attestations).cloned().collect(),
        annotations: annotations.of(Place::Index, None),
    };
    let mut root = composed.add(media_type, json(&index)?);
    root.annotations = annotations.of(Place::IndexDescriptor, None);
    export.done(&format!("exporting manifest list {}", root.digest));
    composed.index = Some(index);
    composed.root = Some(root);
    Ok(composed)
}

fn image(
    export: &Export<'_>,
    outbound: &Outbound<'_>,
    options: &Options,
    (ready, composed): (&Ready, &mut Composed),
) -> Result<Composite> {
    export.begun("exporting layers");
    let mut layers = Vec::new();
    for (diff_id, tar) in &ready.layers {
        layers.push(outbound.layer(diff_id, *tar, options.form, export.cancel)?);
    }
    export.ended("exporting layers");
    let (manifest_type, config_type) = match options.types {
        Types::Oci => (media::MANIFEST, media::CONFIG),
        Types::Docker => (media::DOCKER_MANIFEST, media::DOCKER_CONFIG),
    };
    let config = composed.add(config_type, json(&ready.image)?);
    let platform = Some(&ready.platform);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(manifest_type.to_owned()),
        config: config.clone(),
        layers: layers.iter().map(|layer| typed(&layer.blob, options.types)).collect(),
        annotations: options.annotations.of(Place::Manifest, platform),
    };
    let mut manifest = composed.add(manifest_type, json(&manifest)?);
    export.done(&format!("exporting manifest {}", manifest.digest));
    export.done(&format!("exporting config {}", config.digest));
    manifest.annotations = options.annotations.of(Place::ManifestDescriptor, platform);
    manifest.platform = platform.cloned();
    let digest = config.digest;
    composed.blobs.push(config);
    Ok(Composite { config: digest, manifest, layers })
}

/// A layer as documents of these types name it.
fn typed(layer: &Descriptor, types: Types) -> Descriptor {
    let media_type = match (types, layer.media_type.as_str()) {
        (Types::Docker, media::LAYER) => media::DOCKER_LAYER,
        (Types::Docker, media::LAYER_GZIP) => media::DOCKER_LAYER_GZIP,
        (_, other) => other,
    };
    Descriptor { media_type: media_type.to_owned(), ..layer.clone() }
}

/// The manifest of what is said about an image.
fn attestation(
    composed: &mut Composed,
    options: &Options,
    about: &Descriptor,
    statements: &[Statement],
) -> Result<Descriptor> {
    let mut layers = Vec::new();
    for statement in statements {
        let mut layer = composed.add(STATEMENT, json(&statement.body)?);
        composed.blobs.push(layer.clone());
        layer.annotations.insert("in-toto.io/predicate-type".to_owned(), statement.predicate_type.clone());
        layers.push(layer);
    }
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    let mut manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": media::MANIFEST });
    let config = if options.artifacts {
        manifest["artifactType"] = ARTIFACT.into();
        manifest["subject"] =
            serde_json::json!({ "mediaType": about.media_type, "digest": about.digest, "size": about.size });
        composed.add(EMPTY, b"{}".to_vec())
    } else {
        let config = serde_json::json!({
            "architecture": "unknown", "os": "unknown", "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        composed.add(media::CONFIG, json(&config)?)
    };
    manifest["config"] = serde_json::to_value(&config).map_err(unwritable)?;
    manifest["layers"] = serde_json::to_value(&layers).map_err(unwritable)?;
    composed.blobs.push(config);
    let mut entry = composed.add(media::MANIFEST, json(&manifest)?);
    entry.annotations = BTreeMap::from([
        ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
        ("vnd.docker.reference.digest".to_owned(), about.digest.to_string()),
    ]);
    let unknown = || "unknown".to_owned();
    entry.platform = Some(Platform { architecture: unknown(), os: unknown(), variant: None, os_version: None });
    Ok(entry)
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::Invalid(format!("cannot write a document: {error}"))
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}
