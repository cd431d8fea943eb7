//! Makes an image fit for a registry: layers that lie here as plain tars become gzip blobs.

use super::gzip;
use crate::admit::{self, Documents};
use crate::catalog::{MAX_DOCUMENT, Record};
use crate::commit::as_oci;
use crate::store::Arrival;
use crate::{Error, Store};
use base::Digest;
use oci::image::{Descriptor, Manifest, media};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, PoisonError};

/// Returns the image as it is to be pushed. Its new manifest, if it needs one, has taken the place of the old.
pub fn prepare(
    store: &Store,
    id: &Digest,
    cancel: &registry::Cancel,
    arrival: &mut Arrival<'_>,
) -> Result<Arc<Record>, Error> {
    let _one = store.preparing.lock().unwrap_or_else(PoisonError::into_inner);
    let gone = || Error::NotFound(id.to_string());
    let record = store.look(|catalog| catalog.records.get(id).cloned()).ok_or_else(gone)?;
    let Some(mut manifest) = own_manifest(store, &record)? else { return Ok(record) };
    let mut done: HashMap<Digest, Descriptor> = HashMap::new();
    for (layer, diff_id) in manifest.layers.iter_mut().zip(&record.config.rootfs.diff_ids) {
        // Docker's types, from a base that was pulled, have no place in an OCI manifest.
        *layer = as_oci(layer);
        if !is_plain(layer) {
            continue;
        }
        let packed = match done.get(diff_id) {
            Some(packed) => packed.clone(),
            None => packed(store, diff_id, cancel)?,
        };
        arrival.blobs.insert(packed.digest);
        done.insert(*diff_id, packed.clone());
        *layer = packed;
    }
    let bytes = serde_json::to_vec(&manifest).map_err(|e| Error::Archive(format!("cannot write a manifest: {e}")))?;
    let config = store.stores.content.read(&record.id, MAX_DOCUMENT)?;
    let documents = Documents { manifest: &bytes, media_type: media::MANIFEST, config: &config };
    let record = Arc::new(admit::write(&store.stores, &documents, arrival)?);
    store.change(|catalog| {
        let here = catalog.records.get_mut(id).ok_or_else(gone)?;
        *here = Arc::clone(&record);
        Ok(())
    })?;
    store.stores.sync_in_background();
    Ok(record)
}

/// The manifest of an image that has plain layers, if it is ours to change: written by this engine, and known to no
/// registry.
fn own_manifest(store: &Store, record: &Record) -> Result<Option<Manifest>, Error> {
    if !record.layers.iter().any(is_plain) || store.look(|catalog| catalog.has_digest_name(&record.id)) {
        return Ok(None);
    }
    let bytes = store.stores.content.read(&record.manifest.digest, MAX_DOCUMENT)?;
    let broken = |e: serde_json::Error| Error::Archive(format!("a manifest is broken: {e}"));
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(broken)?;
    let ours = serde_json::to_vec(&manifest).is_ok_and(|written| written == bytes);
    Ok(ours.then_some(manifest))
}

fn is_plain(layer: &Descriptor) -> bool {
    matches!(layer.media_type.as_str(), media::LAYER | media::DOCKER_LAYER)
}

/// The compressed form of a layer: one that is here (a registry may have it, too), else a new one.
fn packed(store: &Store, diff_id: &Digest, cancel: &registry::Cancel) -> Result<Descriptor, Error> {
    let known = store.look(|catalog| catalog.compressed(diff_id));
    if let Some(known) = known.filter(|known| store.stores.content.has(&known.digest)) {
        return Ok(Descriptor { annotations: Default::default(), ..as_oci(&known) });
    }
    let fail = |source| Error::Io { action: format!("compress layer {}", diff_id.short()), source };
    let kept = store.stores.content.has(diff_id);
    let mut source = Watched { inner: open(store, diff_id)?, hash: Sha256::new(), cancel };
    let mut ingest = store.stores.content.ingest()?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let written = gzip::compress(&mut source, &mut ingest, gzip::LEVEL, workers);
    if cancel.is_cancelled() {
        return Err(registry::Error::Cancelled.into());
    }
    written.map_err(&fail)?;
    let actual = Digest::from_bytes(source.hash.finalize().into());
    if actual != *diff_id {
        return Err(if kept {
            content::Error::WrongDigest { expected: *diff_id, actual }.into()
        } else {
            Error::NotKept(*diff_id)
        });
    }
    // The plain blob goes soon, and with it the only other place of these bytes.
    ingest.sync().map_err(fail)?;
    let (digest, size) = ingest.commit(None, None)?;
    Ok(crate::taking::descriptor(archive::Compression::Gzip, digest, size))
}

/// The plain tar of a layer; where only its tree is kept, made from that, if that gives the same bytes.
fn open(store: &Store, diff_id: &Digest) -> Result<std::fs::File, Error> {
    let stores = &store.stores;
    match stores.content.open_blob(diff_id) {
        Err(content::Error::NotFound(_)) => {
            let mut ingest = stores.content.ingest()?.unhashed();
            stores.layers.repack(diff_id, &mut ingest)?;
            ingest.reader().map_err(|source| Error::Io { action: "read a layer".to_owned(), source })
        }
        opened => Ok(opened?),
    }
}

/// A source that is hashed, and that a cancel ends.
struct Watched<'a> {
    inner: std::fs::File,
    hash: Sha256,
    cancel: &'a registry::Cancel,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let got = self.inner.read(buffer)?;
        self.hash.update(&buffer[..got]);
        Ok(got)
    }
}
