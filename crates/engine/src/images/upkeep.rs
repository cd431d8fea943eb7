//! Checks of what is stored, and the budget that images keep to.

use crate::{Engine, Result};
use base::Digest;
use image::upkeep::{Mend, Report};

impl Engine {
    /// Reads everything again and tells what is wrong; `tell` gets what is looked at.
    pub fn image_check(&self, mend: Mend, tell: &mut dyn FnMut(&str)) -> Result<Report> {
        Ok(self.house.images.check(mend, tell)?)
    }

    /// Removes what was not used for longest when images take up more than they may. What has just come stays: whoever
    /// wanted it is about to use it.
    pub(super) fn keep_budget(&self, come: &[Digest]) {
        let Some(budget) = self.house.settings.disk_budget else { return };
        let budget = budget.saturating_sub(self.staging_usage());
        let house = &self.house;
        // While images are marked as going, nobody gets hold of them: measured is before.
        if house.images.usage().is_ok_and(|usage| usage.total <= budget) {
            return;
        }
        let all = house.images.list().unwrap_or_default();
        let going = house.holds.leave(all.iter().map(|image| image.id).filter(|id| !come.contains(id)));
        let spared = [come, &going.held, &self.images_in_use()].concat();
        match house.images.evict(budget, &spared) {
            Ok(gone) => gone.iter().for_each(|id| {
                tracing::info!(%id, "image removed: the disk budget is used up");
                self.tell_deleted(id);
            }),
            Err(error) => tracing::warn!("cannot keep the disk budget: {}", base::chain(&error)),
        }
    }
}
