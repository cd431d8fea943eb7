//! Who is on which network, under which names, with which addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The container's id: what it is known by here.
    pub container: String,
    /// The first is the container's name, the one that its addresses lead back to; then aliases and the short id.
    pub names: Vec<String>,
    /// Of both families.
    pub addresses: Vec<IpAddr>,
}

/// The names of all networks of an engine. Clones share them; readers do not wait for each other.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<RwLock<HashMap<String, Arc<RwLock<Zone>>>>>);

/// The names of one network, in lower case.
#[derive(Debug, Default)]
pub(crate) struct Zone {
    name: String,
    endpoints: HashMap<String, Arc<Endpoint>>,
    by_name: HashMap<String, Vec<Arc<Endpoint>>>,
    by_address: HashMap<IpAddr, Arc<Endpoint>>,
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Names {
    /// A container is on a network: what it had there before is replaced.
    pub fn join(&self, network: &str, network_name: &str, endpoint: Endpoint) {
        let mut zones = write(&self.0);
        let zone = zones.entry(network.to_owned()).or_default().clone();
        drop(zones);
        let mut zone = write(&zone);
        network_name.to_ascii_lowercase().clone_into(&mut zone.name);
        zone.remove(&endpoint.container);
        zone.insert(endpoint);
    }

    /// A container is no longer on a network, or does not run.
    pub fn leave(&self, network: &str, container: &str) {
        if let Some(zone) = self.zone(network) {
            write(&zone).remove(container);
        }
    }

    /// A network is no more.
    pub fn forget(&self, network: &str) {
        write(&self.0).remove(network);
    }

    fn zone(&self, network: &str) -> Option<Arc<RwLock<Zone>>> {
        read(&self.0).get(network).cloned()
    }

    /// What `look` finds in a network.
    pub(crate) fn within<T>(&self, network: &str, look: impl FnOnce(&Zone) -> Option<T>) -> Option<T> {
        let zone = self.zone(network)?;
        let zone = read(&zone);
        look(&zone)
    }
}

impl Zone {
    /// The name of the network in lower case.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// All addresses of those who have this name (in lower case), or who are the container with this id; `None` when nobody is.
    pub(crate) fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        if let Some(endpoints) = self.by_name.get(name) {
            return Some(endpoints.iter().flat_map(|endpoint| endpoint.addresses.iter().copied()).collect());
        }
        Some(self.endpoints.get(name)?.addresses.clone())
    }

    /// `name.network` of the container with this address.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<String> {
        let name = self.by_address.get(&address)?.names.first()?;
        Some(if self.name.is_empty() { name.clone() } else { format!("{name}.{}", self.name) })
    }

    fn insert(&mut self, endpoint: Endpoint) {
        let endpoint = Arc::new(endpoint);
        for name in distinct(&endpoint) {
            self.by_name.entry(name).or_default().push(endpoint.clone());
        }
        for address in &endpoint.addresses {
            self.by_address.insert(*address, endpoint.clone());
        }
        self.endpoints.insert(endpoint.container.clone(), endpoint);
    }

    fn remove(&mut self, container: &str) {
        let Some(endpoint) = self.endpoints.remove(container) else { return };
        for name in distinct(&endpoint) {
            if let Some(owners) = self.by_name.get_mut(&name) {
                owners.retain(|owner| owner.container != container);
                if owners.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
        for address in &endpoint.addresses {
            // An address may have been given to somebody else before its first owner was gone from here.
            if self.by_address.get(address).is_some_and(|owner| owner.container == container) {
                self.by_address.remove(address);
            }
        }
    }
}

fn distinct(endpoint: &Endpoint) -> Vec<String> {
    let mut names: Vec<String> = endpoint.names.iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
