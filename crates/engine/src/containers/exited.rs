//! From the end of a process to a record of it.
//!
//! The order is what clients rely on: output drained, state and exit code set, `die` told, streams closed, waiters woken; then
//! the restart policy or the automatic removal, `destroy` told, waiters for the removal woken.

use super::{health, hooks};
use crate::adopt::KEEPER_LOST;
use crate::shelf::{Cell, HeldExit, Live};
use crate::streams::lock;
use crate::{Engine, exec};
use base::Id;
use container::{PidMode, Status};
use keeper::client::Taken;
use keeper::message::Exit;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long output may take to drain once the process has ended: what is left then belongs to a process that escaped.
pub(crate) const MOST_DRAINING: Duration = Duration::from_secs(2);

/// How long until a thread is asked for again that could not be had.
const NEXT_THREAD: Duration = Duration::from_millis(100);

impl Engine {
    /// The keeper saw a process end.
    pub(crate) fn heard_exit(&self, key: Id, exit: Exit, at: i64) {
        if let Some(cell) = self.house.shelf.get(&key) {
            let mut held = lock(&cell.held_exit);
            if *held == HeldExit::Awaited {
                *held = HeldExit::Came(exit, at);
                return;
            }
            drop(held);
            self.spawn_exited(cell, exit, at);
            return;
        }
        let exec = lock(&self.house.execs).get(&key).cloned();
        match exec {
            Some(exec) => self.spawn_ended(exec, exit),
            // A container removed meanwhile, or an exec of an earlier engine.
            None => drop(self.house.keeper.let_go(key)),
        }
    }

    /// An end that nobody has to be waited for: that of an exec whose output was all given, while no output is on its way to a log.
    ///
    /// For the thread that reads what the keeper says, which others wait for.
    pub(crate) fn take_exit(&self, key: Id, exit: Exit) -> Taken {
        let exec = lock(&self.house.execs).get(&key).cloned();
        match exec.filter(|exec| exec.is_drained() && self.house.plumbing.is_still()) {
            Some(exec) => {
                self.exec_ended(&exec, exit);
                Taken::Yes
            }
            None => Taken::No,
        }
    }

    /// An end is handled on a thread of its own: it waits for output and for the kernel.
    pub(crate) fn spawn_exited(&self, cell: Arc<Cell>, exit: Exit, at: i64) {
        let engine = self.clone();
        self.in_thread("exited", Arc::new(move || engine.exited(&cell, exit, at)));
    }

    fn spawn_ended(&self, exec: Arc<exec::Exec>, exit: Exit) {
        // With nothing to wait for there is no need of a thread, which would cost more than all the rest of it.
        if exec.is_drained() {
            return self.exec_ended(&exec, exit);
        }
        let engine = self.clone();
        self.in_thread("exec-ended", Arc::new(move || engine.exec_ended(&exec, exit)));
    }

    /// Does `work` on a thread of its own; where none can be had now, later: an end is never lost.
    pub(super) fn in_thread(&self, name: &'static str, work: Arc<dyn Fn() + Send + Sync>) {
        let own = work.clone();
        let thread = std::thread::Builder::new().name(name.into()).stack_size(1 << 20);
        if let Err(e) = thread.spawn(move || own()) {
            tracing::warn!("cannot start a thread, trying again soon: {e}");
            let engine = self.clone();
            self.house.timers.after(NEXT_THREAD, move || engine.in_thread(name, work));
        }
    }

    pub(crate) fn exited(&self, cell: &Arc<Cell>, exit: Exit, at: i64) {
        // Before anything that waits: systemd removes the group of a unit without processes, and its counters with it.
        let killed = |live: &Live| live.oom_seen.get() || live.group.is_placed() && live.group.oom_kills() > 0;
        let oom_seen = lock(&cell.live).as_ref().is_some_and(killed);
        // A very short run ends before its start has returned: its streams are connected once the start gives its turn back.
        drop(lock(&cell.turn));
        health::unwatch(cell);
        self.end_survivors(cell);
        cell.hub.wait_drained(MOST_DRAINING);
        let turn = lock(&cell.turn);
        if !matches!(cell.status(), Status::Running | Status::Paused) {
            // Its end is recorded already: the keeper told it, and was lost at the same time.
            return;
        }
        let live = lock(&cell.live).take();
        let counted = |live: &Live| live.oom_seen.get() || live.group.oom_kills() > 0;
        let oom_killed = oom_seen || live.as_ref().is_some_and(counted);
        let record = cell.record();
        let code = exit.shell_code();
        let mut restart = None;
        cell.change_silently(|state| {
            // Decided with the state held: a stop comes before it, and there is no restart, or finds it restarting.
            restart = self.restart_delay(cell, &record, state, (code, at));
            state.status = if restart.is_some() { Status::Restarting } else { Status::Exited };
            state.pid = 0;
            state.exit_code = code;
            state.oom_killed = oom_killed;
            state.finished_at = at;
            state.restart_count = if restart.is_some() { state.restart_count + 1 } else { state.restart_count };
            state.endpoints.clear();
            state.rewiring = None;
            if self.house.losing_keeper.load(Ordering::Acquire) {
                state.error = KEEPER_LOST.to_owned();
            }
            health::at_end(&mut state.health);
        });
        self.house.save(cell);
        let kept = cell.restarts.load(Ordering::Acquire) > 0;
        let gone = restart.is_none() && record.config.auto_remove && !kept;
        if oom_killed {
            self.house.tell(cell, "oom", &[]);
        }
        let seconds = at.saturating_sub(cell.state().started_at).max(0) / 1_000_000_000;
        if let Some(live) = live {
            // Networks and volumes are left before the end is told, as in Docker 28.
            self.take_down(cell, live);
            self.leave_volumes(cell);
        }
        hooks::end(&self.house.roots, &cell.id);
        self.house.tell(cell, "die", &[("execDuration", seconds.to_string()), ("exitCode", code.to_string())]);
        let _ = self.house.keeper.let_go(cell.id);
        cell.hub.finish();
        cell.announce(1);
        if gone && let Err(e) = self.erase(cell, true) {
            tracing::error!("cannot remove {}: {}", cell.id, base::chain(&e));
        }
        drop(turn);
        match restart {
            // The next engine starts it.
            Some(_) if self.house.losing_keeper.load(Ordering::Acquire) => {}
            Some(delay) => self.restart_later(cell, delay),
            None => {}
        }
    }

    /// Only the end of a pid namespace ends all that is in it: of one that was shared the group is what ends.
    fn end_survivors(&self, cell: &Cell) {
        if cell.record().config.pid == PidMode::Private {
            return;
        }
        let Some(group) = lock(&cell.live).as_ref().map(|live| live.group.clone()) else { return };
        if let Err(e) = group.kill() {
            tracing::warn!("cannot kill what {} left running: {}", cell.id, base::chain(&e));
        }
    }

    /// Ports are free at once; the veth goes with its namespace, without anybody waiting for the kernel.
    fn take_down(&self, cell: &Cell, live: Live) {
        drop(live.names);
        self.leave_networks(&cell.id, &live.endpoints);
        if let Err(e) = live.group.remove() {
            tracing::warn!("cannot remove a group: {}", base::chain(&e));
        }
    }
}
