//! What images and volumes take up.

use crate::containers::folder_bytes;
use crate::{Engine, Result};
use image::upkeep::Usage;
use volume::Volume;

/// Where a registry server keeps what is pushed to it (crate registry-server).
const STAGING: &str = "registry";
/// Where it keeps what it fetched from other registries.
const CACHE: &str = "registry-cache";

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
    /// Of the total are also what a registry server on this data root keeps beside the images: what was pushed to it and
    /// is no image, uploads that a dead one left, and its cache.
    pub fn image_usage(&self) -> Result<Usage> {
        let mut usage = self.house.images.usage()?;
        usage.total += self.folder_usage(STAGING) + self.folder_usage(CACHE);
        Ok(usage)
    }

    /// Bytes that are staged by a registry server. Its cache keeps to a limit of its own.
    pub(super) fn staging_usage(&self) -> u64 {
        self.folder_usage(STAGING)
    }

    /// Bytes on disk of a folder of the data root; none when it is not there.
    fn folder_usage(&self, name: &str) -> u64 {
        let path = self.house.settings.data_root.join(name);
        base::tree::disk_usage(&path).unwrap_or_else(|error| {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!("cannot measure {}: {error}", path.display());
            }
            0
        })
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
