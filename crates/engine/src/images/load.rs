//! Images out of archives.

use super::told::Subject;
use crate::{Engine, Result};
use base::Digest;
use std::io::Read;

impl Engine {
    pub fn image_load(&self, archive: &mut dyn Read, progress: &mut dyn FnMut(image::Progress)) -> Result<()> {
        let mut loaded = Vec::new();
        let done = self.house.images.load(archive, &mut |step| {
            match &step {
                image::Progress::Loaded { tag } => loaded.push(tag.clone()),
                image::Progress::LoadedUntagged { id } => loaded.push(id.to_string()),
                image::Progress::Layer { .. } | image::Progress::LayerDone { .. } => {}
            }
            progress(step);
        });
        for image in loaded.iter().filter_map(|name| self.house.images.get(name).ok()) {
            self.house.images.touch(&image.id);
            self.tell_image("load", Subject::of(&image));
        }
        self.keep_budget();
        Ok(done?)
    }

    pub fn image_import(&self, tar: &mut dyn Read, import: &image::Import) -> Result<Digest> {
        let id = self.house.images.import(tar, import)?;
        let image = self.house.images.get(&id.to_string())?;
        self.house.images.touch(&id);
        if let Some(name) = &import.reference {
            let name = image::Reference::parse(name).map_or_else(|_| name.clone(), |name| name.or_latest().familiar());
            self.tell_image("tag", Subject::of(&image).named(name));
        }
        self.tell_image("import", Subject::of(&image));
        self.keep_budget();
        Ok(id)
    }
}
