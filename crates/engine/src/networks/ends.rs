//! A container's ends on its networks: made before its program starts, given back when it has ended.

use super::plan::{HOST_BINDING, LINK_PREFIX};
use super::{BRIDGE, Entry, HOST, NONE};
use crate::sandbox::Sandbox;
use crate::{Engine, Error, Result};
use base::Id;
use container::{Config, Container, EndpointRequest, NetworkMode};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use network::{Endpoint, PortRequest, Spare, Wish};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

/// A network that a container is to be on, and how.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) entry: Arc<Entry>,
    pub(super) request: EndpointRequest,
}

/// The network that a mode names; `None` is another container's.
pub(crate) fn primary(mode: &NetworkMode) -> Option<&str> {
    match mode {
        NetworkMode::Bridge => Some(BRIDGE),
        NetworkMode::Host => Some(HOST),
        NetworkMode::None => Some(NONE),
        NetworkMode::User(name) => Some(name),
        NetworkMode::Container(_) => None,
    }
}

/// Whether the engine's own bridge, without a wish, is all that is wanted: sandboxes made ahead have that.
pub(crate) fn is_plain_bridge(config: &Config) -> bool {
    let mut wanted = config.endpoints.iter();
    match (wanted.next(), wanted.next()) {
        (Some((name, request)), None) => {
            name == BRIDGE && request.mac.is_none() && request.ipv4.is_none() && request.link_local.is_empty()
        }
        _ => false,
    }
}

/// Whether a name server of the engine's is wanted: on every network that people made.
pub(super) fn has_names(entry: &Entry) -> bool {
    !entry.is_built_in()
}

impl Engine {
    /// At creation: every network that is meant is among the endpoints, by its name when there is one of that name or id; what
    /// their networks cannot give is refused.
    pub(crate) fn settle_endpoints(&self, config: &mut Config) -> Result<()> {
        let Some(first) = primary(&config.network).map(|name| self.network_name(name)) else {
            config.endpoints.clear();
            return Ok(());
        };
        for (asked, request) in std::mem::take(&mut config.endpoints) {
            let name = self.network_name(&asked);
            if let Ok(entry) = self.house.networks.find(&name) {
                check_addresses(&entry, &request)
                    .map_err(|e| Error::Invalid(format!("invalid config for network {asked}: {}", base::chain(&e))))?;
            }
            config.endpoints.insert(name, request);
        }
        config.endpoints.entry(first).or_default();
        Ok(())
    }

    fn network_name(&self, text: &str) -> String {
        self.house.networks.find(text).map_or_else(|_| text.to_owned(), |entry| entry.record.name.clone())
    }

    /// The networks of a container, the one of its mode first, then by name.
    fn wanted_networks(&self, config: &Config) -> Result<Vec<Wanted>> {
        let mut all = Vec::new();
        for (name, request) in &config.endpoints {
            all.push(Wanted { entry: self.house.networks.find(name)?, request: request.clone() });
        }
        let first = primary(&config.network).and_then(|name| self.house.networks.find(name).ok());
        let is_first = |wanted: &Wanted| first.as_ref().is_some_and(|first| first.record.id == wanted.entry.record.id);
        all.sort_by_key(|wanted| (!is_first(wanted), wanted.entry.record.name.clone()));
        Ok(all)
    }

    /// Whether a sandbox with a link on no network and a name server is what it needs: its first network is such a bridge.
    pub(crate) fn takes_named(&self, config: &Config) -> bool {
        let first = primary(&config.network).and_then(|name| self.house.networks.find(name).ok());
        first.is_some_and(|entry| has_names(&entry) && entry.driver.as_ref().is_some_and(network::Driver::takes_spares))
    }

    /// Puts a container that is about to start on its networks; nothing is left of an attempt that fails.
    pub(crate) fn join_networks(&self, record: &Container, sandbox: &mut Sandbox) -> Result<Vec<Endpoint>> {
        let wanted = self.wanted_networks(&record.config).map_err(while_starting)?;
        let lead = leading(&wanted).map(|lead| lead.entry.record.id.clone());
        let mut ends = Vec::new();
        for (number, wanted) in wanted.iter().enumerate() {
            let has_way = lead.as_ref() == Some(&wanted.entry.record.id);
            let joined = match sandbox.endpoint.take() {
                Some(ready) if wanted.entry.record.name == BRIDGE => {
                    wanted.entry.enter(record.id).map(|()| Some(ready))
                }
                other => {
                    sandbox.endpoint = other;
                    let wish = for_plugins(wish(wanted, number, has_way)?, record, wanted);
                    self.join_one(record.id, wanted, (sandbox.network.as_fd(), sandbox.spare.take()), &wish)
                }
            };
            match joined {
                Ok(endpoint) => ends.extend(endpoint.map(|end| self.settle_end(record, wanted, end))),
                Err(e) => {
                    self.leave_networks(&record.id, &ends);
                    return Err(while_starting(e));
                }
            }
            self.tell_network(&wanted.entry, "connect", Some(&record.id));
        }
        Ok(ends)
    }

    /// An end on one network; none on those that have none.
    pub(super) fn join_one(
        &self,
        container: Id,
        wanted: &Wanted,
        (netns, spare): (std::os::fd::BorrowedFd<'_>, Option<Spare>),
        wish: &Wish,
    ) -> Result<Option<Endpoint>> {
        let entry = &wanted.entry;
        entry.enter(container)?;
        let attached = match &entry.driver {
            Some(driver) => {
                let attached = match spare {
                    Some(spare) => driver.attach_spare(netns, wish, spare),
                    None => driver.attach(netns, wish),
                };
                attached.map(Some).map_err(|e| in_dockers_words(e, entry))
            }
            None if entry.is_built_in() => Ok(None),
            None => Err(Error::Conflict(format!(
                "the network {} could not be brought up when this engine started",
                entry.record.name
            ))),
        };
        if attached.is_err() {
            entry.exit(&container);
        }
        attached
    }

    /// Makes an end known.
    pub(super) fn settle_end(&self, record: &Container, wanted: &Wanted, mut endpoint: Endpoint) -> Endpoint {
        endpoint.network.clone_from(&wanted.entry.record.id);
        wanted.entry.settle(record.id, &endpoint);
        self.name_end(record, &wanted.entry, &wanted.request, &endpoint);
        endpoint
    }

    /// Takes a container that has ended, or does not come to start, off its networks.
    pub(crate) fn leave_networks(&self, container: &Id, ends: &[Endpoint]) {
        self.cut_policed(container, ends);
        // Before its addresses can be another's.
        self.unpolice(container);
        for entry in self.house.networks.of_container(container) {
            let end = ends.iter().find(|end| end.network == entry.record.id);
            if let (Some(end), Some(driver)) = (end, &entry.driver)
                && let Err(e) = driver.leave(end)
            {
                tracing::warn!("cannot take {} off the network: {}", end.address, base::chain(&e));
            }
            self.unname_end(&entry, container);
            entry.exit(container);
            self.tell_network(&entry, "disconnect", Some(container));
        }
    }

    /// Publishes a container's ports at the end that leads out.
    pub(crate) fn publish_ports(&self, config: &Config, ends: &mut [Endpoint]) -> Result<()> {
        self.publish_requests(config, ends, crate::containers::port_requests(config))
    }

    /// Publishes these at the end that leads out.
    pub(super) fn publish_requests(
        &self,
        config: &Config,
        ends: &mut [Endpoint],
        mut requests: Vec<PortRequest>,
    ) -> Result<()> {
        let Some(lead) = self.leading_end(config, ends) else { return Ok(()) };
        let Some(entry) = self.house.networks.of(&ends[lead]) else { return Ok(()) };
        let bound = entry.record.options.get(HOST_BINDING).and_then(|text| text.parse().ok());
        // 0.0.0.0 is what it is without, `::` is IPv6 alone.
        let bound = bound.filter(|ip: &IpAddr| *ip != IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        for request in &mut requests {
            request.host_ip = request.host_ip.or(bound);
        }
        if let Some(driver) = &entry.driver {
            driver.publish(&mut ends[lead], &requests)?;
            if let Some((id, _)) =
                entry.ends().into_iter().find(|(_, end)| end.as_ref().is_some_and(|end| end.id == ends[lead].id))
            {
                entry.settle(id, &ends[lead]);
            }
        }
        Ok(())
    }

    /// Takes the ports of `ends` back; the ends stay.
    pub(crate) fn unpublish_ports(&self, ends: &[Endpoint]) {
        for end in ends.iter().filter(|end| !end.ports.is_empty()) {
            let driver = self.house.networks.of(end).and_then(|entry| entry.driver.clone());
            if let Some(driver) = driver
                && let Err(e) = driver.unpublish(end)
            {
                tracing::warn!("cannot take ports of {} back: {}", end.address, base::chain(&e));
            }
        }
    }

    /// The end that has the default route.
    pub(super) fn leading_end(&self, config: &Config, ends: &[Endpoint]) -> Option<usize> {
        let rank = |end: &Endpoint| {
            let entry = self.house.networks.of(end)?;
            let name = entry.record.name.clone();
            let priority = config.endpoints.get(&name).map_or(0, |request| request.gateway_priority);
            Some((std::cmp::Reverse(priority), name))
        };
        let leads = ends.iter().enumerate().filter(|(_, end)| end.way().is_some());
        leads.filter_map(|(at, end)| Some((rank(end)?, at))).min().map(|(_, at)| at)
    }

    /// After an engine's end: who was on which network still is.
    pub(crate) fn readopt_ends(&self, record: &Container, ends: &[Endpoint]) {
        for end in ends {
            let Some(entry) = self.house.networks.of(end) else { continue };
            let request = record.config.endpoints.get(&entry.record.name).cloned().unwrap_or_default();
            if entry.enter(record.id).is_ok() {
                self.settle_end(record, &Wanted { entry, request }, end.clone());
            }
        }
        if let Err(e) = self.police(record, ends) {
            tracing::error!("cannot keep the egress policy of {}: {}", record.id, base::chain(&e));
        }
        for name in record.config.endpoints.keys().filter(|name| matches!(name.as_str(), HOST | NONE)) {
            if let Ok(entry) = self.house.networks.find(name) {
                let _ = entry.enter(record.id);
            }
        }
    }
}

/// The network whose gateway everything without a better route goes to: that of the highest priority, then the first by name.
fn leading(wanted: &[Wanted]) -> Option<&Wanted> {
    let leads_out = |wanted: &&Wanted| {
        let record = &wanted.entry.record;
        let lonely = super::plan::is_stacked(&record.driver) && !record.options.contains_key("parent");
        wanted.entry.driver.is_some() && !record.internal && !lonely
    };
    let rank =
        |wanted: &&Wanted| (std::cmp::Reverse(wanted.request.gateway_priority), wanted.entry.record.name.clone());
    wanted.iter().filter(leads_out).min_by_key(rank)
}

/// What is wished of the `number`th end of a container.
pub(super) fn wish(wanted: &Wanted, number: usize, default_route: bool) -> Result<Wish> {
    let Wanted { entry, request } = wanted;
    let prefix = entry.record.options.get(LINK_PREFIX).map_or("eth", String::as_str);
    check_addresses(entry, request)?;
    let mac = request.mac.as_deref().map(read_mac).transpose()?;
    Ok(Wish {
        link: format!("{prefix}{number}"),
        ipv4: request.ipv4,
        ipv6: request.ipv6,
        link_local: request.link_local.iter().map(|address| link_local(*address)).collect(),
        mac,
        default_route,
        ..Wish::default()
    })
}

/// With what plugins have to know as they attach, and others are told afterwards.
pub(super) fn for_plugins(mut wish: Wish, record: &Container, wanted: &Wanted) -> Wish {
    if !matches!(wanted.entry.driver, Some(network::Driver::Plugins(_))) {
        return wish;
    }
    if wish.default_route {
        wish.ports = crate::containers::port_requests(&record.config);
    }
    wish.dns = (record.config.dns.clone(), record.config.dns_search.clone());
    wish.options.clone_from(&wanted.request.driver_options);
    wish
}

/// With the prefix of the addresses of links (RFC 3927, RFC 4291).
fn link_local(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::new_assert(address, 16)),
        IpAddr::V6(address) => IpNet::V6(Ipv6Net::new_assert(address, 64)),
    }
}

/// Refuses what an end on this network cannot have.
pub(super) fn check_addresses(entry: &Entry, request: &EndpointRequest) -> Result<()> {
    let faults = faults(entry, request);
    match faults.as_slice() {
        [] => Ok(()),
        [fault] => Err(Error::Invalid(format!("invalid endpoint settings:\n{fault}"))),
        many => Err(Error::Invalid(format!("invalid endpoint settings:\n* {}", many.join("\n* ")))),
    }
}

/// Only of a subnet that was asked for may an address be asked for: another one could be another subnet at the next start.
fn faults(entry: &Entry, request: &EndpointRequest) -> Vec<String> {
    let asked: Vec<IpAddr> = request.ipv4.map(Into::into).into_iter().chain(request.ipv6.map(Into::into)).collect();
    let mut faults = Vec::new();
    if !asked.is_empty() && entry.is_built_in() {
        faults.push("user specified IP address is supported on user defined networks only".to_owned());
    }
    if !request.aliases.is_empty() && entry.is_built_in() {
        faults.push("network-scoped alias is supported only for containers in user defined networks".to_owned());
    }
    for address in asked {
        let subnets = &entry.record.ipam.config;
        if entry.record.driver == super::plan::PLUGINS {
            // The configuration has the subnets.
            continue;
        }
        if !subnets.iter().any(|subnet| subnet.asked && subnet.subnet.addr().is_ipv4() == address.is_ipv4()) {
            let text =
                "user specified IP address is supported only when connecting to networks with user configured subnets";
            faults.push(text.to_owned());
        } else if !subnets.iter().any(|subnet| subnet.subnet.contains(&address)) {
            faults.push(format!("no configured subnet or ip-range contain the IP address {address}"));
        }
    }
    faults
}

fn read_mac(text: &str) -> Result<[u8; 6]> {
    let wrong = || Error::Invalid(format!("invalid MAC address: {text}"));
    let parts: Vec<u8> =
        text.split([':', '-']).map(|part| u8::from_str_radix(part, 16).map_err(|_| wrong())).collect::<Result<_>>()?;
    parts.try_into().map_err(|_| wrong())
}

/// As Docker says it of a start.
fn while_starting(error: Error) -> Error {
    let during = |text: String| format!("failed to set up container networking: {text}");
    match error {
        Error::NoNetwork(name) => Error::NotFound(during(format!("network {name} not found"))),
        Error::Denied(text) => Error::Denied(during(text)),
        Error::Conflict(text) => Error::Conflict(during(text)),
        Error::Invalid(text) => Error::Invalid(during(text)),
        other => other,
    }
}

fn in_dockers_words(error: network::Error, entry: &Entry) -> Error {
    match error {
        network::Error::AddressTaken(_) => Error::Denied("Address already in use".into()),
        network::Error::AddressesExhausted(_) => Error::Conflict(format!(
            "no available IPv4 addresses on this network's address pools: {} ({})",
            entry.record.name, entry.record.id
        )),
        other => other.into(),
    }
}
