//! An image to a registry.
//!
//! ```text
//!   tag --prepare--> compressed layers, manifest --upload--> blobs, configuration, manifest by tag --> name@digest
//! ```

pub(crate) mod gzip;
mod index;
mod prepare;
pub(crate) mod upload;

use crate::catalog::{Found, Record};
use crate::group::{Group, unprovided};
use crate::pull::by_digest;
use crate::reference::Reference;
use crate::store::now;
use crate::{Error, Store, platform};
use base::Digest;
use oci::image::{Descriptor, Platform};
use std::sync::Arc;

/// What is pushed, by whom.
#[derive(Debug, Clone)]
pub struct Push<'a> {
    /// With a tag; also where it goes.
    pub reference: &'a Reference,
    pub registry: &'a registry::Client,
    pub credentials: &'a registry::Credentials,
    pub cancel: &'a registry::Cancel,
    /// Of a name for several platforms only this one.
    pub platform: Option<&'a Platform>,
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
    /// The index that it is of, and itself: not all of that index is here.
    pub instead_of: Option<Box<(Descriptor, Descriptor)>>,
}

/// What a name stands for when it is pushed.
enum Meant {
    Image(Arc<Record>),
    /// One of an index, by the manifest that it has there.
    Part {
        index: Descriptor,
        record: Arc<Record>,
    },
    /// All of an index.
    Index(Arc<Group>),
}

impl Store {
    /// Pushes one image under one name; an index when all that it lists is here, else the image that is shown for it. Layers that are kept as plain tars are compressed (gzip) first, for good: the
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
        let meant = self.meant(push)?;
        let (index, record) = match meant {
            Meant::Index(group) => return index::push(self, push, (&group, &mut arrival), tell),
            Meant::Part { index, record } => (Some(index), record),
            Meant::Image(record) => (None, record),
        };
        for diff_id in upload::top_first(&record) {
            tell(Step::Layer { id: diff_id.short(), state: LayerState::Preparing });
        }
        let record = match &index {
            // The index knows it by its manifest.
            Some(_) if index::has_blobs(self, &record) => record,
            _ => prepare::prepare(self, &record.id, push.cancel, &mut arrival)?,
        };
        let digest = upload::upload(self, push, &record, tell)?;
        self.change(|catalog| {
            if catalog.records.contains_key(&record.id) {
                catalog.name(&by_digest(&reference, digest), record.id, &now());
            }
            Ok(())
        })?;
        let instead_of =
            index.filter(|_| push.platform.is_none()).map(|index| Box::new((index, record.manifest.clone())));
        Ok(Pushed { digest, size: record.manifest.size, instead_of })
    }

    /// What of a name is pushed (moby, daemon/containerd/image_push.go, `getPushDescriptor`).
    fn meant(&self, push: &Push<'_>) -> Result<Meant, Error> {
        let reference = push.reference;
        let record = self.tagged(reference)?;
        let full = reference.to_string();
        self.look(|catalog| {
            let group = catalog.group_of(&Found::Name { full, id: record.id }).cloned();
            let Some(group) = group else {
                return match push.platform {
                    Some(wanted) if !platform::is_for(&platform::platform_of(&record.config), wanted) => {
                        Err(unprovided(&reference.familiar(), wanted))
                    }
                    _ => Ok(Meant::Image(record)),
                };
            };
            let part = match push.platform {
                None if group.is_complete() => return Ok(Meant::Index(group)),
                None => group.images().find(|(_, id, _)| *id == record.id).map(|(part, id, _)| (part, id)),
                Some(wanted) => group.exactly(wanted),
            };
            let wanted = push.platform.cloned().unwrap_or_else(platform::machine_platform);
            let (part, id) = part.ok_or_else(|| unprovided(&reference.familiar(), &wanted))?;
            let own = catalog.records.get(&id).and_then(|record| part.record(record));
            let record = own.ok_or_else(|| Error::NotFound(id.to_string()))?;
            Ok(Meant::Part { index: group.index.clone(), record: Arc::new(record) })
        })
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
