//! What a container changed of its image's files.

use crate::{Engine, Result};
use layer::Change;

impl Engine {
    /// The changed paths, sorted.
    pub fn changes(&self, name: &str) -> Result<Vec<Change>> {
        let cell = self.house.shelf.find(name)?;
        let record = cell.record();
        let lowers = self.lowers(&record)?;
        let folder = self.house.roots.container(&cell.id);
        Ok(self.house.images.layers().changes(&lowers, &folder, self.owner(&record))?)
    }
}
