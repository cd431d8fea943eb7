//! Patience with a bound: the kernel's answer to freezing, killing and removing comes a little later.

use std::time::{Duration, Instant};

/// Looks again and again, in growing steps, until a deadline.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Instant,
    step: Duration,
}

impl Patience {
    const FIRST: Duration = Duration::from_micros(50);
    const LONGEST: Duration = Duration::from_millis(10);

    pub(crate) fn new(limit: Duration) -> Patience {
        Patience { until: Instant::now() + limit, step: Patience::FIRST }
    }

    /// Waits a step. False when the time is over, without waiting.
    #[expect(clippy::disallowed_methods, reason = "a step of waiting for a condition with a deadline")]
    pub(crate) fn wait(&mut self) -> bool {
        let left = self.left();
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(self.step.min(left));
        self.step = (self.step * 2).min(Patience::LONGEST);
        true
    }

    /// How much time is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}
