//! An index in an archive: as it is, with all of it that is here.

use super::{Plan, Source, Wanted, path, zstd};
use crate::catalog::MAX_DOCUMENT;
use crate::group::{Group, Here};
use crate::{Error, Store, platform};
use base::Digest;
use oci::image::{Descriptor, Platform};
use std::sync::Arc;

impl Store {
    /// The one image that is for `wanted`.
    pub(super) fn only(&self, image: Wanted, wanted: &Platform) -> Result<Wanted, Error> {
        let none = || Error::ExportPlatform(platform::words(wanted));
        let Some(group) = &image.group else {
            return if platform::is_best(&image.record.config, wanted) { Ok(image) } else { Err(none()) };
        };
        let (_, id) = group.exactly(wanted).ok_or_else(none)?;
        let record = self.look(|catalog| catalog.records.get(&id).map(Arc::clone)).ok_or_else(none)?;
        Ok(Wanted { record, group: None, names: image.names })
    }

    /// `manifest.json` has the image that is shown, as Docker writes it. Where the bytes of layers are not kept, nor come of their
    /// trees, the manifests of the index name what is not there: then that image is saved by itself.
    pub(super) fn plan_index(&self, image: &Wanted, group: &Group, plan: &mut Plan) -> Result<(), Error> {
        let content = &self.stores.content;
        let mut sources = Vec::new();
        for (part, id, _) in group.images() {
            let record = self.look(|catalog| catalog.records.get(&id).and_then(|record| part.record(record)));
            let record = record.ok_or_else(|| Error::NotFound(id.to_string()))?;
            for (layer, diff_id) in record.layers.iter().zip(&record.config.rootfs.diff_ids) {
                match self.source(layer, diff_id) {
                    Ok(source) if source.0.name() == layer.digest => sources.push(source),
                    Ok(_) | Err(Error::NotKept(_)) => return self.plan(image, plan),
                    Err(error) => return Err(error),
                }
            }
        }
        sources.into_iter().for_each(|source| plan.layer(source));
        for part in &group.parts {
            match &part.here {
                Here::No => continue,
                Here::Image { id, .. } => drop(plan.documents.insert(*id, content.read(id, MAX_DOCUMENT)?)),
                Here::Other { blobs } => {
                    for blob in blobs {
                        match content.size(&blob.digest)? {
                            // A long bill of materials need not be in memory.
                            size if size > MAX_DOCUMENT => plan.layer((Source::Blob(blob.digest), size)),
                            _ => drop(plan.documents.insert(blob.digest, content.read(&blob.digest, MAX_DOCUMENT)?)),
                        }
                    }
                }
            }
            let digest = part.descriptor.digest;
            plan.documents.insert(digest, content.read(&digest, MAX_DOCUMENT)?);
        }
        let item = self.item_layers(image, group, plan)?;
        plan.item(image, item);
        plan.entries(image, &group.index);
        plan.documents.insert(group.index.digest, content.read(&group.index.digest, MAX_DOCUMENT)?);
        Ok(())
    }

    /// The layers of the shown image as `manifest.json` names them.
    fn item_layers(&self, image: &Wanted, group: &Group, plan: &mut Plan) -> Result<Vec<String>, Error> {
        let shown = group.parts.iter().find_map(|part| match &part.here {
            Here::Image { id, layers, .. } if *id == image.record.id => Some(layers),
            _ => None,
        });
        let pairs: Vec<(&Descriptor, &Digest)> =
            shown.into_iter().flat_map(|layers| layers.iter()).zip(&image.record.config.rootfs.diff_ids).collect();
        let mut paths = Vec::with_capacity(pairs.len());
        for (layer, diff_id) in pairs {
            let source = match zstd(layer) {
                true => self.uncompressed(*diff_id, layer.digest)?,
                // Its bytes are planned already.
                false => (Source::Blob(layer.digest), layer.size),
            };
            paths.push(path(&source.0.name()));
            plan.layer(source);
        }
        Ok(paths)
    }
}
