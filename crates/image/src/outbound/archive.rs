//! An archive of a build's result: an OCI layout, with Docker's `manifest.json` where that is wanted.

use super::{Layer, Outbound};
use crate::Error;
use crate::save::tar::Tar;
use base::Digest;
use oci::image::{Descriptor, Index, media};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// What is in an archive.
#[derive(Debug)]
pub struct Archive<'a> {
    pub index: Vec<Descriptor>,
    /// Empty: no `manifest.json`.
    pub docker: Vec<Item>,
    pub documents: &'a BTreeMap<Digest, Vec<u8>>,
    pub layers: Vec<&'a Layer>,
}

/// One image of `manifest.json` (moby, image/tarexport).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Item {
    /// An image by its configuration and its layers' blobs; `names` as people write them.
    pub fn new(config: &Digest, names: Vec<String>, layers: &[Layer]) -> Item {
        let layers = layers.iter().map(|layer| path(&layer.blob.digest)).collect();
        Item { config: path(config), repo_tags: Some(names).filter(|names| !names.is_empty()), layers }
    }
}

impl Outbound<'_> {
    /// Writes it as one tar: documents first, so that who reads the stream knows what will come. The same things make the same
    /// bytes.
    pub fn archive(&self, archive: &Archive<'_>, sink: &mut dyn Write) -> Result<(), Error> {
        let mut tar = Tar::new(sink);
        let index = Index {
            schema_version: 2,
            media_type: Some(media::INDEX.to_owned()),
            manifests: archive.index.clone(),
            ..Index::default()
        };
        tar.document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        tar.document("index.json", &crate::save::json(&index)?)?;
        if !archive.docker.is_empty() {
            tar.document("manifest.json", &crate::save::json(&archive.docker)?)?;
        }
        tar.folder("blobs/")?;
        tar.folder("blobs/sha256/")?;
        for (digest, bytes) in archive.documents {
            tar.document(&path(digest), bytes)?;
        }
        let mut written = BTreeSet::new();
        for layer in archive.layers.iter().filter(|layer| written.insert(layer.blob.digest)) {
            tar.file(&path(&layer.blob.digest), layer.blob.size)?;
            self.write(layer, &mut tar)?;
            tar.end()?;
        }
        tar.finish()
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
