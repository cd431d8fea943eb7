//! The end of a name, or of an image.

use super::told::Subject;
use crate::{Engine, Error, Result};
use base::Digest;

impl Engine {
    /// Docker's rules; an image that a container stands on is refused, by force only its names go.
    pub fn image_remove(&self, name: &str, force: image::Force) -> Result<Vec<image::Removed>> {
        let wanted = self.house.images.get(name)?;
        // With a name for several platforms go all of them.
        let all = [vec![wanted.id], self.house.images.members_of(&wanted.id)].concat();
        let going = self.house.holds.leave(all.iter().copied());
        let users: Vec<_> =
            self.house.shelf.all().into_iter().filter(|cell| all.contains(&cell.record().image_id)).collect();
        let last_name = wanted.tags.len() <= 1 || wanted.id.to_string() == name || wanted.id.hex().starts_with(name);
        if let Some(cell) = users.first()
            && last_name
        {
            let runs = crate::streams::lock(&cell.live).is_some();
            if runs || force == image::Force::No {
                return Err(Error::Conflict(in_use(name, &wanted, cell, runs)));
            }
        }
        let used = [going.held.clone(), self.images_in_use()].concat();
        let removed = self.house.images.remove(name, force, &used)?;
        going.held.iter().for_each(|id| self.house.holds.unwant(id));
        for step in &removed {
            match step {
                // As in Docker these are named by the image's id.
                image::Removed::Untagged(_) => self.tell_image("untag", Subject::of(&wanted)),
                image::Removed::Deleted(digest) if all.contains(digest) => self.tell_deleted(digest),
                // Layers: an event is about an image.
                image::Removed::Deleted(_) => {}
            }
        }
        Ok(removed)
    }

    /// Removes the images of a name for these platforms, and leaves the others.
    pub fn image_remove_platforms(
        &self,
        name: &str,
        platforms: &[oci::image::Platform],
    ) -> Result<Vec<image::Removed>> {
        let wanted = self.house.images.get(name)?;
        let all = [vec![wanted.id], self.house.images.members_of(&wanted.id)].concat();
        let going = self.house.holds.leave(all.iter().copied());
        let used = [going.held.clone(), self.images_in_use()].concat();
        let removed = self.house.images.remove_platforms(name, platforms, &used)?;
        for step in &removed {
            if let image::Removed::Deleted(digest) = step
                && all.contains(digest)
            {
                self.tell_deleted(digest);
            }
        }
        Ok(removed)
    }

    /// The images that containers stand on, or have mounted.
    pub(super) fn images_in_use(&self) -> Vec<Digest> {
        let of = |record: &container::Container| {
            let mounted =
                record.mounts.iter().filter(|m| matches!(m.request.source, container::MountSource::Image { .. }));
            let mounted = mounted.filter_map(|mount| mount.source.parse().ok());
            mounted.chain([record.image_id]).collect::<Vec<Digest>>()
        };
        self.house.shelf.all().iter().flat_map(|cell| of(&cell.record())).collect()
    }

    pub(super) fn tell_deleted(&self, id: &Digest) {
        let id = id.to_string();
        self.tell_image("delete", Subject { actor: id.clone(), name: id, ..Subject::default() });
    }
}

fn in_use(name: &str, image: &image::Image, cell: &crate::shelf::Cell, runs: bool) -> String {
    let by_id = image.id.hex().starts_with(name.trim_start_matches("sha256:"));
    let container = cell.id.short();
    match (by_id, runs) {
        (true, true) => format!(
            "conflict: unable to delete {} (cannot be forced) - image is being used by running container {container}",
            image.id.short()
        ),
        (true, false) => format!(
            "conflict: unable to delete {} (must be forced) - image is being used by stopped container {container}",
            image.id.short()
        ),
        (false, true) => format!(
            "conflict: unable to remove repository reference \"{name}\" (cannot be forced) - container {container} is using its referenced image {}",
            image.id.short()
        ),
        (false, false) => format!(
            "conflict: unable to remove repository reference \"{name}\" (must force) - container {container} is using its referenced image {}",
            image.id.short()
        ),
    }
}
