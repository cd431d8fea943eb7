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
struct Uploading<'a> {
    store: &'a Store,
    push: &'a Push<'a>,
    record: &'a Record,
    repository: Repository,
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
    let reference = push.reference;
    let repository = push.registry.repository(&reference.domain, &reference.path, push.credentials, push.cancel);
    let uploading =
        Uploading { store, push, record, repository, tell, failed: AtomicBool::new(false), error: Mutex::new(None) };
    uploading.layers()?;
    uploading.documents()
}

impl Uploading<'_> {
    fn layers(&self) -> Result<(), Error> {
        let pairs: Vec<_> = self.record.config.rootfs.diff_ids.iter().zip(&self.record.layers).collect();
        let blob = |diff_id: Digest| pairs.iter().find(|(id, _)| **id == diff_id).map(|(_, blob)| (diff_id, *blob));
        let queue: VecDeque<(Digest, &Descriptor)> = top_first(self.record).into_iter().filter_map(blob).collect();
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
        let known = self.store.look(|catalog| catalog.repositories_with(blob, &reference.domain, &self.record.id));
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

    /// The configuration, then the manifest by its tag.
    fn documents(&self) -> Result<Digest, Error> {
        self.check()?;
        let content = &self.store.stores.content;
        let entry = &self.record.manifest;
        let bytes = content.read(&entry.digest, MAX_DOCUMENT)?;
        let broken = |e: serde_json::Error| Error::Archive(format!("a manifest is broken: {e}"));
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(broken)?;
        if !self.repository.has_blob(&manifest.config.digest)? {
            let open = || std::fs::File::open(content.path(&manifest.config.digest));
            self.repository.push_blob(&manifest.config, &open, &|_| {})?;
        }
        self.check()?;
        let tag = self.push.reference.tag.as_deref().unwrap_or("latest");
        let named = self.repository.push_manifest(tag, &entry.media_type, &bytes)?;
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
    fn check(&self) -> Result<(), Error> {
        if self.push.cancel.is_cancelled() || self.failed.load(Ordering::Relaxed) {
            return Err(registry::Error::Cancelled.into());
        }
        Ok(())
    }
}
