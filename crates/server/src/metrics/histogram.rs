//! How long something took, counted in buckets without a lock.

use super::page::Page;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds: a start takes a few milliseconds, a stop ten seconds, a pull minutes.
const BOUNDS_US: [u64; 16] = [
    1_000, 2_500, 5_000, 7_500, 10_000, 15_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 60_000_000,
];

/// Counts by duration.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The last one has no bound.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub fn took(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The lines of one labelled histogram; its head is written once for all of them.
    pub fn write(&self, page: &mut Page, name: &str, label: Option<(&str, &str)>) {
        let mut all = 0;
        let bucket = format!("{name}_bucket");
        let labels: Vec<(&str, &str)> = label.into_iter().collect();
        for (index, count) in self.counts.iter().enumerate() {
            all += count.load(Ordering::Relaxed);
            let bound = BOUNDS_US.get(index).map_or_else(|| "+Inf".to_owned(), |bound| seconds(*bound).to_string());
            let with_bound: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            page.line(&bucket, &with_bound, all);
        }
        page.line(&format!("{name}_sum"), &labels, seconds(self.sum_us.load(Ordering::Relaxed)));
        page.line(&format!("{name}_count"), &labels, all);
    }
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_all_that_is_shorter() {
        let histogram = Histogram::default();
        for ms in [1, 3, 3, 100_000] {
            histogram.took(Duration::from_millis(ms));
        }
        let mut page = Page::default();
        histogram.write(&mut page, "x_seconds", Some(("action", "start")));
        let text = page.text();
        for line in [
            "x_seconds_bucket{action=\"start\",le=\"0.001\"} 1\n",
            "x_seconds_bucket{action=\"start\",le=\"0.005\"} 3\n",
            "x_seconds_bucket{action=\"start\",le=\"60\"} 3\n",
            "x_seconds_bucket{action=\"start\",le=\"+Inf\"} 4\n",
            "x_seconds_sum{action=\"start\"} 100.007\n",
            "x_seconds_count{action=\"start\"} 4\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
