//! An image whose manifest a registry knows takes the place of the same image in another wrapping.

use crate::catalog::Record;
use crate::store::{Arrival, Stores};
use crate::{Error, Keep};
use base::Digest;
use oci::image::Descriptor;
use std::collections::BTreeMap;

/// The documents of one image.
pub struct Documents<'a> {
    pub manifest: &'a [u8],
    pub media_type: &'a str,
    pub config: &'a [u8],
}

/// Writes the documents of an image whose layers are in the stores, and reads back what the catalogue needs.
pub fn write(stores: &Stores, documents: &Documents<'_>, arrival: &mut Arrival<'_>) -> Result<Record, Error> {
    let config = stores.content.put(documents.config)?;
    arrival.blobs.insert(config);
    let manifest = stores.content.put(documents.manifest)?;
    arrival.blobs.insert(manifest);
    let record = stores.record(&descriptor(documents.media_type, manifest, documents.manifest.len()))?;
    let kept = record.layers.iter().all(|layer| stores.content.has(&layer.digest));
    Ok(Record { keep: if kept { Keep::Blobs } else { Keep::TreesOnly }, ..record })
}

/// Points at a document.
pub fn descriptor(media_type: &str, digest: Digest, size: usize) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size: size as u64,
        annotations: BTreeMap::new(),
        platform: None,
    }
}
