//! Restart policies: whether a container that has ended is started again, when, and in which order at the engine's start.

use super::create::joined;
use crate::Engine;
use crate::shelf::Cell;
use crate::streams::lock;
use container::{Container, RestartPolicy, State, Status};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The delay before the first restart; it doubles up to a minute, and begins anew after a run of ten seconds. As Docker
/// (moby, daemon/internal/restartmanager).
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
const GOOD_RUN: Duration = Duration::from_secs(10);

/// Containers that are started side by side at the engine's start.
const SIDE_BY_SIDE: usize = 4;

impl Engine {
    /// How long until the container is started again; `None` when it is not. `end` is its exit code and when it ended.
    pub(super) fn restart_delay(
        &self,
        cell: &Cell,
        record: &Container,
        state: &State,
        end: (i32, i64),
    ) -> Option<Duration> {
        let (code, at) = end;
        if self.house.closing.load(Ordering::Acquire) || !is_wanted(record.config.restart, state, code) {
            return None;
        }
        let ran = u64::try_from(at.saturating_sub(state.started_at)).map_or(Duration::ZERO, Duration::from_nanos);
        let mut backoff = lock(&cell.backoff);
        *backoff = next_delay(*backoff, ran);
        Some(*backoff)
    }

    pub(super) fn restart_later(&self, cell: &Arc<Cell>, delay: Duration) {
        let engine = self.clone();
        let cell = cell.clone();
        let runs = cell.life.borrow().exits;
        self.house.timers.after(delay, move || {
            let own = engine.clone();
            engine.in_thread("restart", Arc::new(move || own.start_waiting(&cell, runs)));
        });
    }

    /// Starts a container that waits for its restart since the end of its run number `runs`; one that was stopped meanwhile
    /// does not, nor waits less for its next restart because of this one. An engine that closes leaves it to the next.
    fn start_waiting(&self, cell: &Arc<Cell>, runs: u64) {
        let _turn = lock(&cell.turn);
        if cell.status() == Status::Restarting
            && cell.life.borrow().exits == runs
            && !self.house.closing.load(Ordering::Acquire)
            && let Err(e) = self.start_in_turn(cell)
        {
            tracing::warn!("cannot start {} again: {}", cell.id, base::chain(&e));
        }
    }

    /// Starts what ran when the machine or the keeper went down, on a thread of its own: those first whose namespaces others
    /// join.
    pub(crate) fn boot(&self, waiting: Vec<Arc<Cell>>) -> std::io::Result<()> {
        if waiting.is_empty() {
            return Ok(());
        }
        let engine = self.clone();
        let work = move || waves(waiting, |cell| needs(&engine, cell)).iter().for_each(|wave| engine.boot_wave(wave));
        std::thread::Builder::new().name("boot".into()).stack_size(1 << 20).spawn(work).map(drop)
    }

    fn boot_wave(&self, wave: &[Arc<Cell>]) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(cell) = wave.get(next.fetch_add(1, Ordering::AcqRel)) {
                let runs = cell.life.borrow().exits;
                self.start_waiting(cell, runs);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..SIDE_BY_SIDE.min(wave.len()) {
                // Without further threads this one does it all.
                let _ = std::thread::Builder::new().stack_size(1 << 20).spawn_scoped(scope, work);
            }
            work();
        });
    }
}

/// Forgets earlier restarts: the user starts it.
pub(super) fn begin_anew(cell: &Cell) {
    *lock(&cell.backoff) = Duration::ZERO;
    cell.change_silently(|state| state.restart_count = 0);
}

/// Whether a container is started again that has ended with `code`.
fn is_wanted(policy: RestartPolicy, state: &State, code: i32) -> bool {
    match policy {
        _ if state.stopped_by_user => false,
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { most } => code != 0 && (most == 0 || state.restart_count < most),
    }
}

/// Whether a container that does not run is started by an engine that starts. `lost`: it ran when nobody was there to see its end.
pub(crate) fn boots(policy: RestartPolicy, state: &State, lost: bool) -> bool {
    match policy {
        _ if !state.has_run => false,
        RestartPolicy::No => false,
        // Also one that the user stopped: that is its difference from the next.
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !state.stopped_by_user,
        RestartPolicy::OnFailure { .. } => lost && is_wanted(policy, state, state.exit_code),
    }
}

fn next_delay(before: Duration, ran: Duration) -> Duration {
    if before.is_zero() || ran >= GOOD_RUN {
        return FIRST_DELAY;
    }
    (before * 2).min(LONGEST_DELAY)
}

/// Those whose namespaces it joins, and those it links to.
fn needs(engine: &Engine, cell: &Cell) -> Vec<base::Id> {
    let record = cell.record();
    let linked = record.config.links.iter().map(|link| link.container.as_str());
    joined(&record.config)
        .chain(linked)
        .filter_map(|text| engine.house.shelf.find(text).ok())
        .map(|needed| needed.id)
        .collect()
}

/// In order, each with what it needs in an earlier wave. What needs itself comes last, and fails with its reason.
fn waves(mut waiting: Vec<Arc<Cell>>, needs: impl Fn(&Cell) -> Vec<base::Id>) -> Vec<Vec<Arc<Cell>>> {
    let mut waves = Vec::new();
    while !waiting.is_empty() {
        let open: HashSet<base::Id> = waiting.iter().map(|cell| cell.id).collect();
        let (wave, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|cell| needs(cell).iter().all(|id| !open.contains(id)));
        if wave.is_empty() {
            waves.push(rest);
            break;
        }
        waves.push(wave);
        waiting = rest;
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_begin_anew_after_a_good_run() {
        let bad = Duration::from_secs(9);
        let mut delay = Duration::ZERO;
        let mut seen = Vec::new();
        for _ in 0..12 {
            delay = next_delay(delay, bad);
            seen.push(delay.as_millis());
        }
        assert_eq!(seen, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
        assert_eq!(next_delay(delay, GOOD_RUN), FIRST_DELAY);
    }

    #[test]
    fn a_policy_decides_by_exit_code_count_and_the_user() {
        let state = |restart_count, stopped_by_user| State {
            restart_count,
            stopped_by_user,
            has_run: true,
            ..State::default()
        };
        let some = RestartPolicy::OnFailure { most: 2 };
        assert!(is_wanted(some, &state(1, false), 1));
        assert!(!is_wanted(some, &state(2, false), 1));
        assert!(!is_wanted(some, &state(0, false), 0));
        assert!(is_wanted(RestartPolicy::OnFailure { most: 0 }, &state(99, false), 1));
        assert!(is_wanted(RestartPolicy::Always, &state(9, false), 0));
        assert!(!is_wanted(RestartPolicy::Always, &state(0, true), 1));
        assert!(!is_wanted(RestartPolicy::No, &state(0, false), 1));
        assert!(boots(RestartPolicy::Always, &state(0, true), false));
        assert!(!boots(RestartPolicy::UnlessStopped, &state(0, true), false));
        assert!(boots(RestartPolicy::UnlessStopped, &state(0, false), true));
        assert!(!boots(some, &State { exit_code: 1, ..state(0, false) }, false));
        assert!(boots(some, &State { exit_code: 255, ..state(0, false) }, true));
        assert!(!boots(RestartPolicy::Always, &State::default(), false));
    }
}
