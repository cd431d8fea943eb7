//! What a registry has under a name, without pulling it.

use crate::{Engine, Error, Result};
use image::Reference;
use oci::image::{Descriptor, Index, Manifest, Platform, media};
use registry::{Cancel, Credentials, Document, Repository};
use std::collections::BTreeMap;
use std::io::Read;

/// Most bytes of a configuration.
const MOST: u64 = 8 << 20;

/// A manifest or an index in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    pub descriptor: Descriptor,
    pub platforms: Vec<Platform>,
}

impl Engine {
    /// Asks the registry.
    pub fn distribution(&self, name: &Reference, credentials: &Credentials, cancel: &Cancel) -> Result<Distribution> {
        let client = &self.house.exchange.client;
        let repository = client.repository(&name.domain, &name.path, credentials, cancel);
        let wanted = match (&name.digest, &name.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        };
        let document = repository.manifest(&wanted)?;
        let platforms = platforms(&document, &repository)?;
        let descriptor = Descriptor {
            media_type: document.media_type,
            digest: document.digest,
            size: document.bytes.len() as u64,
            annotations: BTreeMap::new(),
            platform: None,
        };
        Ok(Distribution { descriptor, platforms })
    }
}

/// Those an index lists, or the one of a manifest's configuration.
fn platforms(document: &Document, repository: &Repository) -> Result<Vec<Platform>> {
    if matches!(document.media_type.as_str(), media::INDEX | media::DOCKER_LIST) {
        let index: Index = read("an index", &document.bytes)?;
        return Ok(index.manifests.into_iter().filter_map(|entry| entry.platform).collect());
    }
    let manifest: Manifest = read("a manifest", &document.bytes)?;
    if !matches!(manifest.config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG) {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    let blob = repository.blob(&manifest.config)?.take(MOST).read_to_end(&mut bytes);
    blob.map_err(|source| Error::Io { action: format!("read the configuration {}", manifest.config.digest), source })?;
    Ok(vec![read("a configuration", &bytes)?])
}

fn read<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::Invalid(format!("the registry's answer is not {what}: {e}")))
}
