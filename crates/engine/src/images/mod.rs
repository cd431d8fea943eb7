//! Use cases of images, a file each.

mod commit;
mod distribution;
mod holds;
mod load;
mod prune;
mod pull;
mod push;
mod registries;
mod remove;
mod save;
mod tag;
mod told;
mod upkeep;
mod usage;

pub use commit::{Commit, Pausing};
pub use distribution::Distribution;
pub(crate) use holds::Holds;
pub use holds::ImageHold;
pub use prune::Pruned;
pub use pull::{Pull, PullStep, Pulled};
pub use push::{Push, PushStep};
pub(crate) use registries::Exchange;
pub use registries::{Registries, Trust};
pub use usage::VolumeUsage;

use crate::{Engine, Result};
use std::path::PathBuf;

impl Engine {
    pub fn image(&self, name: &str) -> Result<image::Image> {
        Ok(self.house.images.get(name)?)
    }

    /// Of a name for several platforms the image for `platform`, this machine's unless given.
    pub fn image_for(&self, name: &str, platform: Option<&oci::image::Platform>) -> Result<image::Image> {
        Ok(self.house.images.get_for(name, platform)?)
    }

    /// What a name stands for in a registry: an index, or a manifest.
    pub fn image_target(&self, name: &str) -> Option<oci::image::Descriptor> {
        self.house.images.target_of(name)
    }

    /// What an image consists of, for every platform.
    pub fn image_parts(&self, image: &image::Image) -> Vec<image::PartView> {
        self.house.images.parts_of(&image.id)
    }

    /// All images, the newest first.
    pub fn images(&self) -> Result<Vec<image::Image>> {
        Ok(self.house.images.list()?)
    }

    /// The folders of an image's layers, lowest first; none of one that is not here.
    pub fn layer_folders(&self, image: &base::Digest) -> Vec<PathBuf> {
        let layers = self.house.images.layers();
        self.house.images.layers_of(image).iter().map(|layer| layers.diff(layer)).collect()
    }

    /// Bytes of each layer of an image, lowest first. A layer that tells no size has none.
    pub fn layer_sizes(&self, image: &image::Image) -> Vec<u64> {
        let layers = self.house.images.layers();
        image.config.rootfs.diff_ids.iter().map(|layer| layers.size(layer).unwrap_or(0)).collect()
    }
}
