//! What imported caches say, and the layers that they have: fetched only when a step or the result needs them.
//!
//! A record may name a layer that lies nowhere: it says what a step came to, so that a step after it is found, too. When such a
//! layer is needed after all it is *lost*, and the steps that came to it are done.

use super::document::Said;
use super::place::Place;
use crate::cache::{Made, Outcome};
use crate::solve::lock;
use crate::{Error, Result};
use base::Digest;
use engine::Engine;
use oci::image::Descriptor;
use registry::Cancel;
use sha2::Digest as _;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::sync::Mutex;

/// Layers that are fetched at once.
const AT_ONCE: usize = 4;

/// A step that a build did or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noted {
    pub key: Digest,
    pub title: String,
    pub outcome: Outcome,
    /// What else it is found by.
    pub alias: Option<Digest>,
}

/// All imports of a build.
#[derive(Default)]
pub(crate) struct Far {
    steps: HashMap<Digest, Noted>,
    layers: HashMap<Digest, Vec<(Place, Descriptor)>>,
    /// Layers that could not be had.
    lost: Mutex<HashSet<Digest>>,
    /// Steps that were found here, by their layers.
    used: Mutex<HashMap<Digest, Vec<Noted>>>,
}

impl std::fmt::Debug for Far {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Far").field("steps", &self.steps.len()).field("layers", &self.layers.len()).finish()
    }
}

impl Far {
    /// What one place says; what an earlier one said of a step stays.
    pub fn add(&mut self, place: &Place, said: Said) {
        for (diff_id, blob) in said.layers {
            self.layers.entry(diff_id).or_default().push((place.clone(), blob));
        }
        for noted in said.steps {
            self.steps.entry(noted.key).or_insert(noted);
        }
    }

    /// What a step came to elsewhere.
    pub fn find(&self, key: &Digest) -> Option<Noted> {
        let noted = self.steps.get(key)?;
        let is_lost = noted.outcome.layer.is_some_and(|made| lock(&self.lost).contains(&made.diff_id));
        (!is_lost).then(|| noted.clone())
    }

    /// A step was found here, and its layer may be fetched later.
    pub fn use_later(&self, noted: Noted) {
        if let Some(made) = &noted.outcome.layer {
            lock(&self.used).entry(made.diff_id).or_default().push(noted);
        }
    }

    /// Whether a layer was found to be nowhere.
    pub fn has_lost(&self, layers: &[Digest]) -> bool {
        let lost = lock(&self.lost);
        layers.iter().any(|layer| lost.contains(layer))
    }

    /// A step was done, and came to a layer that was lost: it is found again.
    pub fn is_here(&self, layer: &Digest) {
        lock(&self.lost).remove(layer);
    }

    /// Where a layer lies.
    pub fn places(&self, diff_id: &Digest) -> &[(Place, Descriptor)] {
        self.layers.get(diff_id).map_or(&[], Vec::as_slice)
    }

    /// Fetches layers that are not here. The steps that came to them, for the engine's own cache.
    pub fn bring(&self, engine: &Engine, missing: &[Digest], cancel: &Cancel) -> Result<Vec<Noted>> {
        for diff_id in missing {
            if !lock(&self.used).contains_key(diff_id) {
                return Err(layer::Error::NotFound(*diff_id).into());
            }
        }
        let (queue, brought) = (Mutex::new(missing.to_vec()), Mutex::new(Vec::new()));
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(missing.len()) {
                scope.spawn(|| {
                    while let Some(diff_id) = { lock(&queue).pop() } {
                        match self.bring_one(engine, &diff_id, cancel) {
                            Ok(mut noted) => lock(&brought).append(&mut noted),
                            Err(error) => drop(lock(&failure).get_or_insert(error)),
                        }
                    }
                });
            }
        });
        let failed = lock(&failure).take();
        failed.map_or_else(|| Ok(std::mem::take(&mut *lock(&brought))), Err)
    }

    fn bring_one(&self, engine: &Engine, diff_id: &Digest, cancel: &Cancel) -> Result<Vec<Noted>> {
        let layers = engine.image_store().layers();
        let mut tar = if layers.has(diff_id) { Some(0) } else { None };
        for (place, blob) in self.places(diff_id) {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if tar.is_some() {
                break;
            }
            match fetch(layers, (place, blob), diff_id, cancel) {
                Ok(bytes) => tar = Some(bytes),
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => tracing::warn!(%diff_id, "cannot use a cache's layer: {}", base::chain(&error)),
            }
        }
        let lost = || {
            lock(&self.lost).insert(*diff_id);
            Err(Error::Lost(*diff_id))
        };
        let Some(tar) = tar else { return lost() };
        let tar = if tar > 0 { tar } else { size_of_tar(layers, diff_id)? };
        let noted = lock(&self.used).get(diff_id).cloned().unwrap_or_default();
        // Sizes stand in manifests: one that is wrong spoils an image.
        if noted.iter().any(|noted| noted.outcome.layer.is_none_or(|made| made.tar != tar)) {
            return lost();
        }
        let bytes = layers.size(diff_id)?;
        let layer = Some(Made { diff_id: *diff_id, tar, bytes });
        let kept = |noted: Noted| Noted { outcome: Outcome { layer, ..noted.outcome }, ..noted };
        Ok(noted.into_iter().map(kept).collect())
    }
}

/// Unpacks a layer; it is what its name says, or it is not kept. Bytes of its tar, 0 when somebody else was faster.
fn fetch(
    layers: &layer::Store,
    (place, blob): (&Place, &Descriptor),
    diff_id: &Digest,
    cancel: &Cancel,
) -> Result<u64> {
    let reader = place.open(blob)?;
    let mut plain = Counted { plain: archive::decompress(reader)?, bytes: 0, cancel };
    layers.unpack(&mut plain, Some(diff_id))?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    Ok(plain.bytes)
}

/// Bytes that the tar of a layer has that is here.
pub(crate) fn size_of_tar(layers: &layer::Store, diff_id: &Digest) -> Result<u64> {
    let mut sum = Summed { hash: sha2::Sha256::new(), bytes: 0 };
    layers.repack(diff_id, &mut sum)?;
    let is_it = Digest::from_bytes(sum.hash.finalize().into()) == *diff_id;
    if is_it { Ok(sum.bytes) } else { Err(Error::Lost(*diff_id)) }
}

struct Counted<'a, R> {
    plain: R,
    bytes: u64,
    cancel: &'a Cancel,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let got = self.plain.read(buffer)?;
        self.bytes += got as u64;
        Ok(got)
    }
}

struct Summed {
    hash: sha2::Sha256,
    bytes: u64,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
