//! Checks of what is stored, and the budget that images keep to.

use crate::{Engine, Result};
use image::upkeep::{Mend, Report};

impl Engine {
    /// Reads everything again and tells what is wrong; `tell` gets what is looked at.
    pub fn image_check(&self, mend: Mend, tell: &mut dyn FnMut(&str)) -> Result<Report> {
        Ok(self.house.images.check(mend, tell)?)
    }

    /// Removes what was not used for longest when images take up more than they may.
    pub(super) fn keep_budget(&self) {
        let Some(budget) = self.house.settings.disk_budget else { return };
        match self.house.images.evict(budget, &self.images_in_use()) {
            Ok(gone) => gone.iter().for_each(|id| {
                tracing::info!(%id, "image removed: the disk budget is used up");
                self.tell_deleted(id);
            }),
            Err(error) => tracing::warn!("cannot keep the disk budget: {}", base::chain(&error)),
        }
    }
}
