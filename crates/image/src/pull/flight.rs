//! Layers on their way from registries: two pulls that need the same blob at the same time fetch it once.
//!
//! ```text
//!   board --first--> Pilot --land(diffID)--> the others have it, too
//!        \             \---dropped---------> one of the others becomes the pilot
//!         \--later--> Passenger: hears the progress, waits for the end
//! ```

use crate::slots::LOOK;
use base::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Facts about more blobs than this are forgotten: each can be found out again.
const MOST_FACTS: usize = 16_384;

/// All flights of an engine, by the digest of the blob.
#[derive(Debug, Default)]
pub struct Flights {
    board: Mutex<Board>,
}

#[derive(Debug, Default)]
struct Board {
    flying: HashMap<Digest, Arc<Flight>>,
    /// The diffIDs of blobs that landed. A fact about the blob's bytes, whether they are still here or not.
    facts: HashMap<Digest, Digest>,
}

/// A blob on its way.
#[derive(Debug, Default)]
pub struct Flight {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// Bytes so far.
    current: u64,
    end: Option<End>,
}

/// How a flight ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The layer with this diffID is in the stores.
    Landed(Digest),
    /// Its pilot failed or was cancelled; who still wants the blob boards again.
    Lost,
}

/// Who fetches a blob, and who waits for it.
pub enum Seat<'flights> {
    Pilot(Pilot<'flights>),
    Passenger(Arc<Flight>),
}

/// The duty to fetch a blob. Dropped without [`Pilot::land`], the flight is lost.
pub struct Pilot<'flights> {
    flights: &'flights Flights,
    blob: Digest,
    flight: Arc<Flight>,
}

impl Flights {
    pub fn board(&self, blob: Digest) -> Seat<'_> {
        let mut board = self.lock();
        if let Some(flight) = board.flying.get(&blob) {
            return Seat::Passenger(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::default());
        board.flying.insert(blob, Arc::clone(&flight));
        Seat::Pilot(Pilot { flights: self, blob, flight })
    }

    /// The diffID of a blob that landed before.
    pub fn diff_id_of(&self, blob: &Digest) -> Option<Digest> {
        self.lock().facts.get(blob).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Waits for the end; `hear` gets the bytes so far, and says whether to go on.
    pub fn follow<E>(&self, mut hear: impl FnMut(u64) -> Result<(), E>) -> Result<End, E> {
        loop {
            let state = {
                let state = self.lock();
                if state.end.is_some() {
                    *state
                } else {
                    *self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            hear(state.current)?;
            if let Some(end) = state.end {
                return Ok(end);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first end counts.
    fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_all();
    }
}

impl Pilot<'_> {
    /// Tells the passengers how far it is.
    pub fn progress(&self, current: u64) {
        self.flight.lock().current = current;
    }

    /// The blob's layer is in the stores.
    pub fn land(self, diff_id: Digest) {
        let mut board = self.flights.lock();
        if board.facts.len() >= MOST_FACTS {
            board.facts.clear();
        }
        board.facts.insert(self.blob, diff_id);
        drop(board);
        self.flight.end(End::Landed(diff_id));
    }
}

impl Drop for Pilot<'_> {
    fn drop(&mut self) {
        self.flights.lock().flying.remove(&self.blob);
        self.flight.end(End::Lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> Digest {
        Digest::from_bytes([n; 32])
    }

    #[test]
    fn passengers_hear_of_the_landing() {
        let flights = Flights::default();
        let Seat::Pilot(pilot) = flights.board(digest(1)) else { panic!("no pilot") };
        let Seat::Passenger(flight) = flights.board(digest(1)) else { panic!("two pilots") };
        assert!(matches!(flights.board(digest(2)), Seat::Pilot(_)));
        pilot.progress(5);
        let heard = Mutex::new(Vec::new());
        let end = std::thread::scope(|scope| {
            let hear = |current| {
                heard.lock().unwrap().push(current);
                Ok::<(), ()>(())
            };
            let follower = scope.spawn(move || flight.follow(hear));
            while heard.lock().unwrap().is_empty() {
                std::thread::yield_now();
            }
            pilot.land(digest(9));
            follower.join().unwrap()
        });
        assert_eq!(end, Ok(End::Landed(digest(9))));
        assert_eq!(heard.lock().unwrap().last(), Some(&5));
        assert_eq!(flights.diff_id_of(&digest(1)), Some(digest(9)));
        assert!(matches!(flights.board(digest(1)), Seat::Pilot(_)));
    }

    #[test]
    fn a_lost_flight_leaves_the_duty_to_the_next() {
        let flights = Flights::default();
        let Seat::Pilot(pilot) = flights.board(digest(1)) else { panic!("no pilot") };
        let Seat::Passenger(flight) = flights.board(digest(1)) else { panic!("two pilots") };
        drop(pilot);
        assert_eq!(flight.follow(|_| Ok::<(), ()>(())), Ok(End::Lost));
        assert!(matches!(flights.board(digest(1)), Seat::Pilot(_)));
        assert_eq!(flights.diff_id_of(&digest(1)), None);
    }

    #[test]
    fn a_passenger_can_leave() {
        let flights = Flights::default();
        let _pilot = flights.board(digest(1));
        let Seat::Passenger(flight) = flights.board(digest(1)) else { panic!("two pilots") };
        assert_eq!(flight.follow(|_| Err("cancelled")), Err("cancelled"));
    }
}
