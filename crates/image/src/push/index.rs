//! An index into a registry: each of its manifests with all that it needs, then the index by its tag.

use super::upload::{Uploading, top_first};
use super::{LayerState, Push, Pushed, Step, prepare};
use crate::catalog::{MAX_DOCUMENT, Record};
use crate::group::{Group, Here, parse};
use crate::pull::by_digest;
use crate::store::{Arrival, now};
use crate::{Error, Store};
use base::Digest;
use oci::image::Descriptor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pushes all of an index.
pub fn push(
    store: &Store,
    push: &Push<'_>,
    (group, arrival): (&Arc<Group>, &mut Arrival<'_>),
    tell: &(dyn Fn(Step) + Sync),
) -> Result<Pushed, Error> {
    let records = records(store, group)?;
    let mut told = Vec::new();
    for diff_id in records.iter().flat_map(top_first) {
        if !told.contains(&diff_id) {
            told.push(diff_id);
            tell(Step::Layer { id: diff_id.short(), state: LayerState::Preparing });
        }
    }
    let group = ready(store, push, group, arrival)?;
    let records = self::records(store, &group)?;
    for record in &records {
        unpacked(store, record, arrival)?;
        let uploading = Uploading::new(store, push, record.id, tell);
        uploading.layers(super::upload::blobs_of(record))?;
        uploading.documents(record, &record.manifest.digest.to_string())?;
    }
    let uploading = Uploading::new(store, push, records.first().map_or(group.index.digest, |record| record.id), tell);
    for part in &group.parts {
        if let Here::Other { blobs } = &part.here {
            uploading.check()?;
            blobs.iter().try_for_each(|blob| uploading.document(blob))?;
            uploading.manifest(&part.descriptor.digest.to_string(), &part.descriptor)?;
        }
    }
    let tag = push.reference.tag.as_deref().unwrap_or("latest");
    let digest = uploading.manifest(tag, &group.index)?;
    store.change(|catalog| {
        if catalog.groups.contains_key(&group.index.digest) {
            catalog.name_index(&by_digest(push.reference, digest), group.index.digest, &now());
        }
        Ok(())
    })?;
    Ok(Pushed { digest, size: group.index.size, instead_of: None })
}

/// Whether the bytes of all layers are kept.
pub fn has_blobs(store: &Store, record: &Record) -> bool {
    record.layers.iter().all(|layer| store.stores.content.has(&layer.digest))
}

/// Makes the plain tars of layers again that only lie here as trees.
fn unpacked(store: &Store, record: &Record, arrival: &mut Arrival<'_>) -> Result<(), Error> {
    for (layer, diff_id) in record.layers.iter().zip(&record.config.rootfs.diff_ids) {
        if layer.digest != *diff_id || store.stores.content.has(diff_id) {
            continue;
        }
        let mut ingest = store.stores.content.ingest()?;
        store.stores.layers.repack(diff_id, &mut ingest)?;
        arrival.blobs.insert(*diff_id);
        ingest.commit(Some(diff_id), None)?;
    }
    Ok(())
}

/// Its images, with the manifests that the index names.
fn records(store: &Store, group: &Group) -> Result<Vec<Record>, Error> {
    let gone = |id: &Digest| Error::NotFound(id.to_string());
    store.look(|catalog| {
        let of = |(part, id, _): (&crate::group::Part, Digest, _)| {
            catalog.records.get(&id).and_then(|record| part.record(record)).ok_or_else(|| gone(&id))
        };
        group.images().map(of).collect()
    })
}

/// An index that is ours alone gets compressed layers, as a single image does. One that somebody may know by its digest, or that has
/// statements about its manifests, stays as it is.
fn ready(store: &Store, push: &Push<'_>, group: &Arc<Group>, arrival: &mut Arrival<'_>) -> Result<Arc<Group>, Error> {
    let old = group.index.digest;
    let is_known =
        store.look(|catalog| catalog.names.iter().any(|(full, name)| name.index == Some(old) && full.contains('@')));
    if is_known || group.parts.iter().any(|part| !matches!(part.here, Here::Image { .. })) {
        return Ok(Arc::clone(group));
    }
    let mut changed: BTreeMap<Digest, Descriptor> = BTreeMap::new();
    for (part, id, _) in group.images() {
        let own = store.look(|catalog| catalog.records.get(&id).map(|record| record.manifest.digest));
        if own != Some(part.descriptor.digest) {
            continue;
        }
        let record = prepare::prepare(store, &id, push.cancel, arrival)?;
        if record.manifest.digest != part.descriptor.digest {
            changed.insert(part.descriptor.digest, record.manifest.clone());
        }
    }
    if changed.is_empty() {
        return Ok(Arc::clone(group));
    }
    let mut index = parse(&old, &store.stores.content.read(&old, MAX_DOCUMENT)?)?;
    for entry in &mut index.manifests {
        if let Some(new) = changed.get(&entry.digest) {
            (entry.digest, entry.size) = (new.digest, new.size);
            entry.media_type.clone_from(&new.media_type);
        }
    }
    let bytes = serde_json::to_vec(&index).map_err(|e| Error::Archive(format!("cannot write an index: {e}")))?;
    let new = store.stores.content.put(&bytes)?;
    arrival.blobs.insert(new);
    store.change(|catalog| {
        let group = Arc::new(Group::read(&store.stores, &new, &catalog.records)?);
        catalog.groups.remove(&old);
        catalog.groups.insert(new, Arc::clone(&group));
        catalog.names.values_mut().filter(|name| name.index == Some(old)).for_each(|name| name.index = Some(new));
        Ok(group)
    })
}
