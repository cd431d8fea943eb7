//! A build's result into a registry: blobs, then manifests from the innermost to the one that gets the name.

use super::{Layer, Outbound};
use crate::push::upload::Uploading;
use crate::push::{LayerState, Push, Step};
use crate::{Error, pull};
use base::Digest;
use oci::image::Descriptor;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Seek, Write};

/// What goes to a registry.
#[derive(Debug)]
pub struct Sent<'a> {
    pub layers: Vec<&'a Layer>,
    /// Configurations and attestations: blobs that no file has.
    pub blobs: Vec<Descriptor>,
    /// In the order in which they are named: what an index lists before the index.
    pub manifests: Vec<Descriptor>,
    pub documents: &'a BTreeMap<Digest, Vec<u8>>,
    /// The image whose other repositories may have its layers.
    pub id: Digest,
    pub by: Named,
}

/// How the last of the manifests is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    ByTag,
    ByDigest,
}

impl Outbound<'_> {
    /// Sends all that the registry has not.
    pub fn push(&self, push: &Push<'_>, sent: &Sent<'_>, tell: &(dyn Fn(Step) + Sync)) -> Result<(), Error> {
        let layers: Vec<Layer> =
            sent.layers.iter().map(|layer| self.as_blob(layer, push.cancel)).collect::<Result<_, _>>()?;
        let mut queue: VecDeque<(Digest, &Descriptor)> = VecDeque::new();
        for layer in layers.iter().rev() {
            if !queue.iter().any(|(_, blob)| blob.digest == layer.blob.digest) {
                tell(Step::Layer { id: layer.diff_id.short(), state: LayerState::Preparing });
                queue.push_back((layer.diff_id, &layer.blob));
            }
        }
        let uploading = Uploading::new(self.store, push, sent.id, tell);
        uploading.layers(queue)?;
        for blob in &sent.blobs {
            uploading.check()?;
            if !uploading.repository.has_blob(&blob.digest)? {
                let open = || in_memory(sent.bytes(blob));
                uploading.repository.push_blob(blob, &open, &|_| {})?;
            }
        }
        let last = sent.manifests.len().saturating_sub(1);
        for (index, manifest) in sent.manifests.iter().enumerate() {
            uploading.check()?;
            let by_digest = manifest.digest.to_string();
            let tag = push.reference.tag.as_deref().filter(|_| index == last && sent.by == Named::ByTag);
            let reference = tag.unwrap_or(&by_digest);
            let named = uploading.repository.push_manifest(reference, &manifest.media_type, sent.bytes(manifest))?;
            if named != manifest.digest {
                return Err(Error::Served(format!("the registry took the manifest {by_digest} for {named}")));
            }
        }
        Ok(())
    }

    /// An image (or an index) that is in the store is known by this digest in a registry from now on.
    pub fn pushed(&self, push: &Push<'_>, id: &Digest, digest: Digest) -> Result<(), Error> {
        self.store.change(|catalog| {
            let (name, now) = (pull::by_digest(push.reference, digest), crate::store::now());
            if catalog.groups.contains_key(&digest) {
                catalog.name_index(&name, digest, &now);
            } else if catalog.records.contains_key(id) {
                catalog.name(&name, *id, &now);
            }
            Ok(())
        })
    }
}

impl Sent<'_> {
    fn bytes(&self, document: &Descriptor) -> &[u8] {
        self.documents.get(&document.digest).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A file of these bytes.
pub fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("document", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
