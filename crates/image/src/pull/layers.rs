//! All layers of one image: which are here, which are fetched, and in what order.

use super::flight::{End, Pilot, Seat};
use super::resolve::Layer;
use super::{LayerState, Pull, Step};
use crate::store::Arrival;
use crate::{Error, Keep, Store};
use base::Digest;
use registry::{Cancel, Repository};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What all threads of one pull share.
pub struct Bringing<'a> {
    pub store: &'a Store,
    pub repository: &'a Repository,
    pub pull: &'a Pull<'a>,
    tell: &'a (dyn Fn(Step) + Sync),
    /// Whether the image is here under another name.
    known: bool,
    /// Cancelled with the pull, or after the first failure: then all transfers stop at once.
    stop: Cancel,
    brought: Mutex<Brought>,
}

/// What came, wanted or not.
#[derive(Default)]
struct Brought {
    blobs: BTreeSet<Digest>,
    layers: BTreeSet<Digest>,
    error: Option<Error>,
}

impl<'a> Bringing<'a> {
    /// `stop` is what the repository's transfers end with.
    pub fn new(
        store: &'a Store,
        repository: &'a Repository,
        pull: &'a Pull<'a>,
        tell: &'a (dyn Fn(Step) + Sync),
        stop: Cancel,
    ) -> Bringing<'a> {
        Bringing { store, repository, pull, tell, known: false, stop, brought: Mutex::default() }
    }

    /// The image itself may be here under another name.
    pub fn of(mut self, id: &Digest) -> Bringing<'a> {
        self.known = self.store.look(|catalog| catalog.records.contains_key(id));
        self
    }

    pub fn tell(&self, layer: &Layer, state: LayerState) {
        (self.tell)(Step::Layer { id: layer.blob.digest.short(), state });
    }

    /// Whether to go on.
    pub fn check(&self) -> Result<(), Error> {
        if self.stop.is_cancelled() {
            return Err(registry::Error::Cancelled.into());
        }
        Ok(())
    }

    /// Notes what is in the stores now, to be collected if no image comes to need it.
    pub fn came(&self, blob: Digest, diff_id: Digest) {
        let mut brought = self.lock();
        brought.blobs.insert(blob);
        brought.layers.insert(diff_id);
    }

    fn lock(&self) -> MutexGuard<'_, Brought> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: Error) {
        self.lock().error.get_or_insert(error);
        self.stop.cancel();
    }
}

/// Brings the layers that are not here, the lowest first, several at once.
pub fn bring(bringing: &Bringing<'_>, layers: &[Layer], arrival: &mut Arrival<'_>) -> Result<(), Error> {
    let mut missing = VecDeque::new();
    let here = layers.iter().map(|layer| is_here(bringing.store, layer)).collect::<Result<Vec<bool>, Error>>()?;
    // Of an image that is here under another name Docker shows no layers.
    if bringing.known && here.iter().all(|here| *here) {
        return Ok(());
    }
    for (layer, here) in layers.iter().zip(here) {
        if here {
            bringing.tell(layer, LayerState::Exists);
        } else {
            bringing.tell(layer, LayerState::Found);
            missing.push_back(layer);
            // Also what comes half, like a tree whose blob could not be named.
            bringing.came(layer.blob.digest, layer.diff_id);
        }
    }
    let workers = bringing.pull.downloads.clamp(1, missing.len().max(1));
    missing.iter().skip(workers).for_each(|layer| bringing.tell(layer, LayerState::Waiting));
    let queue = Mutex::new(missing);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(bringing, &queue));
        }
    });
    let mut brought = bringing.lock();
    arrival.blobs.append(&mut brought.blobs);
    arrival.layers.append(&mut brought.layers);
    brought.error.take().map_or(Ok(()), Err)
}

fn work(bringing: &Bringing<'_>, queue: &Mutex<VecDeque<&Layer>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(layer) = next else { return };
        if let Err(error) = bring_one(bringing, layer) {
            bringing.fail(error);
            return;
        }
    }
}

fn bring_one(bringing: &Bringing<'_>, layer: &Layer) -> Result<(), Error> {
    loop {
        bringing.check()?;
        let (diff_id, is_told) = match bringing.store.flights.board(layer.blob.digest) {
            // It may have landed since the last look.
            Seat::Pilot(_) if is_here(bringing.store, layer)? => (layer.diff_id, false),
            Seat::Pilot(pilot) => (fly(bringing, layer, pilot)?, true),
            Seat::Passenger(flight) => {
                let mut told = 0;
                let end = flight.follow(|current| {
                    if current > told {
                        told = current;
                        bringing.tell(layer, LayerState::Downloading { current, total: layer.blob.size });
                    }
                    bringing.check()
                })?;
                match end {
                    End::Landed(diff_id) => (diff_id, false),
                    End::Lost => continue,
                }
            }
        };
        check_diff_id(layer, &diff_id)?;
        bringing.came(layer.blob.digest, diff_id);
        let total = layer.blob.size;
        if !is_told {
            bringing.tell(layer, LayerState::Downloaded);
        }
        bringing.tell(layer, LayerState::Extracting { current: total, total });
        bringing.tell(layer, LayerState::Complete);
        return Ok(());
    }
}

/// Fetches a layer when there is a place for it.
fn fly(bringing: &Bringing<'_>, layer: &Layer, pilot: Pilot<'_>) -> Result<Digest, Error> {
    let slots = &bringing.store.downloads;
    let places = bringing.pull.downloads;
    let _slot = match slots.take_now(places) {
        Some(slot) => slot,
        None => {
            bringing.tell(layer, LayerState::Waiting);
            slots.take(places, || bringing.check())?
        }
    };
    let diff_id = super::stream::fetch(bringing, layer, &pilot)?;
    pilot.land(diff_id);
    Ok(diff_id)
}

/// Whether nothing of a layer needs to be fetched. That its blob unpacks to its tree is known, and not only claimed by a
/// manifest; where no blobs are kept, the tree is all there is.
fn is_here(store: &Store, layer: &Layer) -> Result<bool, Error> {
    let blob = &layer.blob.digest;
    let known = store.look(|catalog| catalog.diff_id_of(blob).map(|(diff_id, _)| diff_id));
    let known = known.or_else(|| store.flights.diff_id_of(blob));
    if let Some(diff_id) = &known {
        check_diff_id(layer, diff_id)?;
    }
    let tree = store.stores.layers.has(&layer.diff_id);
    Ok(tree && (store.keep == Keep::TreesOnly || (known.is_some() && store.stores.content.has(blob))))
}

fn check_diff_id(layer: &Layer, actual: &Digest) -> Result<(), Error> {
    if layer.diff_id == *actual {
        return Ok(());
    }
    Err(Error::WrongDigest {
        what: format!("the content of layer {}", layer.blob.digest.short()),
        expected: layer.diff_id,
        actual: *actual,
    })
}
