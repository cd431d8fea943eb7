//! Another name.

use crate::streams::lock;
use crate::{Engine, Error, Result};

impl Engine {
    pub fn rename(&self, name: &str, new_name: &str) -> Result<()> {
        let house = &self.house;
        let cell = house.shelf.find(name)?;
        let _turn = lock(&cell.turn);
        if cell.life.borrow().removed {
            return Err(Error::NoContainer(name.to_owned()));
        }
        let wanted = new_name.strip_prefix('/').unwrap_or(new_name);
        let old = cell.name();
        if wanted.is_empty() {
            return Err(Error::Invalid("Neither old nor new names may be empty".into()));
        }
        if wanted == old {
            return Err(Error::Invalid("Renaming a container with the same name as its current name".into()));
        }
        if !container::name::validate(wanted) {
            return Err(Error::Name(wanted.to_owned()));
        }
        if let Err(owner) = house.shelf.claim(wanted, cell.id) {
            return Err(Error::NameTaken { name: wanted.to_owned(), owner: owner.to_string() });
        }
        let saving = lock(&cell.saving);
        if let Err(e) = house.records.rename(&cell.id, wanted) {
            house.shelf.release(wanted, cell.id);
            return Err(e.into());
        }
        cell.set_name(wanted);
        drop(saving);
        house.shelf.release(&old, cell.id);
        let ends = lock(&cell.live).as_ref().map(|live| live.endpoints.clone()).unwrap_or_default();
        self.rename_ends(&cell.record(), &ends);
        house.tell(&cell, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }
}
