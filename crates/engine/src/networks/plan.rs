//! From what is asked of a network to its record, and from its record to what is on the host.

use super::create::{NetworkRequest, SubnetRequest};
use crate::events::now;
use crate::{Error, Result};
use base::Id;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use network::{Bridge, Design, Driver, Endpoint, Ground, Ipam, MacvlanDesign, MacvlanMode, MacvlanNetwork, Network};
use network::{Plan, Pools, Subnet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

const MTU: &str = "com.docker.network.driver.mtu";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
pub(super) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
pub(super) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
pub(super) const LINK_PREFIX: &str = "com.docker.network.container_iface_prefix";
const GATEWAY_MODES: [&str; 2] =
    ["com.docker.network.bridge.gateway_mode_ipv4", "com.docker.network.bridge.gateway_mode_ipv6"];
const INHIBIT: &str = "com.docker.network.bridge.inhibit_ipv4";
const TRUSTED: &str = "com.docker.network.bridge.trusted_host_interfaces";

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
pub(super) fn record(request: NetworkRequest, ground: &Ground, pools: &Pools, taken: &[IpNet]) -> Result<Network> {
    let mut config = Vec::new();
    for asked in request.subnets {
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
            if request.driver == "macvlan" { "macvlan" } else { "bridge" }
        )));
    }
    if !config.iter().any(is_v4) {
        config.insert(0, chosen(ground, pools, taken)?);
    }
    if request.ipv6 && config.iter().all(is_v4) {
        config.push(chosen6(pools, taken)?);
    }
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

/// Brings a network up on the host; `ends` are those in use.
pub(super) fn raise(ground: &Arc<Ground>, record: &Network, ends: &[Endpoint]) -> Result<Driver> {
    let plan = plan(record)?;
    match record.driver.as_str() {
        "macvlan" => {
            let design = macvlan(record, plan)?;
            Ok(Driver::Macvlan(Arc::new(MacvlanNetwork::raise(ground, design, ends)?)))
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
        match (config.subnet, config.gateway) {
            (IpNet::V4(net), Some(IpAddr::V4(gateway))) => {
                plan.subnet = Ipv4Net::new(gateway, net.prefix_len()).map_err(|_| wrong())?;
                plan.range = config.range.and_then(|range| if let IpNet::V4(net) = range { Some(net) } else { None });
            }
            (IpNet::V6(net), Some(IpAddr::V6(gateway))) => {
                plan.subnet6 = Some(Ipv6Net::new(gateway, net.prefix_len()).map_err(|_| wrong())?);
                plan.range6 = config.range.and_then(|range| if let IpNet::V6(net) = range { Some(net) } else { None });
            }
            _ => return Err(wrong()),
        }
    }
    Ok(plan)
}

fn design(record: &Network, plan: Plan) -> Result<Design> {
    check_options(record)?;
    Ok(Design {
        bridge: bridge_name(record),
        plan,
        mtu: mtu(record)?,
        internal: record.internal,
        together: flag(record, ICC)?,
        masquerade: flag(record, MASQUERADE)?,
    })
}

/// What would change how packets go is never silently left out.
fn check_options(record: &Network) -> Result<()> {
    for key in GATEWAY_MODES {
        match record.options.get(key).map_or("nat", String::as_str) {
            "" | "nat" => {}
            mode @ ("nat-unprotected" | "routed" | "isolated") => {
                return Err(Error::Unsupported(format!("the gateway mode {mode} is not supported by this engine yet")));
            }
            mode => return Err(Error::Invalid(format!("unknown gateway mode {mode}"))),
        }
    }
    if record.options.contains_key(TRUSTED) {
        return Err(Error::Unsupported(format!("the option {TRUSTED} is not supported by this engine yet")));
    }
    if record.options.get(INHIBIT).is_some_and(|value| value != "false") {
        return Err(Error::Unsupported(format!("the option {INHIBIT} is not supported by this engine yet")));
    }
    if let Some(text) = record.options.get(HOST_BINDING)
        && text.parse::<IpAddr>().is_err()
    {
        return Err(Error::Invalid(format!("failed to parse {HOST_BINDING} value: {text:?} is no IP address")));
    }
    Ok(())
}

/// The name of a network's bridge, or of its own link on the host.
pub(crate) fn bridge_name(record: &Network) -> String {
    let asked = record.options.get(BRIDGE_NAME).filter(|name| !name.is_empty());
    asked.cloned().unwrap_or_else(|| format!("dh-{}", record.id.get(..12).unwrap_or(&record.id)))
}

fn flag(record: &Network, key: &str) -> Result<bool> {
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

fn macvlan(record: &Network, plan: Plan) -> Result<MacvlanDesign> {
    let mode = match record.options.get("macvlan_mode").map_or("", String::as_str) {
        "" | "bridge" => MacvlanMode::Bridge,
        "private" => MacvlanMode::Private,
        "vepa" => MacvlanMode::Vepa,
        "passthru" => MacvlanMode::Passthru,
        other => {
            return Err(Error::Invalid(format!(
                "requested macvlan mode '{other}' is not valid, 'bridge' mode is the macvlan driver default"
            )));
        }
    };
    Ok(MacvlanDesign {
        parent: record.options.get("parent").cloned().unwrap_or_default(),
        dummy: format!("dm-{}", record.id.get(..12).unwrap_or(&record.id)),
        mode,
        plan,
        mtu: mtu(record)?,
        internal: record.internal || !record.options.contains_key("parent"),
    })
}
