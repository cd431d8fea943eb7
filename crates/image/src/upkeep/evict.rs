//! What goes when the disk budget is spent: whole images, the longest unused first.

use super::Weights;
use crate::catalog::Record;
use crate::{Error, Store};
use base::Digest;
use std::time::SystemTime;

impl Store {
    /// Removes the least recently used images that `in_use` does not name until both stores take at most `budget` bytes.
    /// Returns the ids of what went.
    pub fn evict(&self, budget: u64, in_use: &[Digest]) -> Result<Vec<Digest>, Error> {
        let begun = SystemTime::now();
        if self.total()? <= budget {
            return Ok(Vec::new());
        }
        self.collect_garbage()?;
        let victims = self.victims(budget, in_use)?;
        if victims.is_empty() {
            return Ok(victims);
        }
        let gone = self.change(|catalog| {
            let mut gone = Vec::new();
            for id in victims {
                // Somebody wants it after all.
                if self.uses.last(&id).is_some_and(|last| last > begun) {
                    continue;
                }
                // A name of an index is then that of what is left of it.
                catalog.names.retain(|_, name| name.id != id || name.index.is_some());
                gone.extend(catalog.records.remove(&id).map(|record| record.id));
            }
            Ok(gone)
        })?;
        self.uses.retain(|id| !gone.contains(id));
        Ok(gone)
    }

    fn victims(&self, budget: u64, in_use: &[Digest]) -> Result<Vec<Digest>, Error> {
        let mut total = self.total()?;
        let mut weights = Weights::of(&self.stores, self.records())?;
        let mut unused: Vec<_> =
            weights.records.iter().filter(|record| !in_use.contains(&record.id)).cloned().collect();
        unused.sort_by_cached_key(|record| (self.last_use(record), record.id));
        let mut victims = Vec::new();
        for record in unused {
            if total <= budget {
                break;
            }
            total = total.saturating_sub(weights.release(&record));
            victims.push(record.id);
        }
        Ok(victims)
    }

    /// An image that was never used counts from its naming.
    fn last_use(&self, record: &Record) -> SystemTime {
        let tagged = || {
            self.look(|catalog| {
                catalog.image(&record.id).and_then(|image| image.tagged_at.parse::<jiff::Timestamp>().ok())
            })
        };
        let known = self.uses.last(&record.id).or_else(|| tagged().map(SystemTime::from));
        known.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}
