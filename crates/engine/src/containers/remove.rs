//! The end of a record.

use super::stop::{KILL, Stopping, in_turn};
use crate::shelf::Cell;
use crate::streams::lock;
use crate::{Engine, Error, Result};
use container::Status;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct Removal {
    /// Kill it when it runs.
    pub force: bool,
    /// Its anonymous volumes too.
    pub volumes: bool,
}

/// How long a killed process may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
    /// Removes a container: its record, its files, its log.
    pub async fn remove(&self, name: &str, removal: Removal) -> Result<()> {
        let cell = self.house.shelf.find(name)?;
        match cell.status() {
            Status::Running if !removal.force => return Err(Error::Running(cell.name())),
            Status::Restarting if !removal.force => return Err(restarting(&cell)),
            Status::Paused if !removal.force => {
                return Err(Error::Conflict(format!(
                    "cannot remove container {:?}: container is paused and must be unpaused first",
                    cell.name()
                )));
            }
            _ => {}
        }
        loop {
            if removal.force {
                self.end(&cell).await?;
            }
            let engine = self.clone();
            let erased = in_turn(&cell, move |cell| {
                if cell.life.borrow().removed {
                    return Ok(true);
                }
                let restarts = cell.status() == Status::Restarting;
                if lock(&cell.live).is_none() && !restarts {
                    return engine.erase(cell, removal.volumes).map(|()| true);
                }
                // Started meanwhile.
                if removal.force { Ok(false) } else { Err(Error::Running(cell.name())) }
            });
            if erased.await? {
                return Ok(());
            }
        }
    }

    async fn end(&self, cell: &Arc<Cell>) -> Result<()> {
        if self.mark_stopped(cell).await? != Stopping::Runs {
            return Ok(());
        }
        let mut life = cell.life.subscribe();
        let before = life.borrow().exits;
        self.signal(cell, KILL)?;
        let ended = life.wait_for(|life| life.exits > before || !life.running || life.removed);
        match tokio::time::timeout(KILL_TIMEOUT, ended).await {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(Error::Conflict(format!("could not kill container {}: it does not end on SIGKILL", cell.name())))
            }
        }
    }

    /// Takes a container that does not run off the shelf, with all it has on disk. The caller holds its turn.
    pub(crate) fn erase(&self, cell: &Arc<Cell>, volumes: bool) -> Result<()> {
        let house = &self.house;
        let before = cell.status();
        cell.change(|state| state.status = Status::Removing);
        if let Err(e) = house.records.remove(&cell.id) {
            cell.change(|state| state.status = before);
            return Err(e.into());
        }
        self.wait_log_sent(cell);
        if cell.record().config.storage_size.is_some() {
            house.images.layers().unlimit(&house.roots.container(&cell.id));
        }
        // Without a record it is gone: what is left of its files the next engine deletes.
        if let Err(e) = house.roots.discard(&cell.id) {
            tracing::warn!("cannot delete the files of {}: {e}", cell.id);
        }
        house.shelf.take(&cell.id);
        self.forget_execs(cell);
        if volumes {
            self.remove_anonymous(cell);
        }
        house.tell(cell, "destroy", &[]);
        cell.hub.finish();
        cell.life.send_modify(|life| {
            life.running = false;
            life.removed = true;
        });
        Ok(())
    }

    fn remove_anonymous(&self, cell: &Cell) {
        let record = cell.record();
        let mut mounts = record.mounts.iter().filter(|mount| mount.anonymous).peekable();
        if mounts.peek().is_none() {
            return;
        }
        let alone = self.house.volumes_in_use.write().unwrap_or_else(PoisonError::into_inner);
        let others = self.house.shelf.all();
        let names = |other: &Arc<Cell>, volume: &str| {
            other.id != cell.id && other.record().mounts.iter().any(|mount| mount.volume == volume)
        };
        let mut gone = Vec::new();
        for mount in mounts.filter(|mount| !others.iter().any(|other| names(other, &mount.volume))) {
            match self.house.volumes.withdraw(&mount.volume) {
                Ok(folder) => {
                    self.tell_volume("destroy", &mount.volume, &[]);
                    gone.push(folder);
                }
                Err(e) => tracing::warn!("cannot remove volume {}: {}", mount.volume, base::chain(&e)),
            }
        }
        // Nobody waits for the files of a large one.
        drop(alone);
        for folder in gone {
            if let Err(e) = volume::remove_tree(&folder) {
                tracing::warn!("cannot delete {}: {e}", folder.display());
            }
        }
    }
}

/// As Docker says it; it runs as far as a removal is concerned.
fn restarting(cell: &Cell) -> Error {
    Error::Conflict(format!(
        "cannot remove container {:?}: container is restarting: stop the container before removing or force remove",
        cell.name()
    ))
}
