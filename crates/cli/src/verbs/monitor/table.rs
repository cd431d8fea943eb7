//! The table of all containers, sorted.

use super::Sort;
use super::sample::Container;
use crate::show::human;
use crate::show::listing::aligned;
use std::cmp::Ordering;

/// How the table is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View {
    pub sort: Sort,
    pub is_reversed: bool,
    /// Also those that do not run.
    pub shows_all: bool,
}

const HEADINGS: &str = "NAME\tSTATE\tCPU %\tMEMORY / LIMIT\tMEM %\tIO / S\tNET / S\tPIDS\tUPTIME\tRESTARTS\n";

impl View {
    /// The first line.
    pub fn title(&self, containers: &[Container]) -> String {
        let running = containers.iter().filter(|one| one.numbers.state == "running").count();
        let cpu: f64 = containers.iter().map(|one| one.cpu).sum();
        let memory: f64 = containers.iter().map(|one| one.numbers.memory).sum();
        format!("{running} of {} run, {:.1} % of a processor, {}", containers.len(), cpu * 100.0, bytes(memory))
    }

    /// The heading and at most `rows` containers.
    pub fn table(&self, containers: &[Container], rows: usize) -> String {
        let shown = |one: &&Container| self.shows_all || matches!(one.numbers.state.as_str(), "running" | "paused");
        let mut all: Vec<&Container> = containers.iter().filter(shown).collect();
        all.sort_by(|a, b| {
            let order = self.order(a, b).then_with(|| a.numbers.name.cmp(&b.numbers.name));
            if self.is_reversed { order.reverse() } else { order }
        });
        let lines: String = all.into_iter().take(rows).map(line).collect();
        aligned(&format!("{HEADINGS}{lines}"))
    }

    /// The largest first; names from a to z.
    fn order(&self, a: &Container, b: &Container) -> Ordering {
        let by = |number: fn(&Container) -> f64| number(b).total_cmp(&number(a));
        match self.sort {
            Sort::Cpu => by(|one| one.cpu),
            Sort::Memory => by(|one| one.numbers.memory),
            Sort::Io => by(|one| one.io),
            Sort::Net => by(|one| one.net),
            Sort::Pids => by(|one| one.numbers.pids),
            Sort::Uptime => by(|one| one.uptime_seconds),
            Sort::Restarts => by(|one| one.numbers.restarts),
            Sort::Name => Ordering::Equal,
        }
    }
}

fn line(one: &Container) -> String {
    let numbers = &one.numbers;
    let share = if numbers.memory_limit > 0.0 { numbers.memory / numbers.memory_limit * 100.0 } else { 0.0 };
    let state = match numbers.health.as_str() {
        "" => numbers.state.clone(),
        health => format!("{} ({health})", numbers.state),
    };
    format!(
        "{}\t{state}\t{:.1}\t{} / {}\t{share:.1}\t{}\t{}\t{:.0}\t{}\t{:.0}\n",
        numbers.name,
        one.cpu * 100.0,
        bytes(numbers.memory),
        bytes(numbers.memory_limit),
        bytes(one.io),
        bytes(one.net),
        numbers.pids,
        uptime(one.uptime_seconds),
        numbers.restarts,
    )
}

/// Sizes are far below 2^53.
#[allow(clippy::cast_possible_truncation)]
fn bytes(number: f64) -> String {
    human::size_binary(number as i64)
}

/// `1d02h`, `3h04m`, `5m06s`, `7s`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn uptime(seconds: f64) -> String {
    let all = seconds as u64;
    let (days, hours, minutes, seconds) = (all / 86_400, all / 3600 % 24, all / 60 % 60, all % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{seconds:02}s"),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::monitor::sample::Numbers;

    fn container(name: &str, cpu: f64, memory: f64) -> Container {
        let numbers = Numbers {
            name: name.to_owned(),
            state: "running".to_owned(),
            memory,
            memory_limit: 1e9,
            ..Numbers::default()
        };
        Container { numbers, cpu, uptime_seconds: 3_700.0, ..Container::default() }
    }

    #[test]
    fn the_largest_is_first_and_keys_change_that() {
        let all = [container("a", 0.1, 5e6), container("b", 1.5, 1e6)];
        let names = |view: &View| {
            let table = view.table(&all, 10);
            table.lines().skip(1).map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        let mut view = View { sort: Sort::Cpu, is_reversed: false, shows_all: false };
        assert_eq!(names(&view), ["b", "a"]);
        view.sort = Sort::Memory;
        assert_eq!(names(&view), ["a", "b"]);
        view.is_reversed = true;
        assert_eq!(names(&view), ["b", "a"]);
        assert_eq!(view.table(&all, 1).lines().count(), 2);
        assert!(view.table(&all, 9).contains("150.0"));
    }

    #[test]
    fn what_does_not_run_is_shown_when_asked_for() {
        let mut stopped = container("a", 0.0, 0.0);
        stopped.numbers.state = "exited".to_owned();
        let mut view = View { sort: Sort::Name, is_reversed: false, shows_all: false };
        assert_eq!(view.table(std::slice::from_ref(&stopped), 9).lines().count(), 1);
        view.shows_all = true;
        assert_eq!(view.table(&[stopped], 9).lines().count(), 2);
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(7.0, "7s"), (306.0, "5m06s"), (11_040.0, "3h04m"), (93_600.0, "1d02h")] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
