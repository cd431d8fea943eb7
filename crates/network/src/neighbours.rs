//! Room in the kernel's tables of neighbours: each container takes one entry of the host's, and one for its gateway.
//!
//! All network namespaces together have 1,024 (gc_thresh3), unless the machine's owner said otherwise; with more in use packets are
//! lost, "neighbour: arp_cache: neighbor table overflow!".

use crate::sysctl;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below this many containers the kernel's own numbers will do.
const FEW: usize = 256;
/// Entries for each container: its own, its gateway's, and some for those that it speaks to.
const FOR_EACH: usize = 8;

/// The containers on all networks of an engine.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    count: AtomicUsize,
    /// The count that there is room for.
    room: AtomicUsize,
}

impl Neighbours {
    /// Some containers come. Once in a while more room is made, which others may have come to rely on: it stays.
    pub(crate) fn more(&self, containers: usize) {
        let count = self.count.fetch_add(containers, Ordering::Relaxed) + containers;
        if count < FEW || count <= self.room.load(Ordering::Relaxed) {
            return;
        }
        let wanted = count.next_power_of_two() * 2;
        if self.room.fetch_max(wanted, Ordering::Relaxed) < wanted {
            sysctl::make_room_for_neighbours(wanted * FOR_EACH);
        }
    }

    /// Some have gone.
    pub(crate) fn less(&self, containers: usize) {
        let _ = self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| Some(count.saturating_sub(containers)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_for_many_and_never_taken_away() {
        let neighbours = Neighbours::default();
        neighbours.more(FEW - 1);
        assert_eq!(neighbours.room.load(Ordering::Relaxed), 0);
        neighbours.less(1000);
        assert_eq!(neighbours.count.load(Ordering::Relaxed), 0);
    }
}
