//! Freeze and thaw.

use super::health;
use crate::streams::lock;
use crate::{Engine, Error, Result};
use container::Status;
use std::sync::PoisonError;

impl Engine {
    /// Freezes all processes of a container.
    pub fn pause(&self, name: &str) -> Result<()> {
        self.freeze(name, Status::Paused)
    }

    /// Lets them go on.
    pub fn unpause(&self, name: &str) -> Result<()> {
        self.freeze(name, Status::Running)
    }

    fn freeze(&self, name: &str, to: Status) -> Result<()> {
        let cell = self.house.shelf.find(name)?;
        let _turn = lock(&cell.turn);
        match (cell.status(), to) {
            (Status::Paused, Status::Paused) => return Err(Error::AlreadyPaused(cell.id.to_string())),
            (Status::Running, Status::Paused) | (Status::Paused, _) => {}
            (_, Status::Paused) => return Err(Error::NotRunning(cell.id.to_string())),
            _ => return Err(Error::NotPaused(cell.id.to_string())),
        }
        if to == Status::Paused {
            health::unwatch(&cell);
        }
        let freezing = cell.freezing.write().unwrap_or_else(PoisonError::into_inner);
        let live = lock(&cell.live);
        let group = &live.as_ref().ok_or_else(|| Error::NotRunning(cell.id.to_string()))?.group;
        let done = if to == Status::Paused { group.freeze() } else { group.thaw() };
        if let Err(e) = done {
            drop(live);
            self.watch_health(&cell);
            return Err(e.into());
        }
        // Before others may send a signal: what stops the container has to know that it is to be thawed.
        cell.change(|state| {
            state.status = to;
            if to == Status::Paused {
                health::at_end(&mut state.health);
            }
        });
        drop(live);
        drop(freezing);
        self.house.save(&cell);
        if to == Status::Running {
            self.watch_health(&cell);
        }
        self.house.tell(&cell, if to == Status::Paused { "pause" } else { "unpause" }, &[]);
        Ok(())
    }
}
