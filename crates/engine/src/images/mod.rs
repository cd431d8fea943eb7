//! Use cases of images.

use crate::{Engine, Result};
use base::Digest;

impl Engine {
    pub fn image(&self, name: &str) -> Result<image::Image> {
        let _ = name;
        todo!()
    }
    pub fn images(&self) -> Result<Vec<image::Image>> {
        todo!()
    }
    pub fn image_tag(&self, source: &str, target: &str) -> Result<()> {
        let _ = (source, target);
        todo!()
    }
    pub fn image_remove(&self, name: &str, force: image::Force) -> Result<Vec<image::Removed>> {
        let _ = (name, force);
        todo!()
    }
    pub fn image_load(&self, archive: &mut dyn std::io::Read, progress: &mut dyn FnMut(image::Progress)) -> Result<()> {
        let _ = (archive, progress);
        todo!()
    }
    pub fn image_import(&self, tar: &mut dyn std::io::Read, import: &image::Import) -> Result<Digest> {
        let _ = (tar, import);
        todo!()
    }
}
