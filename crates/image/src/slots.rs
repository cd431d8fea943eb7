//! How many transfers go on at once, over all pulls (or pushes) of an engine.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often who waits looks whether it still should.
pub const LOOK: Duration = Duration::from_millis(100);

/// Places for transfers. Each asker says how many there are.
#[derive(Debug, Default)]
pub struct Slots {
    taken: Mutex<usize>,
    freed: Condvar,
}

/// A place that is taken, free again on drop.
#[derive(Debug)]
pub struct Slot<'slots>(&'slots Slots);

impl Slots {
    /// Takes a place if one of `places` is free now.
    pub fn take_now(&self, places: usize) -> Option<Slot<'_>> {
        let mut taken = self.lock();
        if *taken >= places.max(1) {
            return None;
        }
        *taken += 1;
        Some(Slot(self))
    }

    /// Waits for a place as long as `go_on` has no objection.
    pub fn take<E>(&self, places: usize, go_on: impl Fn() -> Result<(), E>) -> Result<Slot<'_>, E> {
        let mut taken = self.lock();
        while *taken >= places.max(1) {
            go_on()?;
            taken = self.freed.wait_timeout(taken, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken += 1;
        Ok(Slot(self))
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_holder_goes() {
        let slots = Slots::default();
        let first = slots.take_now(2).unwrap();
        let second = slots.take_now(2).unwrap();
        assert!(slots.take_now(2).is_none());
        assert_eq!(slots.take(2, || Err("stop")).err(), Some("stop"));
        drop(first);
        slots.take(2, || Err("stop")).unwrap();
        drop(second);
    }

    #[test]
    fn there_is_always_one_place() {
        let slots = Slots::default();
        let only = slots.take_now(0).unwrap();
        assert!(slots.take_now(0).is_none());
        drop(only);
    }
}
