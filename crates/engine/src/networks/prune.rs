//! Networks that nobody is on.

use super::NetworkView;
use crate::{Engine, Error};

impl Engine {
    /// Removes the networks that people made, that no running container is on, and that `wanted` takes; their names.
    pub fn prune_networks(&self, wanted: impl Fn(&NetworkView) -> bool) -> Vec<String> {
        let mut names = Vec::new();
        for entry in self.house.networks.all() {
            let view = self.view(&entry);
            if entry.is_built_in() || !view.members.is_empty() || !wanted(&view) {
                continue;
            }
            match self.erase_network(&entry) {
                Ok(()) => names.push(entry.record.name.clone()),
                // Somebody came, or took it, meanwhile.
                Err(Error::Denied(_) | Error::NoNetwork(_)) => {}
                Err(e) => tracing::warn!("cannot remove the network {}: {}", entry.record.name, base::chain(&e)),
            }
        }
        names
    }
}
