//! The blobs of an image into a repository, several at once, each only if it is not there; then its manifest.

use super::{LayerState, Push, Step};
use crate::catalog::{MAX_DOCUMENT, Record};
use crate::{Error, Store};
use base::Digest;
use oci::image::{Descriptor, Manifest};
use registry::Repository;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Repositories that are asked for a blob (moby, distribution/push_v2.go).
const MOST_MOUNTS: usize = 4;
/// Between two reports of progress.
const REPORT: Duration = Duration::from_millis(100);

/// What all threads of one push share.
pub struct Uploading<'a> {
    store: &'a Store,
    push: &'a Push<'a>,
    /// The image that the layers are of.
    id: Digest,
    pub repository: Repository,
    tell: &'a (dyn Fn(Step) + Sync),
    failed: AtomicBool,
    error: Mutex<Option<Error>>,
}

/// The diffIDs of an image, topmost first, each once: the order in which Docker shows a push.
pub fn top_first(record: &Record) -> Vec<Digest> {
    let mut seen = Vec::new();
    for diff_id in record.config.rootfs.diff_ids.iter().rev() {
        if !seen.contains(diff_id) {
            seen.push(*diff_id);
        }
    }
    seen
}

/// Returns the digest of the manifest, which has the tag now.
pub fn upload(store: &Store, push: &Push<'_>, record: &Record, tell: &(dyn Fn(Step) + Sync)) -> Result<Digest, Error> {
    let uploading = Uploading::new(store, push, record.id, tell);
    uploading.layers(blobs_of(record))?;
    uploading.documents(record, push.reference.tag.as_deref().unwrap_or("latest"))
}

/// The layers of an image as they are pushed, each once.
pub fn blobs_of(record: &Record) -> VecDeque<(Digest, &Descriptor)> {
    let pairs: Vec<_> = record.config.rootfs.diff_ids.iter().zip(&record.layers).collect();
    let blob = |diff_id: Digest| pairs.iter().find(|(id, _)| **id == diff_id).map(|(_, blob)| (diff_id, *blob));
    top_first(record).into_iter().filter_map(blob).collect()
}

impl<'a> Uploading<'a> {
    pub fn new(store: &'a Store, push: &'a Push<'a>, id: Digest, tell: &'a (dyn Fn(Step) + Sync)) -> Uploading<'a> {
        let reference = push.reference;
        let repository = push.registry.repository(&reference.domain, &reference.path, push.credentials, push.cancel);
        Uploading { store, push, id, repository, tell, failed: AtomicBool::new(false), error: Mutex::new(None) }
    }

    /// Layers by their diffIDs, in the order in which they are shown.
    pub fn layers(&self, queue: VecDeque<(Digest, &Descriptor)>) -> Result<(), Error> {
        let workers = self.push.uploads.clamp(1, queue.len().max(1));
        queue.iter().skip(workers).for_each(|(diff_id, _)| self.say(diff_id, LayerState::Waiting));
        let queue = Mutex::new(queue);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.work(&queue));
            }
        });
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map_or(Ok(()), Err)
    }

    fn work(&self, queue: &Mutex<VecDeque<(Digest, &Descriptor)>>) {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((diff_id, blob)) = next else { return };
            if let Err(error) = self.layer(&diff_id, blob) {
                self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                self.failed.store(true, Ordering::Relaxed);
                return;
            }
        }
    }

    fn layer(&self, diff_id: &Digest, blob: &Descriptor) -> Result<(), Error> {
        let slots = &self.store.uploads;
        let _slot = slots.take(self.push.uploads, || self.check())?;
        self.check()?;
        let state = if self.repository.has_blob(&blob.digest)? {
            LayerState::Exists
        } else if let Some(from) = self.mount(&blob.digest)? {
            LayerState::Mounted { from }
        } else {
            self.send(diff_id, blob)?;
            LayerState::Pushed
        };
        self.say(diff_id, state);
        Ok(())
    }

    /// Which repository of the same registry gave its blob.
    fn mount(&self, blob: &Digest) -> Result<Option<String>, Error> {
        let reference = self.push.reference;
        let known = self.store.look(|catalog| catalog.repositories_with(blob, &reference.domain, &self.id));
        for from in known.into_iter().filter(|path| *path != reference.path).take(MOST_MOUNTS) {
            match self.repository.mount_blob(blob, &from) {
                Ok(true) => return Ok(Some(from)),
                // It may be gone there, or not ours to read: then the bytes are sent.
                Ok(false) => {}
                Err(error) => tracing::debug!(%blob, from, error = base::chain(&error), "cannot mount a blob"),
            }
            self.check()?;
        }
        Ok(None)
    }

    fn send(&self, diff_id: &Digest, blob: &Descriptor) -> Result<(), Error> {
        let content = &self.store.stores.content;
        if !content.has(&blob.digest) {
            return Err(Error::NotKept(*diff_id));
        }
        let total = blob.size;
        let reported = Mutex::new(Instant::now());
        let sent = |current: u64| {
            let mut reported = reported.lock().unwrap_or_else(PoisonError::into_inner);
            if reported.elapsed() >= REPORT || current == total {
                *reported = Instant::now();
                self.say(diff_id, LayerState::Pushing { current, total });
            }
        };
        self.say(diff_id, LayerState::Pushing { current: 0, total });
        let open = || std::fs::File::open(content.path(&blob.digest));
        Ok(self.repository.push_blob(blob, &open, &sent)?)
    }

    /// The configuration, then the manifest by a tag or its digest.
    pub fn documents(&self, record: &Record, word: &str) -> Result<Digest, Error> {
        self.check()?;
        let entry = &record.manifest;
        let bytes = self.store.stores.content.read(&entry.digest, MAX_DOCUMENT)?;
        let broken = |e: serde_json::Error| Error::Archive(format!("a manifest is broken: {e}"));
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(broken)?;
        self.document(&manifest.config)?;
        self.check()?;
        self.manifest(word, entry)
    }

    /// A small blob, if the repository does not have it.
    pub fn document(&self, blob: &Descriptor) -> Result<(), Error> {
        if self.repository.has_blob(&blob.digest)? {
            return Ok(());
        }
        let open = || std::fs::File::open(self.store.stores.content.path(&blob.digest));
        Ok(self.repository.push_blob(blob, &open, &|_| {})?)
    }

    /// A manifest or an index, by a tag or by its digest.
    pub fn manifest(&self, word: &str, entry: &Descriptor) -> Result<Digest, Error> {
        let bytes = self.store.stores.content.read(&entry.digest, MAX_DOCUMENT)?;
        let named = self.repository.push_manifest(word, &entry.media_type, &bytes)?;
        if named != entry.digest {
            let sent = entry.digest;
            return Err(Error::Served(format!("the registry took the manifest {sent} for {named}")));
        }
        Ok(named)
    }

    fn say(&self, diff_id: &Digest, state: LayerState) {
        (self.tell)(Step::Layer { id: diff_id.short(), state });
    }

    /// Whether to go on.
    pub fn check(&self) -> Result<(), Error> {
        if self.push.cancel.is_cancelled() || self.failed.load(Ordering::Relaxed) {
            return Err(registry::Error::Cancelled.into());
        }
        Ok(())
    }
}
