//! Images that nobody needs.

use crate::events::EventKind;
use crate::{Engine, Result};
use image::{Force, Image, Removed};
use std::collections::HashSet;

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub removed: Vec<Removed>,
    /// Bytes of the layers that are gone.
    pub reclaimed: u64,
}

impl Engine {
    /// Removes the images that no container stands on and that `spare` does not hold back.
    pub fn image_prune(&self, spare: &dyn Fn(&Image) -> bool) -> Result<Pruned> {
        let used: HashSet<_> = self.images_in_use().into_iter().collect();
        let mut pruned = Pruned::default();
        for image in self.images()? {
            let built_in = image.tags.iter().any(|tag| tag.split(':').next() == Some(image::HOST));
            if built_in || used.contains(&image.id) || spare(&image) {
                continue;
            }
            let others = self.house.images.members_of(&image.id);
            if others.iter().any(|id| used.contains(id)) {
                continue;
            }
            let others = others.iter().filter_map(|id| self.image(&id.to_string()).ok());
            let layers: Vec<_> = std::iter::once(image.clone())
                .chain(others)
                .flat_map(|image| image.config.rootfs.diff_ids.clone().into_iter().zip(self.layer_sizes(&image)))
                .collect();
            // One that is used again meanwhile is left alone.
            if let Ok(removed) = self.image_remove(&image.id.to_string(), Force::Yes) {
                pruned.removed.extend(removed);
                let gone = layers.iter().filter(|(layer, _)| !self.house.images.layers().has(layer));
                pruned.reclaimed += gone.map(|(_, size)| size).sum::<u64>();
            }
        }
        self.tell_prune(EventKind::Image, pruned.reclaimed);
        Ok(pruned)
    }
}
