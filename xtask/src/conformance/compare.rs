//! The same tests on several runtimes, side by side.

use super::differences::Known;
use super::outcome::{Outcome, Test};
use std::collections::{BTreeMap, BTreeSet};

/// Outcomes by `part: test`; the last runtime is ours.
pub struct Table {
    suite: String,
    runtimes: Vec<String>,
    outcomes: Vec<BTreeMap<String, Outcome>>,
}

/// What a list is counted into.
#[derive(Default)]
struct Count {
    passed: usize,
    skipped: usize,
    failed: usize,
}

impl Table {
    pub fn new(suite: &str, runtimes: impl Iterator<Item = String>) -> Table {
        let runtimes: Vec<String> = runtimes.collect();
        let outcomes = runtimes.iter().map(|_| BTreeMap::new()).collect();
        Table { suite: suite.to_owned(), runtimes, outcomes }
    }

    pub fn add(&mut self, runtime: usize, part: &str, tests: Vec<Test>) {
        self.outcomes[runtime].extend(tests.into_iter().map(|test| (format!("{part}: {}", test.name), test.outcome)));
    }

    /// A line about one part.
    pub fn part(&self, part: &str) -> String {
        let prefix = format!("{part}: ");
        let of = |outcomes: &BTreeMap<String, Outcome>| {
            let count = count(outcomes.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, o)| o));
            format!("{:>3} {:>3} {:>3}", count.passed, count.skipped, count.failed)
        };
        let columns: Vec<String> = self.outcomes.iter().map(of).collect();
        format!("{part:<30} {}", columns.join(" | "))
    }

    /// Prints totals and all that a peer passes and ours does not; `Err` when one of these is not known.
    pub fn verdict(&self, known: &Known) -> Result<(), String> {
        println!("\n{} (passed, skipped, failed):", self.suite);
        for (name, outcomes) in self.runtimes.iter().zip(&self.outcomes) {
            let count = count(outcomes.values());
            println!("  {name:<40} {:>4} {:>4} {:>4}", count.passed, count.skipped, count.failed);
        }
        let Some((ours, peers)) = self.outcomes.split_last() else { return Ok(()) };
        let lost = lost(ours, peers);
        let mut unknown = 0;
        for name in &lost {
            let reason = known.reason(name);
            unknown += usize::from(reason.is_none());
            println!("\n{name}\n  {}", reason.map_or_else(|| why(ours.get(*name)), |r| format!("known: {r}")));
        }
        let passed = |name: &str| ours.get(name) == Some(&Outcome::Passed);
        for name in known.names().filter(|name| passed(name)) {
            println!("\n{name}\n  passes: its line in docs/conformance.md can go");
        }
        match unknown {
            0 => Ok(()),
            some => Err(format!("{}: {some} tests pass on a peer and not on ours, for no known reason", self.suite)),
        }
    }
}

/// Names of tests that a peer passes and ours does not.
fn lost<'a>(ours: &BTreeMap<String, Outcome>, peers: &'a [BTreeMap<String, Outcome>]) -> BTreeSet<&'a str> {
    let passed = peers.iter().flatten().filter(|(_, outcome)| **outcome == Outcome::Passed);
    let lost = passed.filter(|(name, _)| ours.get(*name) != Some(&Outcome::Passed));
    lost.map(|(name, _)| name.as_str()).collect()
}

fn why(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "did not run".to_owned(),
        Some(Outcome::Failed(why)) => why.trim_end().replace('\n', "\n  "),
        Some(Outcome::Skipped) => "skipped".to_owned(),
        Some(Outcome::Passed) => "passed".to_owned(),
    }
}

fn count<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Count {
    outcomes.fold(Count::default(), |mut count, outcome| {
        match outcome {
            Outcome::Passed => count.passed += 1,
            Outcome::Skipped => count.skipped += 1,
            Outcome::Failed(_) => count.failed += 1,
        }
        count
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_passes_and_ours_fails_skips_or_never_ran_is_lost() {
        let failed = Outcome::Failed(String::new());
        let of = |list: &[(&str, &Outcome)]| list.iter().map(|(n, o)| ((*n).to_owned(), (*o).clone())).collect();
        let ours = of(&[("a", &Outcome::Passed), ("b", &failed), ("c", &Outcome::Skipped), ("e", &failed)]);
        let passed = &Outcome::Passed;
        let peer = of(&[("a", passed), ("b", passed), ("c", passed), ("d", passed), ("e", &failed)]);
        assert_eq!(lost(&ours, &[peer]), BTreeSet::from(["b", "c", "d"]));
    }
}
