//! A new network.

use super::{Entry, is_built_in, plan};
use crate::streams::lock;
use crate::{Engine, Error, Result};
use base::Undo;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::PoisonError;

/// What is asked of a new network; doors have checked that it is in itself right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRequest {
    pub name: String,
    pub driver: String,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub ipv6: bool,
    pub ipam_driver: String,
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// At most one of each family; what is missing is chosen.
    pub subnets: Vec<SubnetRequest>,
}

/// A subnet that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetRequest {
    pub subnet: IpNet,
    pub range: Option<IpNet>,
    pub gateway: Option<IpAddr>,
    pub reserved: BTreeMap<String, IpAddr>,
}

impl Engine {
    /// Makes a network and brings it up; its id.
    pub fn create_network(&self, mut request: NetworkRequest) -> Result<String> {
        let (networks, settings) = (&self.house.networks, &self.house.settings);
        if is_built_in(&request.name) {
            return Err(Error::Denied(format!("operation is not permitted on predefined {} network ", request.name)));
        }
        match request.driver.as_str() {
            "bridge" | "macvlan" | "ipvlan" | plan::PLUGINS => {}
            driver @ ("host" | "null") => {
                return Err(Error::Denied(format!("only one instance of \"{driver}\" network is allowed")));
            }
            other => {
                return Err(Error::NotFound(format!("plugin {other:?} not found")));
            }
        }
        for (key, value) in settings.network_options.get(&request.driver).into_iter().flatten() {
            request.options.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let _making = lock(&networks.making);
        let others = networks.all();
        if others.iter().any(|entry| entry.record.name == request.name) {
            return Err(Error::Conflict(format!("network with name {} already exists", request.name)));
        }
        let mut taken: Vec<IpNet> =
            others.iter().flat_map(|entry| &entry.record.ipam.config).map(|c| c.subnet).collect();
        taken.push(self.house.bridge.subnet().into());
        let record = plan::record(request, &networks.ground, &settings.address_pools, &taken)?;
        self.check_bridge_name(&record, &others)?;
        super::egress::check_network(&record)?;
        // The record comes first: what an engine leaves that is killed now, the next one brings up.
        let mut undo = Undo::new();
        networks.store.save(&record)?;
        let id = record.id.clone();
        undo.push(move || drop(networks.store.remove(&id)));
        let driver = plan::make(&networks.ground, &record)?;
        let raised = driver.clone();
        undo.push(move || drop(raised.down()));
        if let Err(e) = driver.check() {
            let _ = driver.down();
            return Err(e.into());
        }
        undo.keep();
        let id = record.id.clone();
        let entry = Entry::new(record, Some(driver));
        networks.all.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), entry.clone());
        networks.changed();
        self.tell_network(&entry, "create", None);
        Ok(id)
    }

    /// Two networks cannot have one link.
    fn check_bridge_name(&self, record: &network::Network, others: &[std::sync::Arc<Entry>]) -> Result<()> {
        if record.driver != "bridge" {
            return Ok(());
        }
        let name = plan::bridge_name(record);
        let same = |entry: &&std::sync::Arc<Entry>| {
            entry.record.driver == "bridge" && !entry.is_built_in() && plan::bridge_name(&entry.record) == name
        };
        let own = self.house.settings.bridge_name(&self.house.roots.data) == name;
        let other = others.iter().find(same).map(|entry| entry.record.name.clone());
        match other.or_else(|| own.then(|| super::BRIDGE.to_owned())) {
            None => Ok(()),
            Some(other) => Err(Error::Denied(format!(
                "cannot create network {} ({name}): conflicts with network {other} ({name}): networks have same bridge name",
                record.name
            ))),
        }
    }
}
