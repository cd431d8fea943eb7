//! From what is asked of a network to its record, and from its record to what is on the host.

use super::create::{NetworkRequest, SubnetRequest};
use crate::events::now;
use crate::{Error, Result};
use base::Id;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use network::{Bridge, Design, Driver, Endpoint, Ground, Ipam, IpvlanFlag, IpvlanMode, MacvlanMode, Network};
use network::{Plan, PluginDesign, PluginFolders, PluginNetwork, Pools, StackedDesign, StackedNetwork, Subnet, Upon};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

const MTU: &str = "com.docker.network.driver.mtu";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
pub(super) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
pub(super) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
pub(super) const LINK_PREFIX: &str = "com.docker.network.container_iface_prefix";

/// The driver whose networks are made by plugins of the Container Network Interface.
pub(super) const PLUGINS: &str = "cni";

/// The record of a network that is always there.
pub(super) fn built_in(name: &str, driver: &str) -> Network {
    Network {
        id: Id::random().to_string(),
        name: name.to_owned(),
        created_at: now(),
        driver: driver.to_owned(),
        ipam: Ipam { driver: "default".to_owned(), ..Ipam::default() },
        ..Network::default()
    }
}

/// The record of what is asked for; `taken` are the subnets of the other networks.
pub(super) fn record(mut request: NetworkRequest, ground: &Ground, pools: &Pools, taken: &[IpNet]) -> Result<Network> {
    let mut config = Vec::new();
    let gateways: Vec<IpAddr> = request.subnets.iter().filter_map(|asked| asked.gateway).collect();
    for asked in std::mem::take(&mut request.subnets) {
        config.push(subnet(asked)?);
    }
    let overlaps = |net: &IpNet| taken.iter().any(|other| overlap(net, other));
    if config.iter().any(|subnet| overlaps(&subnet.subnet)) {
        return Err(Error::Denied("invalid pool request: Pool overlaps with other one on this address space".into()));
    }
    let is_v4 = |subnet: &Subnet| subnet.subnet.addr().is_ipv4();
    if config.iter().filter(|s| is_v4(s)).count() > 1 || config.iter().filter(|s| !is_v4(s)).count() > 1 {
        return Err(Error::Invalid(format!(
            "{} driver doesn't support multiple subnets",
            if is_stacked(&request.driver) { request.driver.as_str() } else { "bridge" }
        )));
    }
    if request.driver == PLUGINS {
        check_plugins((request.internal, request.ipv6), &config)?;
    } else if !config.iter().any(is_v4) {
        config.insert(0, chosen(ground, pools, taken)?);
    }
    if request.ipv6 && request.driver != PLUGINS && config.iter().all(is_v4) {
        let routed = ground.routed6()?.into_iter().map(IpNet::from);
        let taken: Vec<IpNet> = taken.iter().copied().chain(routed).collect();
        config.push(chosen6(pools, &taken)?);
    }
    super::manners::drop_gateways(&mut config, &request.options, &gateways);
    Ok(Network {
        id: Id::random().to_string(),
        name: request.name,
        created_at: now(),
        driver: request.driver,
        options: request.options,
        labels: request.labels,
        internal: request.internal,
        attachable: request.attachable,
        ingress: request.ingress,
        ipv6: request.ipv6,
        ipam: Ipam { driver: request.ipam_driver, options: request.ipam_options, config },
    })
}

fn subnet(asked: SubnetRequest) -> Result<Subnet> {
    let subnet = asked.subnet.trunc();
    let gateway = asked.gateway.or_else(|| first_address(asked.range.unwrap_or(subnet), subnet));
    Ok(Subnet { subnet, range: asked.range, gateway, reserved: asked.reserved, asked: true })
}

/// The first address of a range that a host of the subnet can have.
fn first_address(range: IpNet, subnet: IpNet) -> Option<IpAddr> {
    let first = range.network();
    if first != subnet.network() {
        return Some(first);
    }
    match first {
        IpAddr::V4(first) => first.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(first) => first.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

fn chosen(ground: &Ground, pools: &Pools, taken: &[IpNet]) -> Result<Subnet> {
    let taken: Vec<Ipv4Net> = taken
        .iter()
        .filter_map(|net| match net {
            IpNet::V4(net) => Some(*net),
            IpNet::V6(_) => None,
        })
        .collect();
    let found = ground.free_subnet(pools, &taken).map_err(|e| match e {
        network::Error::SubnetsExhausted => exhausted(),
        other => other.into(),
    })?;
    let gateway = Some(found.addr().into());
    Ok(Subnet { subnet: found.trunc().into(), range: None, gateway, reserved: Default::default(), asked: false })
}

fn exhausted() -> Error {
    Error::Invalid("all predefined address pools have been fully subnetted".into())
}

/// Of the engine's pools, or a /64 of random unique local addresses (RFC 4193).
fn chosen6(pools: &Pools, taken: &[IpNet]) -> Result<Subnet> {
    if pools.have_ipv6() {
        let subnet = pools.choose6(taken).ok_or_else(exhausted)?;
        let gateway = first_address(subnet, subnet);
        return Ok(Subnet { subnet, range: None, gateway, reserved: Default::default(), asked: false });
    }
    loop {
        let digits = Id::random().to_string();
        let random = u128::from_str_radix(&digits[..10], 16).unwrap_or_default();
        let network = Ipv6Addr::from_bits(0xfd << 120 | random << 80);
        let net = IpNet::V6(Ipv6Net::new_assert(network, 64));
        if !taken.iter().any(|other| overlap(&net, other)) {
            let gateway = Some(Ipv6Addr::from_bits(network.to_bits() | 1).into());
            return Ok(Subnet { subnet: net, range: None, gateway, reserved: Default::default(), asked: false });
        }
    }
}

pub(super) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// What plugins decide cannot be asked for.
fn check_plugins((internal, ipv6): (bool, bool), subnets: &[Subnet]) -> Result<()> {
    let fault = match () {
        () if !subnets.is_empty() => "a subnet",
        () if internal => "--internal",
        () if ipv6 => "--ipv6",
        () => return Ok(()),
    };
    Err(Error::Invalid(format!("{fault} cannot be asked of a network of the driver cni: its configuration decides")))
}

/// A network of plugins.
fn plugins(record: &Network) -> Result<PluginDesign> {
    let options = record.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    Ok(PluginDesign::read(&record.name, options)?)
}

fn plugin_folders(ground: &Ground, record: &Network) -> Result<PluginFolders> {
    let missing = || Error::Unsupported("this engine keeps no networks of plugins".into());
    ground.plugin_folders(&record.id).ok_or_else(missing)
}

/// A new network on the host.
pub(super) fn make(ground: &Arc<Ground>, record: &Network) -> Result<Driver> {
    if record.driver != PLUGINS {
        return raise(ground, record, &[]);
    }
    let folders = plugin_folders(ground, record)?;
    Ok(Driver::Plugins(Arc::new(PluginNetwork::make(plugins(record)?, &folders)?)))
}

/// Brings a network up on the host; `ends` are those in use.
pub(super) fn raise(ground: &Arc<Ground>, record: &Network, ends: &[Endpoint]) -> Result<Driver> {
    if record.driver == PLUGINS {
        let folders = plugin_folders(ground, record)?;
        return Ok(Driver::Plugins(Arc::new(PluginNetwork::raise(plugins(record)?, &folders, ends)?)));
    }
    let plan = plan(record)?;
    match record.driver.as_str() {
        driver if is_stacked(driver) => {
            let design = stacked(record, plan)?;
            Ok(Driver::Stacked(Arc::new(StackedNetwork::raise(ground, design, ends)?)))
        }
        _ => Ok(Driver::Bridge(Arc::new(Bridge::raise(ground, design(record, plan)?, ends)?))),
    }
}

/// At the start of an engine: a network that cannot be had is told, and is there without a way onto it.
pub(super) fn raise_again(ground: &Arc<Ground>, record: &Network, ends: &[Endpoint]) -> Option<Driver> {
    let own: Vec<Endpoint> = ends.iter().filter(|end| end.network == record.id).cloned().collect();
    let raised = raise(ground, record, &own);
    if let Err(e) = &raised {
        tracing::error!("cannot bring the network {} up again: {}", record.name, base::chain(e));
    }
    raised.ok()
}

fn plan(record: &Network) -> Result<Plan> {
    let mut plan = Plan { subnet: Ipv4Net::default(), range: None, subnet6: None, range6: None, reserved: Vec::new() };
    for config in &record.ipam.config {
        plan.reserved.extend(config.reserved.values());
        let wrong = || Error::Invalid(format!("invalid gateway of the subnet {}", config.subnet));
        // The first address of a subnet is nobody's: it stands for a gateway where there is none.
        let gateway = config.gateway.unwrap_or(config.subnet.network());
        match (config.subnet, gateway) {
            (IpNet::V4(net), IpAddr::V4(gateway)) => {
                plan.subnet = Ipv4Net::new(gateway, net.prefix_len()).map_err(|_| wrong())?;
                plan.range = config.range.and_then(|range| if let IpNet::V4(net) = range { Some(net) } else { None });
            }
            (IpNet::V6(net), IpAddr::V6(gateway)) => {
                plan.subnet6 = Some(Ipv6Net::new(gateway, net.prefix_len()).map_err(|_| wrong())?);
                plan.range6 = config.range.and_then(|range| if let IpNet::V6(net) = range { Some(net) } else { None });
            }
            _ => return Err(wrong()),
        }
    }
    Ok(plan)
}

fn design(record: &Network, plan: Plan) -> Result<Design> {
    Ok(Design {
        manners: super::manners::manners(record)?,
        bridge: bridge_name(record),
        plan,
        mtu: mtu(record)?,
        internal: record.internal,
        together: flag(record, ICC)?,
        masquerade: flag(record, MASQUERADE)?,
    })
}

/// The name of a network's bridge, or of its own link on the host.
pub(crate) fn bridge_name(record: &Network) -> String {
    let asked = record.options.get(BRIDGE_NAME).filter(|name| !name.is_empty());
    asked.cloned().unwrap_or_else(|| format!("dh-{}", record.id.get(..12).unwrap_or(&record.id)))
}

pub(super) fn flag(record: &Network, key: &str) -> Result<bool> {
    match record.options.get(key).map(String::as_str) {
        None => Ok(true),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(text) => Err(Error::Invalid(format!(
            "failed to parse {key} value: {text} (strconv.ParseBool: parsing {text:?}: invalid syntax)"
        ))),
    }
}

fn mtu(record: &Network) -> Result<u32> {
    let Some(text) = record.options.get(MTU) else { return Ok(0) };
    let wrong = |why: &str| Error::Invalid(format!("failed to parse {MTU} value: {text:?} {why}"));
    let mtu = text.parse().map_err(|_| wrong("is no size of packets"))?;
    match mtu {
        // The kernel takes IPv6 off a link that is narrower (RFC 8200, section 5).
        68..1280 if record.ipam.config.iter().any(|config| config.subnet.addr().is_ipv6()) => {
            Err(wrong("is too small: IPv6 needs 1280"))
        }
        68..=65_535 => Ok(mtu),
        _ => Err(wrong("is no size of packets")),
    }
}

/// Whether containers' links lie on top of one of the machine's.
pub(super) fn is_stacked(driver: &str) -> bool {
    matches!(driver, "macvlan" | "ipvlan")
}

fn stacked(record: &Network, plan: Plan) -> Result<StackedDesign> {
    let upon = match record.driver.as_str() {
        "ipvlan" => ipvlan(record)?,
        _ => Upon::Macvlan(macvlan_mode(record)?),
    };
    Ok(StackedDesign {
        parent: record.options.get("parent").cloned().unwrap_or_default(),
        dummy: format!("dm-{}", record.id.get(..12).unwrap_or(&record.id)),
        upon,
        plan,
        mtu: mtu(record)?,
        internal: record.internal || !record.options.contains_key("parent"),
    })
}

fn macvlan_mode(record: &Network) -> Result<MacvlanMode> {
    match record.options.get("macvlan_mode").map_or("", String::as_str) {
        "" | "bridge" => Ok(MacvlanMode::Bridge),
        "private" => Ok(MacvlanMode::Private),
        "vepa" => Ok(MacvlanMode::Vepa),
        "passthru" => Ok(MacvlanMode::Passthru),
        other => Err(Error::Invalid(format!(
            "requested macvlan mode '{other}' is not valid, 'bridge' mode is the macvlan driver default"
        ))),
    }
}

fn ipvlan(record: &Network) -> Result<Upon> {
    let mode = match record.options.get("ipvlan_mode").map_or("", String::as_str) {
        "" | "l2" => IpvlanMode::L2,
        "l3" => IpvlanMode::L3,
        "l3s" => IpvlanMode::L3s,
        other => {
            return Err(Error::Invalid(format!(
                "requested ipvlan mode '{other}' is not valid, 'l2' mode is the ipvlan driver default"
            )));
        }
    };
    let flag = match record.options.get("ipvlan_flag").map_or("", String::as_str) {
        "" | "bridge" => IpvlanFlag::Bridge,
        "private" => IpvlanFlag::Private,
        "vepa" => IpvlanFlag::Vepa,
        other => {
            return Err(Error::Invalid(format!(
                "requested ipvlan flag '{other}' is not valid, 'bridge' is the ipvlan driver default flag"
            )));
        }
    };
    Ok(Upon::Ipvlan(mode, flag))
}
