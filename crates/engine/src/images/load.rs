//! Images out of archives.

use super::told::Subject;
use crate::{Engine, Result};
use base::Digest;
use oci::image::Platform;
use std::io::Read;

impl Engine {
    /// Of an archive for several platforms: what is for `platform`, else for this machine.
    pub fn image_load(
        &self,
        archive: &mut dyn Read,
        platform: Option<&Platform>,
        progress: &mut dyn FnMut(image::Progress),
    ) -> Result<()> {
        let mut loaded = Vec::new();
        let done = self.house.images.load_for(archive, platform, &mut |step| {
            match &step {
                image::Progress::Loaded { tag } => loaded.push(tag.clone()),
                image::Progress::LoadedUntagged { id } => loaded.push(id.to_string()),
                image::Progress::Layer { .. } | image::Progress::LayerDone { .. } => {}
            }
            progress(step);
        });
        let come: Vec<_> = loaded.iter().filter_map(|name| self.house.images.get(name).ok()).collect();
        for image in &come {
            self.house.images.touch(&image.id);
            self.tell_image("load", Subject::of(image));
        }
        self.keep_budget(&come.iter().map(|image| image.id).collect::<Vec<_>>());
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
        self.keep_budget(&[id]);
        Ok(id)
    }
}
