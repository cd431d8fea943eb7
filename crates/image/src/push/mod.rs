//! An image to a registry.
//!
//! ```text
//!   tag --prepare--> compressed layers, manifest --upload--> blobs, configuration, manifest by tag --> name@digest
//! ```

mod gzip;
mod prepare;
mod upload;

use crate::catalog::Record;
use crate::pull::by_digest;
use crate::reference::Reference;
use crate::store::now;
use crate::{Error, Store};
use base::Digest;
use std::sync::Arc;

/// What is pushed, by whom.
#[derive(Debug, Clone)]
pub struct Push<'a> {
    /// With a tag; also where it goes.
    pub reference: &'a Reference,
    pub registry: &'a registry::Client,
    pub credentials: &'a registry::Credentials,
    pub cancel: &'a registry::Cancel,
    /// Layers that upload at once.
    pub uploads: usize,
}

/// What happens during a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `id`: 12 digits of the layer's diffID.
    Layer { id: String, state: LayerState },
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerState {
    Preparing,
    Waiting,
    /// Bytes of the blob that were sent.
    Pushing {
        current: u64,
        total: u64,
    },
    Pushed,
    /// `Layer already exists`
    Exists,
    /// `Mounted from library/busybox`
    Mounted {
        from: String,
    },
}

/// What a push left in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Of the manifest; `name@digest` is now a name of the image.
    pub digest: Digest,
    /// Bytes of the manifest.
    pub size: u64,
}

impl Store {
    /// Pushes one image under one name. Layers that are kept as plain tars are compressed (gzip) first, for good: the
    /// image's manifest then names the compressed blobs. An image that a registry knows already is sent as it is, byte
    /// for byte.
    pub fn push(&self, push: &Push<'_>, tell: &(dyn Fn(Step) + Sync)) -> Result<Pushed, Error> {
        let reference = push.reference.clone().or_latest();
        if self.is_host(&reference.to_string()) {
            return Err(Error::Reference(format!("the image {:?} is built in and cannot be pushed", crate::HOST)));
        }
        if reference.digest.is_some() {
            return Err(Error::Reference("cannot push a digest reference".to_owned()));
        }
        let push = &Push { reference: &reference, ..push.clone() };
        // While it lives no blob goes, even if the image is removed.
        let mut arrival = self.arrive();
        let record = self.tagged(&reference)?;
        for diff_id in upload::top_first(&record) {
            tell(Step::Layer { id: diff_id.short(), state: LayerState::Preparing });
        }
        let record = prepare::prepare(self, &record.id, push.cancel, &mut arrival)?;
        let digest = upload::upload(self, push, &record, tell)?;
        self.change(|catalog| {
            if catalog.records.contains_key(&record.id) {
                catalog.name(&by_digest(&reference, digest), record.id, &now());
            }
            Ok(())
        })?;
        Ok(Pushed { digest, size: record.manifest.size })
    }

    fn tagged(&self, reference: &Reference) -> Result<Arc<Record>, Error> {
        self.look(|catalog| {
            let name = catalog.names.get(&reference.to_string());
            if let Some(record) = name.and_then(|name| catalog.records.get(&name.id)) {
                return Ok(Arc::clone(record));
            }
            let repository = reference.name();
            let others = catalog.names.keys().filter_map(|full| Reference::parse(full).ok());
            if others.into_iter().any(|other| other.name() == repository) {
                return Err(Error::NoTag(reference.familiar()));
            }
            Err(Error::NotLocal(reference.familiar_name()))
        })
    }
}
