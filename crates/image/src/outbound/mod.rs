//! What a build made, on its way out: layers in the form that is asked for, documents as they are given.
//!
//! ```text
//!   layer (tree, or a blob that is here) --> blob of a form --> archive | registry | store
//! ```
//!
//! Blobs that were made for it stay while the [`Outbound`] lives, then only if an image came to need them. Plain layers go from
//! their trees into an archive without a copy between.

mod archive;
mod layer;
mod push;

pub use archive::{Archive, Item};
pub use layer::{Force, Form, Layer};
pub use push::{Named, Sent, in_memory};

use crate::admit::{self, Documents};
use crate::load::Arrived;
use crate::reference::Reference;
use crate::store::{Arrival, check_free};
use crate::{Error, Store};
use base::Digest;
use std::sync::{Arc, Mutex, PoisonError};

/// One export that goes on.
pub struct Outbound<'store> {
    store: &'store Store,
    arrival: Mutex<Arrival<'store>>,
}

impl std::fmt::Debug for Outbound<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

/// An image with a manifest of the caller's.
#[derive(Debug)]
pub struct Kept<'a> {
    pub config: &'a [u8],
    pub manifest: &'a [u8],
    pub media_type: &'a str,
    pub names: &'a [Reference],
}

impl Store {
    pub fn outbound(&self) -> Outbound<'_> {
        Outbound { store: self, arrival: Mutex::new(self.arrive()) }
    }
}

impl Outbound<'_> {
    /// Keeps an image as it goes out, under these names. One that a registry knows already keeps the manifest that it has there.
    pub fn keep(&self, kept: &Kept<'_>) -> Result<Digest, Error> {
        let names: Vec<Reference> = kept.names.iter().cloned().map(Reference::or_latest).collect();
        names.iter().try_for_each(check_free)?;
        let id = crate::load::digest(kept.config);
        self.replace(&id, kept)?;
        let arrived = Arrived {
            manifest: kept.manifest.to_vec(),
            media_type: kept.media_type.to_owned(),
            config: kept.config.to_vec(),
            names,
            parent: None,
        };
        self.store.add(vec![arrived], &mut self.arrival.lock().unwrap_or_else(PoisonError::into_inner))?;
        self.store.stores.sync_in_background();
        Ok(id)
    }

    /// An image that is here already gets this manifest, unless it is known by another elsewhere.
    fn replace(&self, id: &Digest, kept: &Kept<'_>) -> Result<(), Error> {
        let (here, known) = self.store.look(|catalog| (catalog.records.contains_key(id), catalog.has_digest_name(id)));
        if !here || known {
            return Ok(());
        }
        let documents = Documents { manifest: kept.manifest, media_type: kept.media_type, config: kept.config };
        let mut arrival = self.arrival.lock().unwrap_or_else(PoisonError::into_inner);
        let record = Arc::new(admit::write(&self.store.stores, &documents, &mut arrival)?);
        self.store.change(|catalog| {
            if let Some(here) = catalog.records.get_mut(id) {
                *here = record;
            }
            Ok(())
        })
    }
}
