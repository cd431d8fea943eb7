//! The end of a network.

use super::Entry;
use crate::streams::lock;
use crate::{Engine, Error, Result};
use std::sync::{Arc, PoisonError};

impl Engine {
    /// Removes a network that nobody is on.
    pub fn remove_network(&self, text: &str) -> Result<()> {
        let entry = self.house.networks.find(text)?;
        if entry.is_built_in() {
            return Err(Error::Denied(format!("{} is a pre-defined network and cannot be removed", entry.record.name)));
        }
        self.erase_network(&entry)
    }

    pub(super) fn erase_network(&self, entry: &Arc<Entry>) -> Result<()> {
        self.close_network(entry)?;
        let networks = &self.house.networks;
        let down = entry.driver.as_ref().map_or(Ok(()), network::Driver::down);
        let removed = down.and_then(|()| networks.store.remove(&entry.record.id));
        if let Err(e) = removed {
            // It can be tried again.
            lock(&entry.presence).gone = false;
            return Err(e.into());
        }
        networks.all.write().unwrap_or_else(PoisonError::into_inner).remove(&entry.record.id);
        networks.changed();
        self.house.names.names().forget(&entry.record.id);
        self.tell_network(entry, "destroy", None);
        Ok(())
    }

    /// From here on nobody comes.
    fn close_network(&self, entry: &Entry) -> Result<()> {
        let mut presence = lock(&entry.presence);
        if presence.gone {
            return Err(Error::NoNetwork(entry.record.name.clone()));
        }
        if presence.ends.is_empty() {
            presence.gone = true;
            return Ok(());
        }
        let named = |(id, end): (&base::Id, &Option<network::Endpoint>)| {
            let name = self.house.shelf.get(id).map_or_else(|| id.to_string(), |cell| cell.name());
            let end = end.as_ref().map_or("", |end| end.id.get(..12).unwrap_or(&end.id));
            format!("name:{name:?} id:{end:?}")
        };
        let ends: Vec<String> = presence.ends.iter().map(named).collect();
        Err(Error::Denied(format!(
            "error while removing network: network {} has active endpoints ({})",
            entry.record.name,
            ends.join(", ")
        )))
    }
}
