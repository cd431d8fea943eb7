//! All containers of the engine, found by name, id or id prefix.

use crate::streams::{Hub, lock};
use crate::{Error, Result};
use base::Id;
use container::{Container, State, Status};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// One container: its record, its state, and what is live of it.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) id: Id,
    record: RwLock<Arc<Container>>,
    state: Mutex<State>,
    /// How often record and state have changed; told after each change, before others see it: what was read later is at least
    /// as new, and what was read before it is found unchanged is no newer.
    changes: AtomicU64,
    /// Held during a start, a stop's last part, an exit, a removal: one at a time for each container.
    pub(crate) turn: Mutex<()>,
    /// Held while the state is written to disk, and while the record is changed there and here.
    pub(crate) saving: Mutex<()>,
    /// How many restarts are under way: while there are any, its end does not remove it.
    pub(crate) restarts: AtomicUsize,
    pub(crate) live: Mutex<Option<Live>>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) life: watch::Sender<Life>,
    pub(crate) held_exit: Mutex<HeldExit>,
    pub(crate) execs: Mutex<Vec<Id>>,
    /// Held (alone) while it is frozen, (shared) while an exec is started in it.
    pub(crate) freezing: RwLock<()>,
    /// The delay before its latest restart by its policy.
    pub(crate) backoff: Mutex<Duration>,
    /// While its health is watched; dropped, the watch is over.
    pub(crate) watched: Mutex<Option<watch::Sender<()>>>,
}

/// The end of a process that CRIU has restored: it is the container's only once the whole restoration has succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum HeldExit {
    #[default]
    No,
    Awaited,
    Came(keeper::message::Exit, i64),
}

/// What waiters watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) running: bool,
    /// How many runs have ended.
    pub(crate) exits: u64,
    pub(crate) exit_code: i32,
    pub(crate) removed: bool,
}

/// What exists while the process runs.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) group: crate::groups::Group,
    pub(crate) oom_seen: crate::containers::OomSeen,
    /// Its ends on networks.
    pub(crate) endpoints: Vec<network::Endpoint>,
    /// The name server inside of it, where it has one.
    pub(crate) names: Option<dns::Guard>,
}

impl Cell {
    pub(crate) fn new(record: Container, state: State, hub: Arc<Hub>) -> Arc<Cell> {
        let life = Life { exit_code: state.exit_code, ..Life::default() };
        Arc::new(Cell {
            id: record.id,
            record: RwLock::new(Arc::new(record)),
            state: Mutex::new(state),
            changes: AtomicU64::new(0),
            turn: Mutex::new(()),
            saving: Mutex::new(()),
            restarts: AtomicUsize::new(0),
            live: Mutex::new(None),
            hub,
            life: watch::Sender::new(life),
            held_exit: Mutex::default(),
            execs: Mutex::new(Vec::new()),
            freezing: RwLock::default(),
            backoff: Mutex::new(Duration::ZERO),
            watched: Mutex::new(None),
        })
    }

    pub(crate) fn record(&self) -> Arc<Container> {
        self.record.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn name(&self) -> String {
        self.record().name.clone()
    }

    pub(crate) fn set_name(&self, name: &str) {
        let mut record = self.record.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut record).name = name.to_owned();
        self.changed();
    }

    /// Another record. The caller holds `saving` since it read the one before, and has saved this one.
    pub(crate) fn set_record(&self, record: Container) {
        let mut own = self.record.write().unwrap_or_else(PoisonError::into_inner);
        *own = Arc::new(record);
        self.changed();
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// Looks at the state without a copy of it. What is done must be short.
    pub(crate) fn look_at_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&lock(&self.state))
    }

    /// How often record and state have changed. What is live of it changes before its state does.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn status(&self) -> Status {
        lock(&self.state).status
    }

    /// Changes the state and tells waiters; the new state is returned.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) -> State {
        let now = self.change_silently(change);
        self.announce(0);
        now
    }

    /// Changes the state; waiters hear of it by [`Cell::announce`].
    pub(crate) fn change_silently(&self, change: impl FnOnce(&mut State)) -> State {
        let mut state = lock(&self.state);
        change(&mut state);
        // Before others see it: who finds the count as it was has seen nothing newer.
        self.changed();
        state.clone()
    }

    /// Tells waiters the present state, and that so many runs have ended since the last time.
    pub(crate) fn announce(&self, exits: u64) {
        let now = self.state();
        self.life.send_modify(|life| {
            life.running = matches!(now.status, Status::Running | Status::Paused | Status::Restarting);
            life.exit_code = now.exit_code;
            life.exits += exits;
        });
    }

    /// The process's id while it runs.
    pub(crate) fn pid(&self) -> Result<i32> {
        lock(&self.live).as_ref().map(|live| live.pid).ok_or_else(|| Error::NotRunning(self.id.to_string()))
    }
}

/// All containers.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    cells: RwLock<BTreeMap<Id, Arc<Cell>>>,
    names: Mutex<HashMap<String, Id>>,
}

impl Shelf {
    /// Takes a name for a container; `Err` is who has it.
    pub(crate) fn claim(&self, name: &str, id: Id) -> std::result::Result<(), Id> {
        let mut names = lock(&self.names);
        match names.get(name) {
            Some(owner) if *owner != id => Err(*owner),
            _ => {
                names.insert(name.to_owned(), id);
                Ok(())
            }
        }
    }

    /// Gives a name back, unless it is another container's by now.
    pub(crate) fn release(&self, name: &str, id: Id) {
        let mut names = lock(&self.names);
        if names.get(name) == Some(&id) {
            names.remove(name);
        }
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        lock(&self.names).contains_key(name)
    }

    pub(crate) fn put(&self, cell: Arc<Cell>) {
        self.cells.write().unwrap_or_else(PoisonError::into_inner).insert(cell.id, cell);
    }

    pub(crate) fn take(&self, id: &Id) {
        let taken = self.cells.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(cell) = taken {
            self.release(&cell.name(), cell.id);
        }
    }

    pub(crate) fn get(&self, id: &Id) -> Option<Arc<Cell>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Cell>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// By full id, name, or unique id prefix: in this order, as Docker does.
    pub(crate) fn find(&self, text: &str) -> Result<Arc<Cell>> {
        let wanted = text.strip_prefix('/').unwrap_or(text);
        let missing = || Error::NoContainer(text.to_owned());
        if let Ok(id) = wanted.parse::<Id>() {
            return self.get(&id).ok_or_else(missing);
        }
        let named = lock(&self.names).get(wanted).copied();
        if let Some(cell) = named.and_then(|id| self.get(&id)) {
            return Ok(cell);
        }
        if wanted.is_empty() || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        let mut matching = cells.values().filter(|cell| cell.id.to_string().starts_with(wanted));
        match (matching.next(), matching.next()) {
            (Some(cell), None) => Ok(cell.clone()),
            (Some(_), Some(_)) => Err(Error::AmbiguousContainer(text.to_owned())),
            (None, _) => Err(missing()),
        }
    }
}
