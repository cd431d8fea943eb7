//! Images into an archive.

use super::told::Subject;
use crate::{Engine, Error, Result};
use oci::image::Platform;
use std::collections::BTreeMap;
use std::io::Write;

impl Engine {
    /// Writes images as one archive. No lock is held while `sink` is slow.
    pub fn image_save(&self, names: &[String], platform: Option<&Platform>, sink: &mut dyn Write) -> Result<()> {
        if names.is_empty() {
            return Err(Error::Invalid("no images to save: name at least one".into()));
        }
        self.house.images.save(names, platform, sink)?;
        let saved: BTreeMap<_, _> = names.iter().flat_map(|name| self.meant_by(name)).map(|i| (i.id, i)).collect();
        for image in saved.values() {
            self.tell_image("save", Subject::of(image));
        }
        Ok(())
    }

    /// A name without a tag means every tag of its repository.
    fn meant_by(&self, name: &str) -> Vec<image::Image> {
        let repository = image::Reference::parse(name).ok().filter(|r| r.tag.is_none() && r.digest.is_none());
        let Some(repository) = repository else { return self.image(name).ok().into_iter().collect() };
        let is_of = |tag: &String| image::Reference::parse(tag).is_ok_and(|r| r.name() == repository.name());
        let images = self.images().unwrap_or_default();
        let all: Vec<_> = images.into_iter().filter(|image| image.tags.iter().any(is_of)).collect();
        if all.is_empty() { self.image(name).ok().into_iter().collect() } else { all }
    }
}
