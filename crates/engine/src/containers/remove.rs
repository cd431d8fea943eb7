//! The end of a record.

use super::stop::KILL;
use crate::shelf::Cell;
use crate::streams::lock;
use crate::{Engine, Error, Result};
use container::Status;
use std::sync::Arc;
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
            Status::Running | Status::Restarting if !removal.force => return Err(Error::Running(cell.name())),
            Status::Paused if !removal.force => {
                return Err(Error::Conflict(format!(
                    "cannot remove container {:?}: container is paused and must be unpaused first",
                    cell.name()
                )));
            }
            Status::Running | Status::Paused | Status::Restarting => self.end(&cell).await?,
            _ => {}
        }
        let engine = self.clone();
        let erased = tokio::task::spawn_blocking(move || {
            let _turn = lock(&cell.turn);
            if cell.life.borrow().removed {
                return Ok(());
            }
            if lock(&cell.live).is_some() {
                return Err(Error::Running(cell.name()));
            }
            engine.erase(&cell, removal.volumes)
        });
        erased.await.map_err(|e| Error::Conflict(format!("the removal was interrupted: {e}")))?
    }

    async fn end(&self, cell: &Arc<Cell>) -> Result<()> {
        cell.change(|state| {
            state.stopped_by_user = true;
            if state.status == Status::Restarting {
                state.status = Status::Exited;
            }
        });
        self.signal(cell, KILL)?;
        let mut life = cell.life.subscribe();
        let ended = life.wait_for(|life| !life.running || life.removed);
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
        let state = cell.change(|state| state.status = Status::Removing);
        let discarded = house.roots.discard(&cell.id);
        if let Err(source) = discarded {
            let state = cell.change(|state| state.status = Status::Dead);
            house.save(cell, &state);
            return Err(Error::Io { action: format!("delete the files of {}", cell.id), source });
        }
        if let Err(e) = house.records.remove(&cell.id) {
            house.save(cell, &state);
            return Err(e.into());
        }
        house.shelf.take(&cell.id);
        for exec in std::mem::take(&mut *lock(&cell.execs)) {
            lock(&house.execs).remove(&exec);
        }
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
        for mount in cell.record().mounts.iter().filter(|mount| mount.anonymous) {
            if let Err(e) = self.house.volumes.remove(&mount.volume) {
                tracing::warn!("cannot remove volume {}: {}", mount.volume, base::chain(&e));
            }
        }
    }
}
