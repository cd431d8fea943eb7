//! The built-in networks, and a container's end on one.

use crate::times;
use api::types::{
    EndpointSettings, Ipam, IpamConfig, NetworkContainer, NetworkInspect, PortBinding, PortSummary, Texts,
};
use container::{NetworkMode, PortProtocol};
use engine::{Info, Snapshot};
use std::collections::BTreeMap;

/// The name of the network a container is on; empty for another container's.
pub fn name(mode: &NetworkMode) -> &'static str {
    match mode {
        NetworkMode::Bridge => "bridge",
        NetworkMode::Host => "host",
        NetworkMode::None => "none",
        NetworkMode::Container(_) => "",
    }
}

/// An id that is always the same for the same words: 64 hex digits of four FNV-1a hashes.
pub fn stable_id(words: &[&str]) -> String {
    let hash = |seed: u64| {
        let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
        bytes.fold(0xcbf2_9ce4_8422_2325_u64 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    (1..=4_u64).map(|n| format!("{:016x}", hash(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))).collect()
}

/// The id of a built-in network of the engine `identity`.
pub fn network_id(identity: &str, network: &str) -> String {
    stable_id(&[identity, network])
}

/// The container's end, by the name of its network.
pub fn endpoints(snapshot: &Snapshot, identity: &str) -> BTreeMap<String, EndpointSettings> {
    let mode = &snapshot.container.config.network;
    let network = name(mode);
    if network.is_empty() {
        return BTreeMap::new();
    }
    BTreeMap::from([(network.to_owned(), endpoint(snapshot, identity, network))])
}

fn endpoint(snapshot: &Snapshot, identity: &str, network: &str) -> EndpointSettings {
    let mut settings = EndpointSettings::default();
    let runs = snapshot.state.pid != 0;
    if runs {
        settings.network_id = network_id(identity, network);
        settings.endpoint_id = stable_id(&[&snapshot.container.id.to_string(), network]);
    }
    if let Some(end) = &snapshot.endpoint {
        settings.mac_address = end.mac.clone();
        settings.gateway = end.gateway.to_string();
        settings.ip_address = end.address.to_string();
        settings.ip_prefix_len = end.prefix;
    }
    settings
}

/// Published ports for inspect; `null` for those that are only exposed.
pub fn port_map(snapshot: &Snapshot) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut map = BTreeMap::new();
    if snapshot.state.pid == 0 {
        return map;
    }
    for port in &snapshot.container.config.exposed_ports {
        map.insert(port_text(*port), None);
    }
    for port in snapshot.endpoint.iter().flat_map(|end| &end.ports) {
        let key = format!("{}/{}", port.container_port, protocol(port.protocol));
        let binding =
            PortBinding { host_ip: port.host_ip.to_string(), host_port: api::types::Text(port.host_port.to_string()) };
        map.entry(key).or_insert(None).get_or_insert_with(Vec::new).push(binding);
    }
    map
}

/// Ports for `docker ps`.
pub fn port_list(snapshot: &Snapshot) -> Vec<PortSummary> {
    let mut list = Vec::new();
    for (text, bindings) in port_map(snapshot) {
        let (number, kind) = text.split_once('/').unwrap_or((&text, "tcp"));
        let bare =
            PortSummary { private_port: number.parse().unwrap_or(0), kind: kind.to_owned(), ..PortSummary::default() };
        match bindings {
            None => list.push(bare),
            Some(bindings) => list.extend(bindings.into_iter().map(|binding| PortSummary {
                ip: binding.host_ip,
                public_port: binding.host_port.0.parse().ok(),
                ..bare.clone()
            })),
        }
    }
    list
}

/// `80/tcp`
pub fn port_text(port: PortProtocol) -> String {
    let protocol = match port.protocol {
        container::Protocol::Tcp => "tcp",
        container::Protocol::Udp => "udp",
        container::Protocol::Sctp => "sctp",
    };
    format!("{}/{protocol}", port.port)
}

fn protocol(protocol: network::Protocol) -> &'static str {
    match protocol {
        network::Protocol::Tcp => "tcp",
        network::Protocol::Udp => "udp",
        network::Protocol::Sctp => "sctp",
    }
}

/// The three built-in networks, with the running containers on them.
pub fn built_in(info: &Info, mtu: u32, containers: &[Snapshot]) -> Vec<NetworkInspect> {
    ["bridge", "host", "none"].iter().map(|network| one(network, info, mtu, containers)).collect()
}

fn one(network: &str, info: &Info, mtu: u32, containers: &[Snapshot]) -> NetworkInspect {
    let is_bridge = network == "bridge";
    let driver = if network == "none" { "null" } else { network };
    NetworkInspect {
        name: network.to_owned(),
        id: network_id(&info.id, network),
        created: times::nano(0),
        scope: "local".to_owned(),
        driver: driver.to_owned(),
        enable_ipv4: true,
        ipam: Ipam { driver: "default".to_owned(), options: None, config: is_bridge.then(|| subnets(info)) },
        containers: members(network, containers),
        options: if is_bridge { bridge_options(info, mtu) } else { Texts::new() },
        ..NetworkInspect::default()
    }
}

fn subnets(info: &Info) -> Vec<IpamConfig> {
    vec![IpamConfig {
        subnet: info.subnet.trunc().to_string(),
        gateway: info.gateway.to_string(),
        ..IpamConfig::default()
    }]
}

fn bridge_options(info: &Info, mtu: u32) -> Texts {
    let mtu = if mtu == 0 { 1500 } else { mtu };
    let texts = [
        ("com.docker.network.bridge.default_bridge", "true".to_owned()),
        ("com.docker.network.bridge.enable_icc", "true".to_owned()),
        ("com.docker.network.bridge.enable_ip_masquerade", "true".to_owned()),
        ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0".to_owned()),
        ("com.docker.network.bridge.name", info.bridge.clone()),
        ("com.docker.network.driver.mtu", mtu.to_string()),
    ];
    texts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn members(network: &str, containers: &[Snapshot]) -> BTreeMap<String, NetworkContainer> {
    let on_it = containers.iter().filter(|c| c.state.pid != 0 && name(&c.container.config.network) == network);
    let show = |snapshot: &Snapshot| {
        let id = snapshot.container.id.to_string();
        let end = snapshot.endpoint.as_ref();
        let member = NetworkContainer {
            name: snapshot.name.clone(),
            endpoint_id: stable_id(&[&id, network]),
            mac_address: end.map(|e| e.mac.clone()).unwrap_or_default(),
            ipv4_address: end.map(|e| format!("{}/{}", e.address, e.prefix)).unwrap_or_default(),
            ipv6_address: String::new(),
        };
        (id, member)
    };
    on_it.map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_differ() {
        let (bridge, host) = (network_id("a", "bridge"), network_id("a", "host"));
        assert_eq!(bridge, network_id("a", "bridge"));
        assert_ne!(bridge, host);
        assert_ne!(bridge, network_id("b", "bridge"));
        assert!(bridge.parse::<base::Id>().is_ok());
    }
}
