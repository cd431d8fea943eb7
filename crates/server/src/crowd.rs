//! Gives memory back after a crowd of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many connections at once are a crowd.
const CROWD: usize = 256;

/// How many connections there are, and how many there were at most since memory was given back.
#[derive(Debug, Default)]
pub struct Crowd {
    open: AtomicUsize,
    most: AtomicUsize,
}

/// One connection; dropped when it ends.
#[derive(Debug)]
pub struct Guest(Arc<Crowd>);

impl Crowd {
    pub fn enter(self: &Arc<Crowd>) -> Guest {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        Guest(self.clone())
    }

    /// Whether one who leaves is among the last of a crowd; true once for each.
    fn ends(&self) -> bool {
        let open = self.open.fetch_sub(1, Ordering::Relaxed) - 1;
        let most = self.most.load(Ordering::Relaxed);
        most >= CROWD
            && open <= most / 8
            && self.most.compare_exchange(most, open, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.0.ends() {
            tokio::task::spawn_blocking(sys::heap::give_back);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_ends_once_and_a_few_are_none() {
        let crowd = Arc::new(Crowd::default());
        let leave = |count: usize| (0..count).filter(|_| crowd.ends()).count();
        let come = |count: usize| (0..count).for_each(|_| std::mem::forget(crowd.enter()));
        come(10);
        assert_eq!(leave(10), 0);
        come(1000);
        assert_eq!(leave(1000), 1);
        come(CROWD);
        assert_eq!(leave(CROWD), 1);
    }
}
