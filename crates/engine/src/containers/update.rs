//! Other limits and another restart policy for a container, at once when it runs.

use crate::streams::lock;
use crate::{Engine, Error};
use container::{Config, Container, Status};
use oci::runtime::Resources;

/// What changes.
#[derive(Debug, Clone)]
pub struct Update {
    /// What the container is from now on.
    pub config: Config,
    /// What its groups are told; device rules stay as they are.
    pub live: Resources,
}

impl Engine {
    /// Changes a container to what `change` makes of it; nothing else happens to the container meanwhile. Its error is given back.
    pub fn update<E: From<Error>>(
        &self,
        name: &str,
        change: impl FnOnce(&Container) -> Result<Update, E>,
    ) -> Result<(), E> {
        let house = &self.house;
        let cell = house.shelf.find(name)?;
        let _turn = lock(&cell.turn);
        if matches!(cell.status(), Status::Removing | Status::Dead) {
            let why = "container is marked for removal and cannot be \"update\"";
            return Err(Error::Conflict(format!("Cannot update container {}: {why}", cell.id)).into());
        }
        let _saving = lock(&cell.saving);
        let mut record = Container::clone(&cell.record());
        let update = change(&record)?;
        let group = lock(&cell.live).as_ref().map(|live| live.group.clone());
        if let Some(group) = group {
            let refused = |source| Error::Update { id: cell.id.to_string(), source };
            group.update(&update.live).map_err(refused)?;
        }
        record.config = update.config;
        house.records.save_record(&record).map_err(Error::from)?;
        cell.set_record(record);
        house.tell(&cell, "update", &[]);
        Ok(())
    }
}
