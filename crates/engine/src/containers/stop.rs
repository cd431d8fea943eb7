//! Signals, and the end that a user wants.

use super::restart::begin_anew;
use crate::shelf::{Cell, Life};
use crate::streams::lock;
use crate::{Engine, Error, Result};
use container::{Config, Status};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Whether something had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Done,
    /// It already was so (304).
    Already,
}

/// How to stop.
#[derive(Debug, Clone, Default)]
pub struct StopRequest {
    /// A name or a number; `None`: the container's.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; `None`: the container's; negative: never.
    pub timeout: Option<i64>,
}

const DEFAULT_TIMEOUT_S: i64 = 10;
/// After SIGKILL: only the kernel itself can hold a process longer.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
    /// Sends the stop signal, then SIGKILL when the time is over; returns when the container has ended.
    pub async fn stop(&self, name: &str, request: StopRequest) -> Result<Change> {
        let cell = self.house.shelf.find(name)?;
        // A signal that is none is no matter where nothing runs.
        let signal = match stop_signal(&cell.record().config, &request) {
            Err(_) if cell.state().pid == 0 => parse_signal("TERM")?,
            signal => signal?,
        };
        match self.mark_stopped(&cell).await? {
            Stopping::Runs => {}
            Stopping::Waited => {
                self.house.tell(&cell, "stop", &[]);
                return Ok(Change::Done);
            }
            Stopping::Over => return Ok(Change::Already),
        }
        let timeout = request.timeout.or(cell.record().config.stop_timeout).unwrap_or(DEFAULT_TIMEOUT_S);
        let mut life = cell.life.subscribe();
        let before = life.borrow().exits;
        let over = |life: &Life| life.exits > before || !life.running || life.removed;
        let patience = u64::try_from(timeout).ok().map(Duration::from_secs);
        self.signal(&cell, signal)?;
        let ended = life.wait_for(over);
        let in_time = match patience {
            None => ended.await.is_ok(),
            Some(patience) => tokio::time::timeout(patience, ended).await.is_ok(),
        };
        if !in_time {
            self.signal(&cell, KILL)?;
            let ended = life.wait_for(over);
            if tokio::time::timeout(KILL_TIMEOUT, ended).await.is_err() {
                return Err(Error::Conflict(stuck(&cell)));
            }
        }
        self.house.tell(&cell, "stop", &[]);
        Ok(Change::Done)
    }

    /// Stop (when it runs) and start. Goes on to its end when the caller goes away: between the two nobody wants it left.
    pub async fn restart(&self, name: &str, request: StopRequest) -> Result<()> {
        let cell = self.house.shelf.find(name)?;
        let engine = self.clone();
        let restarted = tokio::spawn(async move { engine.restart_cell(cell, request).await });
        restarted.await.map_err(|e| Error::Conflict(format!("the restart was interrupted: {e}")))?
    }

    async fn restart_cell(&self, cell: Arc<Cell>, request: StopRequest) -> Result<()> {
        let kept = Kept::new(&cell);
        self.stop(&cell.id.to_string(), request).await?;
        let engine = self.clone();
        in_turn(&cell, move |cell| {
            let _kept = kept;
            match cell.status() {
                Status::Running | Status::Paused => Ok(()),
                Status::Removing | Status::Dead => Err(Error::Removing(cell.name())),
                Status::Created | Status::Exited | Status::Restarting => {
                    begin_anew(cell);
                    engine.start_in_turn(cell)
                }
            }
        })
        .await?;
        self.house.tell(&cell, "restart", &[]);
        Ok(())
    }

    /// Remembers that the user wants it stopped. A start, an end or a removal under way is waited for: what comes out of it
    /// counts.
    pub(super) async fn mark_stopped(&self, cell: &Arc<Cell>) -> Result<Stopping> {
        if mark_running(self, cell) {
            return Ok(Stopping::Runs);
        }
        let engine = self.clone();
        in_turn(cell, move |cell| {
            if mark_running(&engine, cell) {
                return Ok(Stopping::Runs);
            }
            Ok(if engine.cancel_restart(cell) { Stopping::Waited } else { Stopping::Over })
        })
        .await
    }

    /// Of one that waits for its restart: it does not come. `false` when it does not wait. The caller holds its turn.
    fn cancel_restart(&self, cell: &Cell) -> bool {
        let mut waited = false;
        cell.change(|state| {
            waited = state.status == Status::Restarting;
            if waited {
                state.stopped_by_user = true;
                state.status = Status::Exited;
            }
        });
        if waited {
            self.house.save(cell);
        }
        waited
    }

    /// Sends a signal to the first process.
    pub fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let cell = self.house.shelf.find(name)?;
        let number = match signal.filter(|text| !text.is_empty()) {
            None => KILL,
            Some(text) => parse_signal(text)?,
        };
        if lock(&cell.live).is_none() {
            // A start under way is waited for: what comes out of it counts.
            let _turn = lock(&cell.turn);
            if lock(&cell.live).is_none() {
                return if self.cancel_restart(&cell) { Ok(()) } else { Err(Error::NotRunning(cell.id.to_string())) };
            }
        }
        if stops(&cell.record().config, number) {
            cell.change(|state| state.stopped_by_user = true);
            self.house.save(&cell);
        }
        self.signal(&cell, number)
    }

    /// To the first process by its pidfd: never to a stranger. A paused container is thawed for what stops it.
    ///
    /// It is told while `live` is held, as the end of the process is told after that was taken: `kill` comes before `die`.
    pub(crate) fn signal(&self, cell: &Cell, number: i32) -> Result<()> {
        let live = lock(&cell.live);
        let Some(live) = live.as_ref() else { return Ok(()) };
        let sent = sys::pidfd::send_signal(&live.pidfd, number);
        if cell.status() == Status::Paused && stops(&cell.record().config, number) {
            live.group.thaw()?;
            cell.change(|state| state.status = Status::Running);
        }
        match sent {
            Err(e) if e.raw_os_error() != Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Err(Error::Io { action: format!("send signal {number} to {}", cell.id), source: e })
            }
            _ => {
                self.house.tell(cell, "kill", &[("signal", number.to_string())]);
                Ok(())
            }
        }
    }
}

pub(crate) const KILL: i32 = 9;

/// What there is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopping {
    /// A process.
    Runs,
    /// It waited for its restart, and does not any more.
    Waited,
    /// Nothing.
    Over,
}

/// Keeps a container that is to be removed at its end while it is restarted, as Docker does.
struct Kept(Arc<Cell>);

impl Kept {
    fn new(cell: &Arc<Cell>) -> Kept {
        cell.restarts.fetch_add(1, Ordering::AcqRel);
        Kept(cell.clone())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.restarts.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Does `work` on a blocking thread that holds the container's turn.
pub(super) async fn in_turn<T: Send + 'static>(
    cell: &Arc<Cell>,
    work: impl FnOnce(&Arc<Cell>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let cell = cell.clone();
    let done = tokio::task::spawn_blocking(move || {
        let _turn = lock(&cell.turn);
        work(&cell)
    });
    done.await.map_err(|e| Error::Conflict(format!("the work on a container was interrupted: {e}")))?
}

/// Marks one that runs; `false` when it does not.
fn mark_running(engine: &Engine, cell: &Cell) -> bool {
    let mut runs = false;
    cell.change_silently(|state| {
        runs = matches!(state.status, Status::Running | Status::Paused);
        state.stopped_by_user |= runs;
    });
    if runs {
        engine.house.save(cell);
    }
    runs
}

fn stop_signal(config: &Config, request: &StopRequest) -> Result<i32> {
    let asked = request.signal.as_deref().filter(|text| !text.is_empty());
    match asked.or(config.stop_signal.as_deref().filter(|text| !text.is_empty())) {
        None => parse_signal("TERM"),
        Some(text) => parse_signal(text),
    }
}

/// Whether a signal is one that ends the container.
fn stops(config: &Config, number: i32) -> bool {
    number == KILL || Some(number) == stop_signal(config, &StopRequest::default()).ok()
}

fn parse_signal(text: &str) -> Result<i32> {
    let beyond = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()) && digits.bytes().any(|b| b != b'0');
    base::signal::parse(text).ok_or_else(|| match beyond(text) {
        true => Error::Invalid(format!("the linux daemon does not support signal {text}")),
        false => Error::Invalid(format!("invalid signal: {text}")),
    })
}

fn stuck(cell: &Cell) -> String {
    let pid = cell.state().pid;
    format!(
        "container {} does not end on SIGKILL: process {pid} is held by the kernel (see /proc/{pid}/stack); it ends when the kernel lets it",
        cell.name()
    )
}
