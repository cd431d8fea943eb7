//! What was measured, for people and for programs.

use super::figures::Figure;
use super::goals::{Bound, Goal};
use super::memory::Memory;
use std::fmt::Write;
use std::path::Path;

/// A table: the median, the smallest and the largest sample, and how many times as good dhow is.
pub fn render(figures: &[Figure], memory: &[Memory], goals: &[Goal], about: &str) -> String {
    let mut text = String::new();
    for figure in figures {
        let _ = writeln!(text, "\n{} ({})", figure.name, figure.unit);
        let dhow = figure.samples.iter().find(|(name, _)| name == "dhow").map(|(_, samples)| median(samples));
        for (name, samples) in &figure.samples {
            let middle = median(samples);
            let ratio = dhow.map_or(f64::NAN, |dhow| if figure.less_is_better { middle / dhow } else { dhow / middle });
            let _ = writeln!(
                text,
                "  {name:<20} median {middle:>9.2}  min {:>9.2}  p99 {:>9.2}  max {:>9.2}  n {:>3}  dhow is {ratio:>6.2}x as good",
                least(samples),
                percentile(samples, 99),
                most(samples),
                samples.len(),
            );
        }
    }
    if !memory.is_empty() {
        let _ = writeln!(text, "\nmemory (PSS of engine and its processes, KiB)");
    }
    for row in memory {
        let _ = writeln!(
            text,
            "  {:<20} idle {:>7}  for each idle container {:>7.1}  idle after all of this {:>7}",
            row.peer, row.idle, row.per_container, row.afterwards
        );
    }
    if !goals.is_empty() {
        let _ = writeln!(text, "\ngoals");
    }
    for goal in goals {
        let (side, bound) = match goal.bound {
            Bound::AtLeast(bound) => ("at least", bound),
            Bound::AtMost(bound) => ("at most", bound),
        };
        let word = if goal.reached() { "reached" } else { "MISSED" };
        let Goal { what, unit, is, .. } = goal;
        let _ = writeln!(text, "  {what:<46} {side:>8} {bound:>4.2} {unit:<3}  is {is:>7.2} {unit:<3}  {word}");
    }
    let _ = writeln!(text, "\n{about}");
    text
}

/// All samples as JSON.
pub fn save(path: &Path, figures: &[Figure], memory: &[Memory]) -> Result<(), String> {
    let figures: Vec<_> = figures
        .iter()
        .map(|figure| {
            let samples: serde_json::Map<String, serde_json::Value> =
                figure.samples.iter().map(|(name, samples)| (name.clone(), serde_json::json!(samples))).collect();
            serde_json::json!({ "name": figure.name, "unit": figure.unit, "samples": samples })
        })
        .collect();
    let memory: Vec<_> = memory
        .iter()
        .map(
            |row| serde_json::json!({ "peer": row.peer, "idle_kib": row.idle, "per_container_kib": row.per_container, "afterwards_kib": row.afterwards }),
        )
        .collect();
    let all = serde_json::json!({ "figures": figures, "memory": memory });
    std::fs::write(path, format!("{all:#}\n")).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The middle one, or the mean of the middle two.
pub fn median(samples: &[f64]) -> f64 {
    let sorted = sorted(samples);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The sample that so many of a hundred are not above.
pub fn percentile(samples: &[f64], percent: usize) -> f64 {
    let sorted = sorted(samples);
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

fn least(samples: &[f64]) -> f64 {
    sorted(samples).first().copied().unwrap_or(f64::NAN)
}

fn most(samples: &[f64]) -> f64 {
    sorted(samples).last().copied().unwrap_or(f64::NAN)
}
