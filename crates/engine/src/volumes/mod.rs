//! Use cases of volumes, a file each.

mod events;
mod hold;
mod make;
mod remove;
mod rename;

pub(crate) use hold::{Held, Holds as VolumeHolds};
pub use make::VolumeMake;
pub use remove::VolumesPruned;

use crate::shelf::Cell;
use crate::{Engine, Result};
use std::sync::Arc;
use volume::Volume;

/// A volume, and whether a container has it, running or not.
#[derive(Debug, Clone)]
pub struct VolumeSeen {
    pub volume: Volume,
    pub used: bool,
}

impl Engine {
    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<VolumeSeen>> {
        let used = self.used_volumes();
        let seen = |volume: Volume| VolumeSeen { used: used.contains(&volume.name), volume };
        Ok(self.house.volumes.list()?.into_iter().map(seen).collect())
    }

    pub fn volume(&self, name: &str) -> Result<Volume> {
        Ok(self.house.volumes.get(name)?)
    }

    /// The names of volumes that some container has.
    fn used_volumes(&self) -> std::collections::HashSet<String> {
        let names = |cell: &Arc<Cell>| {
            let record = cell.record();
            record.mounts.iter().map(|mount| mount.volume.clone()).collect::<Vec<_>>()
        };
        self.house.shelf.all().iter().flat_map(names).filter(|name| !name.is_empty()).collect()
    }

    /// The containers that have a volume.
    fn users_of(&self, volume: &str) -> Vec<Arc<Cell>> {
        let has = |cell: &Arc<Cell>| cell.record().mounts.iter().any(|mount| mount.volume == volume);
        self.house.shelf.all().into_iter().filter(has).collect()
    }
}
