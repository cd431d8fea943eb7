//! All containers, for lists: cheap to walk, and dear only where one is looked into.

use super::Snapshot;
use super::start::{kept_ends, kept_ends_of};
use crate::shelf::Cell;
use crate::{Engine, Result};
use base::{Digest, Id};
use container::{Container, NetworkMode, State};
use network::Endpoint;
use std::collections::HashMap;
use std::sync::{Arc, TryLockError};

/// A container in a list.
#[derive(Debug)]
pub struct Listed {
    engine: Engine,
    cell: Arc<Cell>,
    record: Arc<Container>,
    mark: Mark,
}

/// What a container was like: as long as its mark is the same, so is its snapshot but for its execs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    own: u64,
    networks: u64,
    /// Whether the name that its image was asked for by is still that of its image.
    is_named: bool,
}

impl Engine {
    /// All containers, the newest first.
    pub fn listed(&self) -> Vec<Listed> {
        // Many containers are of few images.
        let mut known: HashMap<String, Option<Digest>> = HashMap::new();
        // Read before anything that it marks.
        let networks = self.house.networks.changes();
        let mut listed = |cell: Arc<Cell>| {
            let own = cell.changes();
            let record = cell.record();
            let name = &record.config.image;
            let is_named = match known.get(name) {
                Some(image) => *image == Some(record.image_id),
                None => *known.entry(name.clone()).or_insert(self.image_named(name)) == Some(record.image_id),
            };
            Listed { engine: self.clone(), cell, record, mark: Mark { own, networks, is_named } }
        };
        let mut all: Vec<Listed> = self.house.shelf.all().into_iter().map(&mut listed).collect();
        all.sort_by_key(|listed| std::cmp::Reverse(listed.record.created_at));
        all
    }

    /// One of them, by name, id, or unique id prefix. In memory.
    pub fn find(&self, name: &str) -> Result<Listed> {
        let networks = self.house.networks.changes();
        let cell = self.house.shelf.find(name)?;
        let own = cell.changes();
        let record = cell.record();
        let is_named = self.image_named(&record.config.image) == Some(record.image_id);
        Ok(Listed { engine: self.clone(), cell, record, mark: Mark { own, networks, is_named } })
    }

    /// All containers at one instant, the newest first.
    pub fn list(&self) -> Vec<Snapshot> {
        self.listed().iter().map(Listed::snapshot).collect()
    }
}

impl Listed {
    pub fn id(&self) -> Id {
        self.cell.id
    }

    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Looks at its state; what is done must be short.
    pub fn look_at_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.cell.look_at_state(look)
    }

    /// Whether it has changed since it was found.
    pub fn has_changed(&self) -> bool {
        self.cell.changes() != self.mark.own
    }

    /// Whether there are processes besides its own, which a mark says nothing of.
    pub fn has_execs(&self) -> bool {
        !self.engine.running_execs(&self.cell).is_empty()
    }

    /// Whether what is shown of it is in part another container's, of which its mark says nothing.
    pub fn depends_on_another(&self) -> bool {
        matches!(self.record.config.network, NetworkMode::Container(_))
    }

    /// As it is now, which is no older than its mark.
    pub fn snapshot(&self) -> Snapshot {
        self.engine.snapshot(&self.cell, kept_ends(&self.cell), self.mark.is_named)
    }

    /// As [`snapshot`](Self::snapshot), from memory alone; `None` while something is done to it that may take its time.
    pub fn glimpse(&self) -> Option<Snapshot> {
        Some(self.engine.snapshot(&self.cell, glimpsed_ends(&self.cell)?, self.mark.is_named))
    }
}

/// The ends of a container that runs, unless something is done to it.
fn glimpsed_ends(cell: &Cell) -> Option<Vec<Endpoint>> {
    let live = match cell.live.try_lock() {
        Ok(live) => live,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    let ends = live.as_ref().map(|live| live.endpoints.clone());
    drop(live);
    Some(ends.unwrap_or_else(|| kept_ends_of(cell)))
}
