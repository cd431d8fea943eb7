//! The end of a volume, or of all that nobody uses.

use crate::containers::folder_bytes;
use crate::{Engine, Error, EventKind, Result};
use std::path::PathBuf;
use volume::Volume;

/// What a prune took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumesPruned {
    pub names: Vec<String>,
    /// Bytes
    pub reclaimed: u64,
}

impl Engine {
    /// Removes a volume that no container has.
    pub fn volume_remove(&self, name: &str) -> Result<()> {
        let gone = self.alone_with_volumes(|| {
            let volume = self.house.volumes.get(name)?;
            self.check_unused(name)?;
            self.withdraw(&volume)
        })?;
        self.tell_volume("destroy", name, &[]);
        // Nobody waits for the files of a large one.
        volume::remove_tree(&gone).map_err(|source| Error::Io { action: format!("remove volume {name}"), source })
    }

    /// Takes a volume back that was made for a container which did not come to be. Another one may have it by now.
    pub(crate) fn volume_unmake(&self, name: &str) {
        match self.volume_remove(name) {
            Ok(()) | Err(Error::Conflict(_)) => {}
            Err(e) => tracing::warn!("cannot remove volume {name}: {}", base::chain(&e)),
        }
    }

    fn check_unused(&self, name: &str) -> Result<()> {
        let users: Vec<String> = self.users_of(name).iter().map(|cell| cell.id.to_string()).collect();
        match users.is_empty() {
            true => Ok(()),
            false => Err(Error::Conflict(format!("remove {name}: volume is in use - [{}]", users.join(", ")))),
        }
    }

    fn withdraw(&self, volume: &Volume) -> Result<PathBuf> {
        volume.unmount().map_err(|source| Error::Io { action: format!("unmount volume {}", volume.name), source })?;
        Ok(self.house.volumes.withdraw(&volume.name)?)
    }

    /// Removes the volumes that no container has and `chosen` takes. Those with options hold nothing on this disk: they stay.
    pub fn volume_prune(&self, chosen: &dyn Fn(&Volume) -> bool) -> Result<VolumesPruned> {
        let mut pruned = VolumesPruned::default();
        for volume in self.house.volumes.list()? {
            if !volume.options.is_empty() || !chosen(&volume) || !self.users_of(&volume.name).is_empty() {
                continue;
            }
            let bytes = folder_bytes(&volume.mountpoint);
            match self.volume_remove(&volume.name) {
                Ok(()) => {
                    pruned.names.push(volume.name);
                    pruned.reclaimed += bytes;
                }
                // A container took it meanwhile.
                Err(Error::Conflict(_)) => {}
                Err(e) => tracing::warn!("cannot remove volume {}: {}", volume.name, base::chain(&e)),
            }
        }
        self.tell_prune(EventKind::Volume, pruned.reclaimed);
        Ok(pruned)
    }
}
