//! Networks, and a container's ends on them.

use crate::times;
use api::types::{
    EndpointIpam, EndpointSettings, Ipam, IpamConfig, NetworkContainer, NetworkInspect, PortBinding, PortSummary,
};
use container::PortProtocol;
use engine::{Attached, Member, NetworkView, Snapshot};
use std::collections::BTreeMap;

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

/// The container's ends, by the names of their networks.
pub fn endpoints(snapshot: &Snapshot) -> BTreeMap<String, EndpointSettings> {
    snapshot.networks.iter().map(|attached| (attached.network.clone(), endpoint(snapshot, attached))).collect()
}

fn endpoint(snapshot: &Snapshot, attached: &Attached) -> EndpointSettings {
    let request = &attached.request;
    let listed = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let ipam = EndpointIpam {
        ipv4_address: request.ipv4.map(|address| address.to_string()).unwrap_or_default(),
        ipv6_address: request.ipv6.map(|address| address.to_string()).unwrap_or_default(),
        link_local_ips: Some(request.link_local.iter().map(ToString::to_string).collect())
            .filter(|all: &Vec<String>| !all.is_empty()),
    };
    let is_addressed = request.ipv4.is_some() || request.ipv6.is_some() || !request.link_local.is_empty();
    let mut settings = EndpointSettings {
        ipam_config: is_addressed.then_some(ipam),
        links: listed(&request.links),
        aliases: listed(&request.aliases),
        driver_opts: Some(request.driver_options.clone()).filter(|options| !options.is_empty()),
        gw_priority: request.gateway_priority,
        dns_names: listed(&attached.dns_names),
        ..EndpointSettings::default()
    };
    let runs = snapshot.state.pid != 0;
    if runs || snapshot.state.has_run {
        settings.network_id.clone_from(&attached.network_id);
    } else {
        settings.mac_address = request.mac.clone().unwrap_or_default();
    }
    if let Some(end) = &attached.endpoint {
        settings.endpoint_id.clone_from(&end.id);
        settings.mac_address.clone_from(&end.mac);
        settings.gateway = end.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
        settings.ip_address = end.address.to_string();
        settings.ip_prefix_len = end.prefix;
        settings.ipv6_gateway = end.gateway6.map(|gateway| gateway.to_string()).unwrap_or_default();
        if let Some(net) = end.ipv6 {
            settings.global_ipv6_address = net.addr().to_string();
            settings.global_ipv6_prefix_len = net.prefix_len();
        }
    } else if runs {
        settings.endpoint_id = stable_id(&[&snapshot.container.id.to_string(), &attached.network]);
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
    for port in snapshot.networks.iter().filter_map(|n| n.endpoint.as_ref()).flat_map(|end| &end.ports) {
        let key = format!("{}/{}", port.container_port, protocol(port.protocol));
        // A routed port has none of the host.
        let host_port = if port.host_port == 0 { String::new() } else { port.host_port.to_string() };
        let binding = PortBinding { host_ip: port.host_ip.to_string(), host_port: api::types::Text(host_port) };
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

/// A network, with the running containers on it.
pub fn inspect(view: &NetworkView) -> NetworkInspect {
    let record = &view.record;
    let has_subnets = !record.ipam.config.is_empty();
    NetworkInspect {
        name: record.name.clone(),
        id: record.id.clone(),
        created: times::nano(record.created_at),
        scope: "local".to_owned(),
        driver: record.driver.clone(),
        enable_ipv4: true,
        enable_ipv6: record.ipv6,
        ipam: Ipam {
            driver: record.ipam.driver.clone(),
            options: record.ipam.options.clone(),
            config: has_subnets.then(|| record.ipam.config.iter().map(subnet).collect()),
        },
        internal: record.internal,
        attachable: record.attachable,
        ingress: record.ingress,
        containers: view.members.iter().map(|member| (member.container.to_string(), present(view, member))).collect(),
        options: record.options.clone(),
        labels: record.labels.clone(),
        ..NetworkInspect::default()
    }
}

fn subnet(subnet: &network::Subnet) -> IpamConfig {
    let reserved = &subnet.reserved;
    IpamConfig {
        subnet: subnet.subnet.to_string(),
        ip_range: subnet.range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: subnet.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        auxiliary_addresses: (!reserved.is_empty()).then(|| serde_json::json!(reserved)),
    }
}

fn present(view: &NetworkView, member: &Member) -> NetworkContainer {
    let end = member.endpoint.as_ref();
    let id = member.container.to_string();
    NetworkContainer {
        name: member.name.clone(),
        endpoint_id: end.map_or_else(|| stable_id(&[&id, &view.record.name]), |end| end.id.clone()),
        mac_address: end.map(|e| e.mac.clone()).unwrap_or_default(),
        ipv4_address: end.map(|e| format!("{}/{}", e.address, e.prefix)).unwrap_or_default(),
        ipv6_address: end.and_then(|e| e.ipv6).map(|net| net.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_differ() {
        let (bridge, host) = (stable_id(&["a", "bridge"]), stable_id(&["a", "host"]));
        assert_eq!(bridge, stable_id(&["a", "bridge"]));
        assert_ne!(bridge, host);
        assert!(bridge.parse::<base::Id>().is_ok());
    }
}
