//! Watching the health of containers: a task for each that has a check, which sleeps until its next probe is due.
//!
//! It is dropped with the container's end and while the container is paused; an engine that comes after another one goes on
//! from the last answer.

use super::stop::{KILL, StopRequest};
use crate::events::now;
use crate::shelf::Cell;
use crate::streams::lock;
use crate::{Engine, Error};
use base::Id;
use container::health::{Answer, OnFailure};
use container::{Container, Health, HealthCheck, HealthStatus, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The watch over one run of a container.
struct Monitor {
    engine: Engine,
    cell: Arc<Cell>,
    check: HealthCheck,
    /// Fails once the watch is over.
    over: watch::Receiver<()>,
}

impl Engine {
    /// Watches a container that runs, if it has a health check.
    pub(crate) fn watch_health(&self, cell: &Arc<Cell>) {
        let Some(check) = HealthCheck::of(&cell.record().config) else { return };
        let (watched, over) = watch::channel(());
        *lock(&cell.watched) = Some(watched);
        let monitor = Monitor { engine: self.clone(), cell: cell.clone(), check, over };
        self.house.runtime.spawn(monitor.run());
    }
}

/// Ends the watch; a probe that runs is killed.
pub(crate) fn unwatch(cell: &Cell) {
    lock(&cell.watched).take();
}

/// The health of a container that is just starting.
pub(crate) fn at_start(record: &Container, before: Option<Health>) -> Option<Health> {
    HealthCheck::of(&record.config)?;
    let mut health = before.unwrap_or_default();
    health.begin();
    health.next.get_or_insert_with(Id::random);
    Some(health)
}

/// As Docker shows it: what does not run, or is paused, is not healthy. It is again with the next good answer.
pub(crate) fn at_end(health: &mut Option<Health>) {
    if let Some(health) = health {
        health.status = HealthStatus::Unhealthy;
    }
}

impl Monitor {
    async fn run(mut self) {
        let mut delay = self.first_delay();
        loop {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = self.over.changed() => return,
            }
            let Some(answer) = self.ask().await else { return };
            if !self.take(answer).await {
                return;
            }
            delay = self.pause();
        }
    }

    /// Of one that was watched before, what is left of its pause.
    fn first_delay(&self) -> Duration {
        let state = self.cell.state();
        let last = state.health.as_ref().and_then(|health| health.log.last()).map(|answer| answer.end);
        let last = last.filter(|end| *end > state.started_at).unwrap_or(state.started_at);
        self.pause().saturating_sub(since(last))
    }

    fn pause(&self) -> Duration {
        let state = self.cell.state();
        let status = state.health.map(|health| health.status).unwrap_or_default();
        self.check.pause(status, since(state.started_at))
    }

    /// Runs the probe; `None` when the watch was over first.
    async fn ask(&mut self) -> Option<Answer> {
        let start = now();
        let (engine, cell, args) = (self.engine.clone(), self.cell.clone(), self.check.probe.clone());
        let begun = tokio::task::spawn_blocking(move || engine.begin_probe(&cell, args));
        let begun = begun.await.unwrap_or_else(|e| Err(Error::Conflict(format!("the probe was interrupted: {e}"))));
        if self.over.has_changed().is_err() {
            if let Ok(probe) = begun {
                probe.kill().await;
            }
            return None;
        }
        let (exit_code, output) = match begun {
            Ok(mut probe) => tokio::select! {
                told = probe.answer(self.check.timeout) => told,
                _ = self.over.changed() => {
                    probe.kill().await;
                    return None;
                }
            },
            Err(error) => (-1, crate::words::of_exec(&error)),
        };
        Some(Answer { start, end: now(), exit_code, output })
    }

    /// `false` when the container does not run any more.
    async fn take(&self, answer: Answer) -> bool {
        let (engine, cell, check) = (self.engine.clone(), self.cell.clone(), self.check.clone());
        let taken = tokio::task::spawn_blocking(move || engine.take_answer(&cell, &check, answer));
        let Ok(Some(changed)) = taken.await else { return false };
        if changed == Some(HealthStatus::Unhealthy) {
            let (engine, cell, what) = (self.engine.clone(), self.cell.clone(), self.check.on_failure);
            tokio::spawn(async move { engine.act_on_failure(&cell, what).await });
        }
        true
    }
}

impl Engine {
    /// The new status, when it is another; `None` when the container does not run.
    fn take_answer(&self, cell: &Cell, check: &HealthCheck, answer: Answer) -> Option<Option<HealthStatus>> {
        let mut taken = None;
        cell.change_silently(|state| {
            if let (Status::Running, Some(health)) = (state.status, &mut state.health) {
                taken = Some(health.take(check, answer, state.started_at));
                health.next = Some(Id::random());
            }
        });
        let changed = taken?;
        self.house.save(cell);
        if let Some(status) = changed {
            self.house.tell(cell, &format!("health_status: {}", status.word()), &[]);
        }
        Some(changed)
    }

    async fn act_on_failure(&self, cell: &Arc<Cell>, what: OnFailure) {
        let id = cell.id.to_string();
        let done = match what {
            OnFailure::None => return,
            OnFailure::Kill => self.signal(cell, KILL),
            OnFailure::Restart => self.restart(&id, StopRequest::default()).await,
            OnFailure::Stop => self.stop(&id, StopRequest::default()).await.map(|_| ()),
        };
        match done {
            Ok(()) => tracing::info!("{id} was unhealthy: {what:?} done"),
            Err(e) => tracing::warn!("cannot {what:?} the unhealthy {id}: {}", base::chain(&e)),
        }
    }
}

/// Time since `at`, nanoseconds since the epoch.
fn since(at: i64) -> Duration {
    u64::try_from(now().saturating_sub(at)).map_or(Duration::ZERO, Duration::from_nanos)
}
