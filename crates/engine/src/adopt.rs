//! What a new engine does with what an earlier one left: containers that run go on, ends that nobody recorded are recorded,
//! everything that belongs to no container is removed.

use crate::Engine;
use crate::containers::{Removal, boots, kill_tree};
use crate::events::now;
use crate::sandbox::POOLED;
use crate::shelf::{Cell, Live};
use crate::streams::{Hub, lock};
use base::Id;
use container::{Container, State, Status};
use keeper::client::{Found, Taken};
use keeper::message::{Event, Exit};
use network::Endpoint;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

/// The exit code of a container whose end nobody saw (the machine went down), as Docker's.
const LOST: u8 = 255;

/// What the state of such a container says when the machine did not go down.
pub(crate) const KEEPER_LOST: &str =
    "the keeper, which is the parent of all containers, has ended (killed?): this container was killed with it";

/// Forgets ends on networks that their container is not to be on: an engine was killed while it put it on one, or took it off.
/// The links go with all others that are nobody's.
pub(crate) fn forget_strays(known: &mut [(Container, State)], networks: &[network::Network]) {
    for (container, state) in known {
        let is_meant = |end: Endpoint| {
            let on = networks.iter().find(|network| network.id == end.network);
            let mut wanted = container.config.endpoints.keys();
            on.is_none_or(|on| wanted.any(|text| *text == on.name || on.id.starts_with(text.as_str())))
        };
        state.endpoints.retain(|value| serde_json::from_value(value.clone()).is_ok_and(is_meant));
    }
}

/// The endpoints of containers that still run.
pub(crate) fn endpoints(known: &[(Container, State)], found: &[Found]) -> Vec<Endpoint> {
    let runs =
        |container: &Container| found.iter().any(|f| f.process.key == container.id && f.process.exited.is_none());
    known.iter().filter(|(container, _)| runs(container)).flat_map(|(_, state)| ends(state)).collect()
}

pub(crate) fn ends(state: &State) -> Vec<Endpoint> {
    state.endpoints.iter().filter_map(|value| serde_json::from_value(value.clone()).ok()).collect()
}

/// Those of them that are on the engine's own bridge.
pub(crate) fn on_bridge(networks: &[network::Network], ends: &[Endpoint]) -> Vec<Endpoint> {
    let own = networks.iter().find(|record| record.name == crate::networks::BRIDGE).map(|record| &record.id);
    ends.iter().filter(|end| end.network.is_empty() || own == Some(&end.network)).cloned().collect()
}

/// Puts all records on the shelf, with what the keeper holds of them. Gives those that are to be started.
pub(crate) fn all(engine: &Engine, known: Vec<(Container, State)>, found: Vec<Found>) -> Vec<Arc<Cell>> {
    let mut found: HashMap<_, _> = found.into_iter().map(|f| (f.process.key, f)).collect();
    let probes: HashSet<Id> = known.iter().filter_map(|(_, state)| state.health.as_ref()?.next).collect();
    // First all are on the shelf, and known to run: what an end takes away may be another container's too.
    let cells: Vec<_> = known.into_iter().map(|(record, state)| shelve(engine, record, state)).collect();
    let mut ended = Vec::new();
    let mut idle = Vec::new();
    for cell in cells {
        match found.remove(&cell.id) {
            Some(f) => ended.extend(resume(engine, &cell, f).map(|end| (cell, end))),
            None => idle.push(cell),
        }
    }
    ended.into_iter().for_each(|(cell, (exit, at))| engine.spawn_exited(cell, exit, at));
    let restart = idle.into_iter().filter_map(|cell| recover(engine, cell)).collect();
    found.into_values().for_each(|f| drop_orphan(engine, f, &probes));
    sweep_folders(engine);
    drop_steps(engine);
    engine.house.shelf.all().iter().for_each(|cell| engine.send_log(cell));
    restart
}

fn shelve(engine: &Engine, record: Container, state: State) -> Arc<Cell> {
    let house = &engine.house;
    let hub = Hub::new(record.id, &house.plumbing, record.config.tty, record.config.stdin_once);
    if let Err(owner) = house.shelf.claim(&record.name, record.id) {
        tracing::error!("containers {owner} and {} have the same name {:?}", record.id, record.name);
    }
    if !record.config.links.is_empty() {
        house.has_links.store(true, Ordering::Release);
    }
    let cell = Cell::new(record, state, hub);
    house.shelf.put(cell.clone());
    cell
}

/// A container of which the keeper has nothing; it is given back when it is to be started.
fn recover(engine: &Engine, cell: Arc<Cell>) -> Option<Arc<Cell>> {
    let auto_remove = cell.record().config.auto_remove;
    match cell.status() {
        // Its end is recorded, its removal was not.
        Status::Exited if auto_remove && cell.state().has_run => {
            drop(engine.erase(&cell, true));
            None
        }
        // It waited for its restart.
        Status::Restarting => Some(cell),
        _ if lost(&cell) => {
            lose(engine, &cell);
            if auto_remove {
                drop(engine.erase(&cell, true));
                return None;
            }
            to_boot(engine, cell, true)
        }
        _ => {
            forget_endpoint(engine, &cell);
            to_boot(engine, cell, false)
        }
    }
}

fn lost(cell: &Cell) -> bool {
    matches!(cell.status(), Status::Running | Status::Paused | Status::Removing)
}

/// The process is there, or has ended while no engine was: then how and when is given.
fn resume(engine: &Engine, cell: &Arc<Cell>, found: Found) -> Option<(Exit, i64)> {
    let house = &engine.house;
    let process = found.process;
    let group = house.groups.of(&cell.id.to_string(), cell.state().group.as_ref());
    // Of one that has ended it may be another's by now.
    let endpoints = if process.exited.is_some() { Vec::new() } else { ends(&cell.state()) };
    let record = cell.record();
    engine.readopt_ends(&record, &endpoints);
    if process.exited.is_none() && cell.status() != Status::Paused {
        // An engine that was killed while it froze the container has told nobody.
        let _ = group.thaw();
    }
    if let Some(started) = found.started {
        let (pid, pidfd, oom_seen) = (started.pid, started.pidfd, engine.watch_oom(&group));
        *lock(&cell.live) = Some(Live { pid, pidfd, group, oom_seen, endpoints, names: None });
        serve_names_again(engine, cell);
        engine.rewire(cell);
        let target = process.log.clone();
        if let Err(e) = cell.hub.connect(started.streams, &target) {
            tracing::error!("cannot take the output of {} over: {e}", cell.id);
        }
    } else if let Err(e) = group.remove() {
        tracing::warn!("cannot remove the cgroup of {}: {}", cell.id, base::chain(&e));
    }
    cell.change(|state| {
        // The probe of the earlier engine may not have ended yet.
        state.health.iter_mut().for_each(|health| health.next = Some(Id::random()));
        state.status = if state.status == Status::Paused { Status::Paused } else { Status::Running };
        state.pid = process.pid;
        state.started_at = process.started_at;
        state.has_run = true;
    });
    house.save(cell);
    if process.exited.is_none() && cell.status() == Status::Running {
        engine.watch_health(cell);
    }
    process.exited
}

/// The name server inside of a container went with the engine that had it.
fn serve_names_again(engine: &Engine, cell: &Cell) {
    let mut live = lock(&cell.live);
    let Some(live) = live.as_mut() else { return };
    let served = crate::networks::network_namespace(live)
        .and_then(|netns| engine.serve_names(&cell.record().config, (netns.as_fd(), None), &live.endpoints));
    match served {
        Ok(names) => live.names = names,
        Err(e) => tracing::error!("cannot serve names to {}: {}", cell.id, base::chain(&e)),
    }
}

/// A container that should run, of which the keeper knows nothing: the machine went down, or another keeper was killed.
fn lose(engine: &Engine, cell: &Cell) {
    if let Some(note) = cell.state().group {
        let group = engine.house.groups.of(&cell.id.to_string(), Some(&note));
        if let Err(e) = group.kill().and_then(|()| group.remove()) {
            tracing::warn!("cannot remove the cgroup of {}: {}", cell.id, base::chain(&e));
        }
    }
    cell.change(|state| {
        state.status = Status::Exited;
        state.pid = 0;
        state.exit_code = LOST.into();
        state.group = None;
        state.finished_at = now();
        state.error = if state.started_at > boot_time() { KEEPER_LOST.to_owned() } else { String::new() };
        state.endpoints.clear();
        state.rewiring = None;
        crate::containers::at_end(&mut state.health);
    });
    crate::containers::end_hooks(&engine.house.roots, &cell.id);
    engine.house.save(cell);
}

/// Of a start that never came to its launch.
fn forget_endpoint(engine: &Engine, cell: &Cell) {
    if !cell.state().endpoints.is_empty() {
        cell.change_silently(|state| state.endpoints.clear());
        engine.house.save(cell);
    }
}

/// The container, marked as waiting for its start, if its policy has this engine start it.
fn to_boot(engine: &Engine, cell: Arc<Cell>, lost: bool) -> Option<Arc<Cell>> {
    if !boots(cell.record().config.restart, &cell.state(), lost) {
        return None;
    }
    cell.change(|state| {
        state.status = Status::Restarting;
        state.restart_count = 0;
    });
    engine.house.save(&cell);
    Some(cell)
}

/// A process of the keeper's without a record: an exec of an earlier engine, or a container that was being removed. Of execs
/// only probes are killed: nobody waits for their answer any more.
fn drop_orphan(engine: &Engine, found: Found, probes: &HashSet<Id>) {
    if let Some(started) = found.started.as_ref().filter(|_| probes.contains(&found.process.key)) {
        kill_tree(started.pid, &started.pidfd);
    }
    if let Some(started) = &found.started
        && found.process.container.is_none()
    {
        let _ = rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::KILL);
    }
    if found.process.exited.is_some() {
        let _ = engine.house.keeper.release(found.process.key);
    }
}

/// Steps of builds that ended with an earlier engine: nobody waits for what they make.
fn drop_steps(engine: &Engine) {
    let steps = engine.house.shelf.all().into_iter().filter(|cell| cell.record().config.layers.is_some());
    for id in steps.map(|cell| cell.id.to_string()) {
        let own = engine.clone();
        engine.house.runtime.spawn(async move {
            if let Err(error) = own.remove(&id, Removal { force: true, volumes: true }).await {
                tracing::warn!("cannot remove {id}, a step of a build: {}", base::chain(&error));
            }
        });
    }
}

/// Removes the groups of containers and sandboxes that are gone. Before this engine makes its first one.
pub(crate) fn sweep_groups(groups: &crate::groups::Groups, found: &[Found]) {
    for name in groups.names().unwrap_or_default() {
        let id = name.parse::<Id>().ok();
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
        let id = entry.file_name().to_str().and_then(|name| name.parse::<Id>().ok());
        if let Some(id) = id
            && house.shelf.get(&id).is_none()
            && let Err(e) = house.roots.discard(&id)
        {
            tracing::warn!("cannot delete {}: {e}", entry.path().display());
        }
    }
}

/// When this machine was started; nanoseconds since the epoch.
fn boot_time() -> i64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    seconds.unwrap_or_default().saturating_mul(1_000_000_000)
}

/// Starts the thread that hears of ends. Those with nothing to wait for are dealt with where they are read.
pub(crate) fn listen(engine: &Engine, events: Receiver<Event>) -> io::Result<()> {
    let weak = Arc::downgrade(&engine.house);
    engine.house.keeper.listen(Box::new(move |event| {
        let Event::Exited { key, exit, .. } = event;
        let engine = weak.upgrade().map(|house| Engine { house });
        engine.map_or(Taken::No, |engine| engine.take_exit(*key, *exit))
    }));
    let engine = engine.clone();
    std::thread::Builder::new().name("listener".into()).stack_size(1 << 20).spawn(move || {
        for event in events {
            let Event::Exited { key, exit, at } = event;
            engine.heard_exit(key, exit, at);
        }
        if !engine.house.closing.load(Ordering::Acquire) {
            keeper_lost(&engine);
        }
    })?;
    Ok(())
}

/// The keeper was killed, and nobody hears of its containers' ends any more: they are killed, and their ends recorded.
fn keeper_lost(engine: &Engine) {
    let house = &engine.house;
    tracing::error!("the keeper is gone (killed?): its containers are killed, and this engine begins anew");
    house.losing_keeper.store(true, Ordering::Release);
    let lost: Vec<Arc<Cell>> = house.shelf.all().into_iter().filter(|cell| lock(&cell.live).is_some()).collect();
    for cell in &lost {
        let killed = lock(&cell.live).as_ref().map(|live| live.group.kill());
        if let Some(Err(e)) = killed {
            tracing::warn!("cannot kill what is left of {}: {}", cell.id, base::chain(&e));
        }
    }
    for cell in &lost {
        engine.exited(cell, Exit::Code(LOST), now());
    }
    house.keeper_lost.send_replace(true);
}
