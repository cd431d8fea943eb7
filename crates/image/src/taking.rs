//! A layer on its way in: one pass writes the blob on this thread while another unpacks the tree.

use crate::store::{Arrival, Stores};
use crate::{Error, Keep};
use archive::Compression;
use archive::pipe::{self, Source};
use base::Digest;
use content::Ingest;
use oci::image::{Descriptor, media};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::thread::{Scope, ScopedJoinHandle};

/// A layer that is in the stores.
#[derive(Debug, Clone)]
pub struct Taken {
    pub diff_id: Digest,
    /// Of the blob, whether it was kept or not.
    pub blob: Descriptor,
}

/// What becomes of the bytes as they came.
enum Blob<'scope> {
    Kept(Ingest<'scope>),
    Hashed(sha2::Sha256),
    /// A plain tar that is not kept: its digest is the diffID.
    Nothing,
}

/// A layer that is being written.
pub struct Taking<'scope> {
    compression: Compression,
    blob: Blob<'scope>,
    pipe: Option<Source>,
    tree: ScopedJoinHandle<'scope, Result<Digest, layer::Error>>,
}

impl<'scope> Taking<'scope> {
    /// Starts with the first bytes of the layer, which tell its compression.
    pub fn start<'env>(
        stores: &'scope Stores,
        keep: Keep,
        scope: &'scope Scope<'scope, 'env>,
        first: &[u8],
    ) -> Result<Taking<'scope>, Error> {
        let compression = Compression::of(first)?;
        let (source, mut sink) = pipe::pipe();
        let plain = compression == Compression::Plain;
        let blob = match (keep, plain) {
            // The digest of a plain tar is its diffID, which the other thread computes.
            (Keep::Blobs, true) => Blob::Kept(stores.content.ingest()?.unhashed()),
            (Keep::Blobs, false) => Blob::Kept(stores.content.ingest()?),
            (Keep::TreesOnly, true) => Blob::Nothing,
            (Keep::TreesOnly, false) => Blob::Hashed(sha2::Sha256::new()),
        };
        let tree = scope.spawn(move || stores.layers.unpack(&mut sink, None));
        let mut taking = Taking { compression, blob, pipe: Some(source), tree };
        taking.write(first)?;
        Ok(taking)
    }

    /// For a reader that computes the blob's digest itself, and ends with [`Pending::settle_as`].
    pub fn unhashed(mut self) -> Taking<'scope> {
        self.blob = match self.blob {
            Blob::Kept(ingest) => Blob::Kept(ingest.unhashed()),
            Blob::Hashed(_) | Blob::Nothing => Blob::Nothing,
        };
        self
    }

    /// Takes the next bytes. After the tree turned out to be broken they go nowhere.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        if pipe.write_all(bytes).is_err() {
            self.pipe = None;
            return Ok(());
        }
        match &mut self.blob {
            Blob::Kept(ingest) => {
                ingest.write_all(bytes).map_err(|source| Error::Io { action: "write a layer".to_owned(), source })
            }
            Blob::Hashed(hash) => {
                hash.update(bytes);
                Ok(())
            }
            Blob::Nothing => Ok(()),
        }
    }

    /// Whether the tree turned out to be broken: more bytes would be for nothing, [`Pending::settle`] tells the reason.
    pub fn is_broken(&self) -> bool {
        self.pipe.is_none()
    }

    /// The layer is complete.
    pub fn finish(mut self) -> Pending<'scope> {
        if let Some(pipe) = self.pipe.take() {
            let _ = pipe.finish();
        }
        Pending { compression: self.compression, blob: self.blob, tree: self.tree }
    }

    /// The layer ends in an error of its source.
    pub fn fail(mut self, error: &io::Error) {
        if let Some(pipe) = self.pipe.take() {
            pipe.fail(error.kind().into());
        }
        let _ = self.tree.join();
    }
}

/// A layer whose bytes are all here, and whose tree is not finished.
pub struct Pending<'scope> {
    compression: Compression,
    blob: Blob<'scope>,
    tree: ScopedJoinHandle<'scope, Result<Digest, layer::Error>>,
}

impl Pending<'_> {
    /// Waits for the tree; names the blob. Both go with `arrival` unless an image comes to need them.
    pub fn settle(self, size: u64, arrival: &mut Arrival<'_>) -> Result<Taken, Error> {
        let diff_id = join(self.tree)?;
        arrival.layers.insert(diff_id);
        let digest = match self.blob {
            Blob::Kept(ingest) if self.compression == Compression::Plain => {
                ingest.commit_as(&diff_id)?;
                diff_id
            }
            Blob::Kept(ingest) => ingest.commit(None, None)?.0,
            Blob::Hashed(hash) => Digest::from_bytes(hash.finalize().into()),
            Blob::Nothing => diff_id,
        };
        arrival.blobs.insert(digest);
        Ok(Taken { diff_id, blob: descriptor(self.compression, digest, size) })
    }

    /// Waits for the tree; names the blob as its reader knows it. Returns the diffID.
    pub fn settle_as(self, digest: &Digest) -> Result<Digest, Error> {
        let diff_id = join(self.tree)?;
        if let Blob::Kept(ingest) = self.blob {
            ingest.commit_as(digest)?;
        }
        Ok(diff_id)
    }
}

fn join(tree: ScopedJoinHandle<'_, Result<Digest, layer::Error>>) -> Result<Digest, layer::Error> {
    tree.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub fn descriptor(compression: Compression, digest: Digest, size: u64) -> Descriptor {
    let media_type = match compression {
        Compression::Plain => media::LAYER,
        Compression::Gzip => media::LAYER_GZIP,
        Compression::Zstd => media::LAYER_ZSTD,
    };
    Descriptor { media_type: media_type.to_owned(), digest, size, annotations: BTreeMap::new(), platform: None }
}
