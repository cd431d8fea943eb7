//! A further name.

use super::told::Subject;
use crate::{Engine, Result};

impl Engine {
    pub fn image_tag(&self, source: &str, target: &str) -> Result<()> {
        self.house.images.tag(source, target)?;
        let image = self.house.images.get(source)?;
        let name =
            image::Reference::parse(target).map_or_else(|_| target.to_owned(), |name| name.or_latest().familiar());
        self.tell_image("tag", Subject::of(&image).named(name));
        Ok(())
    }
}
