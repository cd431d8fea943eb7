//! Images that a container is being made of, and images that are being removed: never the same one at the same time.
//!
//! ```text
//!   hold   an image is found and held in one step; one that is going is waited for, and then looked up anew
//!   leave  images that nobody holds are marked as going; the others count as used
//! ```

use crate::Engine;
use base::Digest;
use image::Image;
use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Who holds what, and what is going.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    state: Mutex<State>,
    gone: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<Digest, usize>,
    going: HashMap<Digest, usize>,
    /// Held, and somebody wanted them to go meanwhile.
    unwanted: HashSet<Digest>,
}

/// An image that stays while this lives.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    holds: &'a Holds,
    id: Digest,
}

/// Images that nobody gets hold of while this lives.
#[derive(Debug)]
pub(crate) struct Going<'a> {
    holds: &'a Holds,
    marked: HashSet<Digest>,
    /// Of those that were to go: what somebody holds.
    pub(crate) held: Vec<Digest>,
}

impl Holds {
    /// Looks an image up and holds it. `look` must be quick.
    pub(crate) fn hold<E>(&self, look: impl Fn() -> Result<Image, E>) -> Result<(Image, Held<'_>), E> {
        let mut state = self.lock();
        loop {
            let image = look()?;
            if !state.going.contains_key(&image.id) {
                *state.held.entry(image.id).or_default() += 1;
                let held = Held { holds: self, id: image.id };
                return Ok((image, held));
            }
            state = self.gone.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Marks what is to go. Who uses it is asked after this, not before.
    pub(crate) fn leave(&self, ids: impl IntoIterator<Item = Digest>) -> Going<'_> {
        let mut state = self.lock();
        let (held, marked) = ids.into_iter().partition(|id| state.held.contains_key(id));
        let going = Going { holds: self, marked, held: Vec::from_iter::<HashSet<Digest>>(held) };
        going.marked.iter().for_each(|id| *state.going.entry(*id).or_default() += 1);
        going
    }

    /// Holds an image for one who keeps no reference: [`Holds::release`] ends it.
    fn hold_on<E>(&self, look: impl Fn() -> Result<Image, E>) -> Result<Image, E> {
        let (image, held) = self.hold(look)?;
        std::mem::forget(held);
        Ok(image)
    }

    /// Ends [`Holds::hold_on`]. Whether it was the last hold of an image that somebody wanted to go.
    fn release(&self, id: &Digest) -> bool {
        let mut state = self.lock();
        release(&mut state.held, id);
        !state.held.contains_key(id) && state.unwanted.remove(id)
    }

    /// Somebody wants an image to go that is held.
    pub(crate) fn unwant(&self, id: &Digest) {
        let mut state = self.lock();
        if state.held.contains_key(id) {
            state.unwanted.insert(*id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An image that a build stands on. It may lose its names meanwhile; one that somebody wanted to go goes in the end.
#[derive(Debug)]
pub struct ImageHold {
    engine: Engine,
    id: Digest,
}

impl Engine {
    /// An image by its name, which stays while the hold lives.
    pub fn hold_image(&self, name: &str) -> crate::Result<(Image, ImageHold)> {
        let image = self.house.holds.hold_on(|| self.house.images.get(name))?;
        let hold = ImageHold { engine: self.clone(), id: image.id };
        Ok((image, hold))
    }
}

impl Drop for ImageHold {
    fn drop(&mut self) {
        let is_unwanted = self.engine.house.holds.release(&self.id);
        let id = self.id.to_string();
        let nameless = |image: &Image| image.tags.is_empty() && image.digests.is_empty();
        if is_unwanted && self.engine.image(&id).is_ok_and(|image| nameless(&image)) {
            // A container that stands on it by now keeps it.
            let _ = self.engine.image_remove(&id, image::Force::No);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.holds.release(&self.id);
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let mut state = self.holds.lock();
        self.marked.iter().for_each(|id| release(&mut state.going, id));
        drop(state);
        self.holds.gone.notify_all();
    }
}

fn release(counts: &mut HashMap<Digest, usize>, id: &Digest) {
    let Some(count) = counts.get_mut(id) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    fn image(digit: &str) -> Image {
        Image::nameless(format!("sha256:{}", digit.repeat(64)).parse().expect("a digest"))
    }

    #[test]
    fn what_is_held_does_not_go() {
        let (holds, one, two) = (Holds::default(), image("1"), image("2"));
        let (_, held) = holds.hold(|| Ok::<_, ()>(one.clone())).expect("held");
        let going = holds.leave([one.id, two.id]);
        assert_eq!((going.held.clone(), going.marked.contains(&two.id)), (vec![one.id], true));
        drop((going, held));
        assert!(holds.leave([one.id]).held.is_empty());
    }

    #[test]
    fn what_is_going_is_waited_for_and_looked_up_anew() {
        let (holds, one) = (Holds::default(), image("1"));
        let (is_gone, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
        let look = || {
            looks.fetch_add(1, Ordering::SeqCst);
            if is_gone.load(Ordering::SeqCst) { Err("no such image") } else { Ok(one.clone()) }
        };
        std::thread::scope(|scope| {
            let going = holds.leave([one.id]);
            let waiting = scope.spawn(|| holds.hold(look).map(|(image, _)| image.id));
            while looks.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            is_gone.store(true, Ordering::SeqCst);
            drop(going);
            assert_eq!(waiting.join().expect("no panic"), Err("no such image"));
        });
        assert_eq!(looks.load(Ordering::SeqCst), 2);
    }
}
