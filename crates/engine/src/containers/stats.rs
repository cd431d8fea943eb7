//! What a container uses: one look, or one a second.

use crate::sampler::{Look, Looks, Machine, look};
use crate::{Engine, Error, Result};
use std::sync::Arc;

impl Engine {
    /// One look, now; `None` while the container does not run.
    pub fn look(&self, name: &str) -> Result<Option<Arc<Look>>> {
        let cell = self.house.shelf.find(name)?;
        Ok(look(&cell, Machine::now()))
    }

    /// A look every second, the same for everybody who watches.
    pub fn looks(&self, name: &str) -> Result<Looks> {
        let cell = self.house.shelf.find(name)?;
        let watched = self.house.sampler.watch(&cell);
        watched.map_err(|source| Error::Io { action: "start looking at what containers use".into(), source })
    }
}
