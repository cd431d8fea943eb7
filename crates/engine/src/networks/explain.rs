//! Why a port is reached, or is not.

use crate::streams::lock;
use crate::{Engine, Result};
use base::Id;
use container::Protocol;
use network::{Driver, Explanation, PortWay};

/// What becomes of packets to a port, with the containers that they are for.
#[derive(Debug, Clone)]
pub struct PortView {
    pub explanation: Explanation,
    /// In the order of the ways; `None`: nobody on record.
    pub containers: Vec<Option<(Id, String)>>,
}

impl Engine {
    /// Follows packets to a port of this machine.
    pub fn explain_port(&self, protocol: Protocol, port: u16) -> Result<PortView> {
        let networks = &self.house.networks;
        let bridges: Vec<_> = networks
            .all()
            .iter()
            .filter_map(|entry| match &entry.driver {
                Some(Driver::Bridge(bridge)) => Some(bridge.clone()),
                _ => None,
            })
            .collect();
        let explanation = networks.ground.explain(crate::containers::protocol(protocol), port, &bridges)?;
        let containers = explanation.ways.iter().map(|way| self.container_of(way)).collect();
        Ok(PortView { explanation, containers })
    }

    fn container_of(&self, way: &PortWay) -> Option<(Id, String)> {
        let is_it = |end: &network::Endpoint| match way.container {
            std::net::IpAddr::V4(address) => end.address == address,
            std::net::IpAddr::V6(address) => end.ipv6.is_some_and(|net| net.addr() == address),
        };
        self.house.shelf.all().into_iter().find_map(|cell| {
            let has = lock(&cell.live).as_ref().is_some_and(|live| live.endpoints.iter().any(is_it));
            has.then(|| (cell.id, cell.record().name.clone()))
        })
    }
}
