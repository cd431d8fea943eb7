//! What a new engine does with what an earlier one left: containers that run go on, ends that nobody recorded are recorded,
//! everything that belongs to no container is removed.

use crate::Engine;
use crate::events::now;
use crate::sandbox::POOLED;
use crate::shelf::{Cell, Live};
use crate::streams::{Hub, lock};
use container::{Container, RestartPolicy, State, Status};
use keeper::client::Found;
use keeper::message::Event;
use network::Endpoint;
use std::collections::HashMap;
use std::io;
use std::sync::mpsc::Receiver;

/// The exit code of a container whose end nobody saw (the machine went down), as Docker's.
const LOST: i32 = 255;

/// The endpoints of containers that still run.
pub(crate) fn endpoints(known: &[(Container, State)], found: &[Found]) -> Vec<Endpoint> {
    let runs =
        |container: &Container| found.iter().any(|f| f.process.key == container.id && f.process.exited.is_none());
    known.iter().filter(|(container, _)| runs(container)).filter_map(|(_, state)| endpoint(state)).collect()
}

pub(crate) fn endpoint(state: &State) -> Option<Endpoint> {
    state.endpoint.clone().and_then(|value| serde_json::from_value(value).ok())
}

/// Puts all records on the shelf, with what the keeper holds of them.
pub(crate) fn all(engine: &Engine, known: Vec<(Container, State)>, found: Vec<Found>) {
    let mut found: HashMap<_, _> = found.into_iter().map(|f| (f.process.key, f)).collect();
    let mut restart = Vec::new();
    for (record, state) in known {
        let cell = shelve(engine, record, state);
        match found.remove(&cell.id) {
            Some(f) => resume(engine, &cell, f),
            // Its end is recorded, its removal was not.
            None if cell.record().config.auto_remove && cell.state().has_run && cell.status() == Status::Exited => {
                drop(engine.erase(&cell, true));
            }
            None if lost(&cell) => {
                lose(engine, &cell);
                restart.push(cell);
            }
            None => forget_endpoint(engine, &cell),
        }
    }
    let orphans: Vec<Found> = found.into_values().collect();
    orphans.into_iter().for_each(|f| drop_orphan(engine, f));
    sweep_folders(engine);
    for cell in restart {
        start_again(engine, &cell);
    }
}

fn shelve(engine: &Engine, record: Container, state: State) -> std::sync::Arc<Cell> {
    let house = &engine.house;
    let hub = Hub::new(record.id, &house.plumbing, record.config.tty, record.config.stdin_once);
    if let Err(owner) = house.shelf.claim(&record.name, record.id) {
        tracing::error!("containers {owner} and {} have the same name {:?}", record.id, record.name);
    }
    let cell = Cell::new(record, state, hub);
    house.shelf.put(cell.clone());
    cell
}

fn lost(cell: &Cell) -> bool {
    matches!(cell.status(), Status::Running | Status::Paused | Status::Restarting | Status::Removing)
}

/// The process is there, or has ended while no engine was.
fn resume(engine: &Engine, cell: &std::sync::Arc<Cell>, found: Found) {
    let house = &engine.house;
    let process = found.process;
    let group = house.groups.get(&cell.id.to_string());
    // Of one that has ended it may be another's by now.
    let endpoint = if process.exited.is_some() { None } else { endpoint(&cell.state()) };
    if let Some(started) = found.started {
        *lock(&cell.live) = Some(Live { pid: started.pid, pidfd: started.pidfd, group, endpoint });
        let target = process.log.clone();
        if let Err(e) = cell.hub.connect(started.streams, &target) {
            tracing::error!("cannot take the output of {} over: {e}", cell.id);
        }
    }
    cell.change(|state| {
        state.status = if state.status == Status::Paused { Status::Paused } else { Status::Running };
        state.pid = process.pid;
        state.started_at = process.started_at;
        state.has_run = true;
    });
    house.save(cell);
    if let Some((exit, at)) = process.exited {
        engine.spawn_exited(cell.clone(), exit, at);
    }
}

/// A container that should run, of which the keeper knows nothing.
fn lose(engine: &Engine, cell: &Cell) {
    cell.change(|state| {
        state.status = Status::Exited;
        state.pid = 0;
        state.exit_code = LOST;
        state.finished_at = now();
        state.endpoint = None;
    });
    engine.house.save(cell);
}

/// Of a start that never came to its launch.
fn forget_endpoint(engine: &Engine, cell: &Cell) {
    if cell.state().endpoint.is_some() {
        cell.change_silently(|state| state.endpoint = None);
        engine.house.save(cell);
    }
}

fn start_again(engine: &Engine, cell: &std::sync::Arc<Cell>) {
    let config = &cell.record().config;
    if config.auto_remove {
        let _ = engine.erase(cell, true);
        return;
    }
    let wanted = match config.restart {
        RestartPolicy::Always | RestartPolicy::OnFailure { .. } => true,
        RestartPolicy::UnlessStopped => !cell.state().stopped_by_user,
        RestartPolicy::No => false,
    };
    if wanted && let Err(e) = engine.start(&cell.id.to_string()) {
        tracing::warn!("cannot start {} again: {}", cell.id, base::chain(&e));
    }
}

/// A process of the keeper's without a record: an exec of an earlier engine, or a container that was being removed.
fn drop_orphan(engine: &Engine, found: Found) {
    if let Some(started) = &found.started
        && found.process.container.is_none()
    {
        let _ = rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::KILL);
    }
    if found.process.exited.is_some() {
        let _ = engine.house.keeper.release(found.process.key);
    }
}

/// Removes the groups of containers and sandboxes that are gone. Before this engine makes its first one.
pub(crate) fn sweep_groups(groups: &crate::groups::Groups, found: &[Found]) {
    for name in groups.names().unwrap_or_default() {
        let id = name.parse::<base::Id>().ok();
        let lives = id.is_some_and(|id| found.iter().any(|f| f.process.key == id && f.process.exited.is_none()));
        if lives || !(id.is_some() || name.starts_with(POOLED)) {
            continue;
        }
        let group = groups.get(&name);
        // An engine that was killed while it renamed a group left a part of it in each name: killing one part may fail.
        let killed = group.kill();
        if let Err(e) = group.remove() {
            tracing::debug!("killing group {name}: {killed:?}");
            tracing::warn!("cannot remove group {name}: {}", base::chain(&e));
        }
    }
}

/// Removes folders that belong to no container.
fn sweep_folders(engine: &Engine) {
    let house = &engine.house;
    let Ok(entries) = std::fs::read_dir(house.roots.containers()) else { return };
    for entry in entries.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse::<base::Id>().ok());
        if let Some(id) = id
            && house.shelf.get(&id).is_none()
            && let Err(e) = house.roots.discard(&id)
        {
            tracing::warn!("cannot delete {}: {e}", entry.path().display());
        }
    }
}

/// Starts the thread that hears of ends.
pub(crate) fn listen(engine: &Engine, events: Receiver<Event>) -> io::Result<()> {
    let engine = engine.clone();
    std::thread::Builder::new().name("listener".into()).stack_size(256 << 10).spawn(move || {
        for event in events {
            let Event::Exited { key, exit, at } = event;
            engine.heard_exit(key, exit, at);
        }
        if !engine.house.closing.load(std::sync::atomic::Ordering::Acquire) {
            // Whatever it still holds, only a new engine can take over.
            tracing::error!(
                "the connection to the keeper is lost: this engine ends, the next one adopts the containers"
            );
            std::process::exit(1);
        }
    })?;
    Ok(())
}
