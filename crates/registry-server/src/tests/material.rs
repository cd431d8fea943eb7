//! Images and other things to push.

use super::Registry;
use crate::blobs::digest_of;
use base::Digest;
use http::Method;
use oci::image::media;
use serde_json::{Value, json};
use tar_core::EntryType;
use tar_core::builder::EntryBuilder;

/// A whole image of one layer.
pub struct Picture {
    pub layer: Vec<u8>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

impl Picture {
    /// Two images of different words share nothing.
    pub fn of(words: &str) -> Picture {
        Picture::with(words, json!({}))
    }

    /// With more in its manifest.
    pub fn with(words: &str, more: Value) -> Picture {
        let layer = tar(words);
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Cmd": [words] },
            "rootfs": { "type": "layers", "diff_ids": [digest_of(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::MANIFEST,
            "config": part(media::CONFIG, &config),
            "layers": [part(media::LAYER, &layer)],
        });
        manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Picture { layer, config, manifest: manifest.to_string().into_bytes() }
    }

    pub fn digest(&self) -> Digest {
        digest_of(&self.manifest)
    }

    pub async fn push_blobs(&self, registry: &Registry, repository: &str) {
        for blob in [&self.layer, &self.config] {
            push_blob(registry, repository, blob).await;
        }
    }

    pub async fn push(&self, registry: &Registry, repository: &str, reference: &str) {
        self.push_blobs(registry, repository).await;
        put(registry, repository, reference, (media::MANIFEST, &self.manifest)).await.expect(201);
    }
}

pub fn part(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
}

pub async fn push_blob(registry: &Registry, repository: &str, blob: &[u8]) -> Digest {
    let digest = digest_of(blob);
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    registry.send(Method::POST, &path, &[], blob).await.expect(201);
    digest
}

pub async fn put(registry: &Registry, repository: &str, reference: &str, sent: (&str, &[u8])) -> super::Reply {
    let path = format!("/v2/{repository}/manifests/{reference}");
    registry.send(Method::PUT, &path, &[("content-type", sent.0)], sent.1).await
}

fn tar(words: &str) -> Vec<u8> {
    let mut entry = EntryBuilder::new_ustar();
    entry.path("words").entry_type(EntryType::Regular);
    entry.mode(0o644).unwrap().size(words.len() as u64).unwrap().mtime(1).unwrap();
    entry.uid(0).unwrap().gid(0).unwrap();
    let mut tar = entry.finish_bytes();
    tar.extend_from_slice(words.as_bytes());
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}
