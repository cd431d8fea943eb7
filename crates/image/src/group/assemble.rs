//! An index of images that are here, for instance of those that a build made.

use super::{Group, Here};
use crate::reference::Reference;
use crate::store::{check_free, now};
use crate::{Error, Store};
use base::Digest;
use oci::image::Index;
use std::sync::Arc;

/// What an index is put together of.
#[derive(Debug)]
pub struct AssembledIndex<'a> {
    /// Complete. Its images are in the store, by the manifests that [`Store::manifest_of`] tells, or by others whose bytes are
    /// among `documents` and whose layers are in the store.
    pub index: &'a Index,
    /// Documents that come with it: manifests, configurations and statements of attestations.
    pub documents: &'a [Vec<u8>],
    pub names: &'a [Reference],
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    /// Of the index.
    pub digest: Digest,
    /// Bytes of the index.
    pub size: u64,
    /// The image that is shown for it.
    pub image: Digest,
}

impl Store {
    /// Makes an index of what is in the store. It is there as a whole or not at all.
    pub fn assemble_index(&self, assembled: &AssembledIndex<'_>) -> Result<Indexed, Error> {
        let names: Vec<Reference> = assembled.names.iter().cloned().map(Reference::or_latest).collect();
        names.iter().try_for_each(check_free)?;
        let bytes =
            serde_json::to_vec(assembled.index).map_err(|e| Error::Archive(format!("cannot write an index: {e}")))?;
        let mut arrival = self.arrive();
        for document in assembled.documents {
            arrival.blobs.insert(self.stores.content.put(document)?);
        }
        let digest = self.stores.content.put(&bytes)?;
        arrival.blobs.insert(digest);
        let indexed = self.change(|catalog| {
            let group = Group::read(&self.stores, &digest, &catalog.records)?;
            complete(&group)?;
            let image =
                group.face().ok_or_else(|| Error::Archive(format!("no image of the index {digest} is here")))?;
            catalog.groups.insert(digest, Arc::new(group));
            let now = now();
            names.iter().for_each(|name| catalog.name_index(name, digest, &now));
            Ok(Indexed { digest, size: bytes.len() as u64, image })
        })?;
        drop(arrival);
        self.stores.sync_in_background();
        Ok(indexed)
    }
}

/// Whether all that an index lists came with it.
fn complete(group: &Group) -> Result<(), Error> {
    match group.parts.iter().find(|part| part.here == Here::No) {
        None => Ok(()),
        Some(part) => Err(Error::Archive(format!(
            "the index {} lists {}, which is not here",
            group.index.digest, part.descriptor.digest
        ))),
    }
}
