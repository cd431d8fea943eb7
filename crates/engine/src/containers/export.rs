//! The whole root of a container as one tar.

use crate::{Engine, Result};
use std::io::Write;

impl Engine {
    /// Writes the files of a container, whether it runs or not. No lock is held while `sink` is slow.
    pub fn export(&self, name: &str, sink: &mut dyn Write) -> Result<()> {
        let cell = self.house.shelf.find(name)?;
        self.refuse_dying(&cell, "export")?;
        let record = cell.record();
        let lowers = self.lowers(&record)?;
        let folder = self.house.roots.container(&cell.id);
        self.house.images.layers().export(&lowers, &folder, self.owner(&record), sink)?;
        self.house.tell(&cell, "export", &[]);
        Ok(())
    }
}
