//! What images and volumes take up.

use crate::containers::folder_bytes;
use crate::{Engine, Result};
use image::upkeep::Usage;
use volume::Volume;

/// A volume and what it takes up.
#[derive(Debug, Clone)]
pub struct VolumeUsage {
    pub volume: Volume,
    /// Bytes of its files.
    pub size: u64,
    /// Containers that mount it.
    pub references: usize,
}

impl Engine {
    pub fn image_usage(&self) -> Result<Usage> {
        Ok(self.house.images.usage()?)
    }

    pub fn volume_usage(&self) -> Result<Vec<VolumeUsage>> {
        let records: Vec<_> = self.house.shelf.all().iter().map(|cell| cell.record()).collect();
        let of = |volume: Volume| {
            let names = |record: &container::Container| record.mounts.iter().any(|mount| mount.volume == volume.name);
            let references = records.iter().filter(|record| names(record)).count();
            VolumeUsage { size: folder_bytes(&volume.mountpoint), references, volume }
        };
        Ok(self.house.volumes.list()?.into_iter().map(of).collect())
    }
}
