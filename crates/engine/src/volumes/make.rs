//! A volume is made.

use crate::{Engine, Result};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use volume::Volume;

/// What is asked of a new volume.
#[derive(Debug, Clone, Default)]
pub struct VolumeMake {
    /// `None` makes an anonymous one.
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
}

impl Engine {
    /// Makes a volume; one that is there already is returned as it is.
    pub fn volume_create(&self, make: VolumeMake) -> Result<Volume> {
        let _shared = self.house.volumes_in_use.read().unwrap_or_else(PoisonError::into_inner);
        Ok(self.volume_for(make)?.volume)
    }

    /// The same for a container; the caller keeps volumes from being removed.
    pub(crate) fn volume_for(&self, make: VolumeMake) -> Result<volume::Made> {
        let made = self.house.volumes.create_with(make.name.as_deref(), make.labels, make.options)?;
        if made.is_new {
            self.tell_volume("create", &made.volume.name, &[]);
        }
        Ok(made)
    }

    /// Makes the volume `new` of what another holds at this moment; files that are written meanwhile are there in part.
    pub fn volume_clone(&self, name: &str, new: &str) -> Result<Volume> {
        let _shared = self.house.volumes_in_use.read().unwrap_or_else(PoisonError::into_inner);
        let volume = self.house.volumes.clone_volume(name, new)?;
        self.tell_volume("create", new, &[]);
        Ok(volume)
    }
}
