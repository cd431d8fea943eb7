//! Use cases of images.

use crate::events::{Event, EventKind, now};
use crate::{Engine, Error, Result};
use base::Digest;
use std::collections::BTreeMap;

impl Engine {
    pub fn image(&self, name: &str) -> Result<image::Image> {
        Ok(self.house.images.get(name)?)
    }

    /// All images, the newest first.
    pub fn images(&self) -> Result<Vec<image::Image>> {
        Ok(self.house.images.list()?)
    }

    pub fn image_tag(&self, source: &str, target: &str) -> Result<()> {
        self.house.images.tag(source, target)?;
        let id = self.house.images.get(source)?.id;
        let name = image::Reference::parse(target).map_or_else(|_| target.to_owned(), |name| name.familiar());
        self.tell_image("tag", &id.to_string(), &name);
        Ok(())
    }

    /// Docker's rules; an image that a container stands on is refused, by force only its names go.
    pub fn image_remove(&self, name: &str, force: image::Force) -> Result<Vec<image::Removed>> {
        let wanted = self.house.images.get(name)?;
        let users: Vec<_> =
            self.house.shelf.all().into_iter().filter(|cell| cell.record().image_id == wanted.id).collect();
        let last_name = wanted.tags.len() <= 1 || wanted.id.to_string() == name || wanted.id.hex().starts_with(name);
        if let Some(cell) = users.first()
            && last_name
        {
            let runs = crate::streams::lock(&cell.live).is_some();
            if runs || force == image::Force::No {
                return Err(Error::Conflict(in_use(name, &wanted, cell, runs)));
            }
        }
        let in_use: Vec<Digest> = self.house.shelf.all().iter().map(|cell| cell.record().image_id).collect();
        let removed = self.house.images.remove(name, force, &in_use)?;
        for step in &removed {
            match step {
                // As in Docker these are named by the image's id.
                image::Removed::Untagged(_) => self.tell_image("untag", &wanted.id.to_string(), &wanted.id.to_string()),
                image::Removed::Deleted(digest) => {
                    self.tell_image("delete", &digest.to_string(), &digest.to_string());
                }
            }
        }
        Ok(removed)
    }

    pub fn image_load(&self, archive: &mut dyn std::io::Read, progress: &mut dyn FnMut(image::Progress)) -> Result<()> {
        let mut loaded = Vec::new();
        self.house.images.load(archive, &mut |step| {
            if let image::Progress::Loaded { tag } = &step {
                loaded.push(tag.clone());
            }
            progress(step);
        })?;
        for tag in loaded {
            self.tell_image("load", &tag, &tag);
        }
        Ok(())
    }

    pub fn image_import(&self, tar: &mut dyn std::io::Read, import: &image::Import) -> Result<Digest> {
        let id = self.house.images.import(tar, import)?;
        self.tell_image("import", &id.to_string(), import.reference.as_deref().unwrap_or_default());
        Ok(id)
    }

    fn tell_image(&self, action: &str, actor: &str, name: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        let event = Event { kind: EventKind::Image, action: action.into(), actor: actor.into(), attributes, at: now() };
        self.house.events.tell(event);
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
