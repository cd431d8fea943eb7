//! Networks and ends as others are shown them.

use super::{BRIDGE, Entry, Networks};
use crate::shelf::Cell;
use crate::{Engine, Result};
use container::EndpointRequest;
use network::{Endpoint, Network};
use std::sync::Arc;

/// A network with those who are on it.
#[derive(Debug, Clone)]
pub struct NetworkView {
    pub record: Network,
    pub members: Vec<Member>,
}

/// A container that runs on a network.
#[derive(Debug, Clone)]
pub struct Member {
    pub container: base::Id,
    pub name: String,
    /// `None` on networks without ends.
    pub endpoint: Option<Endpoint>,
}

/// A container's place on one of its networks.
#[derive(Debug, Clone, Default)]
pub struct Attached {
    /// The network's name.
    pub network: String,
    /// Empty when there is no such network.
    pub network_id: String,
    pub request: EndpointRequest,
    pub dns_names: Vec<String>,
    /// While it runs.
    pub endpoint: Option<Endpoint>,
}

impl Engine {
    /// All networks, the oldest first.
    pub fn networks(&self) -> Vec<NetworkView> {
        self.house.networks.all().iter().map(|entry| self.view(entry)).collect()
    }

    /// By name, id or unique id prefix.
    pub fn network(&self, text: &str) -> Result<NetworkView> {
        Ok(self.view(&*self.house.networks.find(text)?))
    }

    pub(super) fn view(&self, entry: &Entry) -> NetworkView {
        let members = entry
            .ends()
            .into_iter()
            .map(|(container, endpoint)| Member {
                container,
                name: self.house.shelf.get(&container).map(|cell| cell.name()).unwrap_or_default(),
                endpoint,
            })
            .collect();
        let mut record = entry.record.clone();
        if record.name == BRIDGE {
            self.fill_bridge(&mut record);
        }
        NetworkView { record, members }
    }

    /// The engine's own bridge is as its flags say.
    fn fill_bridge(&self, record: &mut Network) {
        let house = &self.house;
        let mtu = if house.settings.mtu == 0 { 1500 } else { house.settings.mtu };
        let options = [
            ("com.docker.network.bridge.default_bridge", "true".to_owned()),
            ("com.docker.network.bridge.enable_icc", (!house.settings.is_isolated).to_string()),
            ("com.docker.network.bridge.enable_ip_masquerade", "true".to_owned()),
            ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0".to_owned()),
            ("com.docker.network.bridge.name", house.settings.bridge_name(&house.roots.data)),
            ("com.docker.network.driver.mtu", mtu.to_string()),
        ];
        record.options = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        record.ipam.config = vec![network::Subnet {
            subnet: house.bridge.subnet().into(),
            range: None,
            gateway: Some(house.bridge.gateway().into()),
            reserved: Default::default(),
            asked: house.settings.bip.is_some(),
        }];
    }

    /// The networks of a container, by name.
    pub(crate) fn attached(&self, cell: &Cell, ends: &[Endpoint]) -> Vec<Attached> {
        let record = cell.record();
        let networks: &Networks = &self.house.networks;
        let show = |(name, request): (&String, &EndpointRequest)| {
            let entry: Option<Arc<Entry>> = networks.find(name).ok();
            let id = entry.as_ref().map(|entry| entry.record.id.clone()).unwrap_or_default();
            let is_own = entry.as_ref().is_none_or(|entry| !entry.is_built_in());
            Attached {
                network: name.clone(),
                endpoint: ends.iter().find(|end| end.network == id).cloned(),
                dns_names: if is_own { super::names::dns_names(&record, request) } else { Vec::new() },
                network_id: id,
                request: request.clone(),
            }
        };
        record.config.endpoints.iter().map(show).collect()
    }
}
