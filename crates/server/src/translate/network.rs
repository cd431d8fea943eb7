//! What was typed of a new network becomes what is meant (moby, api/types/network/ipam.go for the checks of subnets).

use crate::status::Refusal;
use api::types::{NetworkCreate, NetworkCreateSubnet};
use engine::{NetworkRequest, SubnetRequest};
use ipnet::IpNet;
use std::net::IpAddr;

/// Reads a request for a network.
pub fn meant(typed: NetworkCreate) -> Result<NetworkRequest, Refusal> {
    if typed.name.trim().is_empty() {
        return Err(Refusal::invalid("invalid name: name is empty"));
    }
    check_name(&typed.name)?;
    check_supported(&typed)?;
    let ipv6 = typed.enable_ipv6.unwrap_or(false);
    let ipam = typed.ipam.unwrap_or_default();
    let subnets = subnets(&ipam.config, ipv6)?;
    if !matches!(ipam.driver.as_str(), "" | "default") {
        return Err(Refusal::not_found(format!("plugin {:?} not found", ipam.driver)));
    }
    Ok(NetworkRequest {
        name: typed.name,
        driver: if typed.driver.is_empty() { "bridge".to_owned() } else { typed.driver },
        options: typed.options,
        labels: typed.labels,
        internal: typed.internal,
        attachable: typed.attachable,
        ingress: false,
        ipv6,
        ipam_driver: "default".to_owned(),
        ipam_options: ipam.options,
        subnets,
    })
}

/// Docker takes any name, and so do its clients; but no name writes on the terminals that show it.
fn check_name(name: &str) -> Result<(), Refusal> {
    if name.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!("invalid name: {name:?} has control characters")));
    }
    Ok(())
}

fn check_supported(typed: &NetworkCreate) -> Result<(), Refusal> {
    if typed.ingress || matches!(typed.scope.as_str(), "swarm" | "global") || typed.driver == "overlay" {
        return Err(Refusal::new(
            http::StatusCode::FORBIDDEN,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        ));
    }
    let missing = match () {
        () if typed.config_only || typed.config_from.as_ref().is_some_and(|from| !from.network.is_empty()) => {
            "networks as configuration of others are"
        }
        () if typed.enable_ipv4 == Some(false) => "networks without IPv4 are",
        () => return Ok(()),
    };
    Err(Refusal::unsupported(format!("{missing} not supported by this engine yet")))
}

fn subnets(typed: &[NetworkCreateSubnet], ipv6: bool) -> Result<Vec<SubnetRequest>, Refusal> {
    let (mut meant, mut faults) = (Vec::new(), Vec::new());
    for one in typed {
        match one.subnet.parse::<IpNet>() {
            // Docker takes no notice of them.
            Ok(IpNet::V6(_)) if !ipv6 => {}
            Ok(subnet) => meant.push(of(subnet, one, &mut faults)),
            Err(_) => faults.push(format!("invalid subnet {}: invalid CIDR block notation", one.subnet)),
        }
    }
    if faults.is_empty() {
        return Ok(meant);
    }
    Err(Refusal::invalid(format!("invalid network config:\n{}", faults.join("\n"))))
}

fn of(subnet: IpNet, typed: &NetworkCreateSubnet, faults: &mut Vec<String>) -> SubnetRequest {
    if subnet != subnet.trunc() {
        faults.push(format!("invalid subnet {subnet}: it should be {}", subnet.trunc()));
    }
    let reserved = &typed.auxiliary_addresses;
    SubnetRequest {
        subnet,
        range: range(subnet, &typed.ip_range, faults),
        gateway: address(subnet, "gateway", &typed.gateway, faults),
        reserved: reserved
            .iter()
            .filter_map(|(name, text)| Some((name.clone(), address(subnet, "auxiliary address", text, faults)?)))
            .collect(),
    }
}

fn range(subnet: IpNet, text: &str, faults: &mut Vec<String>) -> Option<IpNet> {
    if text.is_empty() {
        return None;
    }
    let mut fault = |why: String| faults.push(format!("invalid ip-range {text}: {why}"));
    let Ok(range) = text.parse::<IpNet>() else {
        fault("invalid CIDR block notation".to_owned());
        return None;
    };
    if range.addr().is_ipv4() != subnet.addr().is_ipv4() {
        fault(format!("parent subnet is an {} block", family(subnet)));
        return None;
    }
    if range.prefix_len() < subnet.prefix_len() {
        fault(format!("CIDR block is bigger than its parent subnet {subnet}"));
    }
    if range != range.trunc() {
        fault(format!("it should be {}", range.trunc()));
    }
    if !subnet.contains(&range.addr()) {
        fault(format!("parent subnet {subnet} doesn't contain ip-range"));
    }
    Some(range)
}

fn address(subnet: IpNet, what: &str, text: &str, faults: &mut Vec<String>) -> Option<IpAddr> {
    if text.is_empty() {
        return None;
    }
    let mut fault = |why: String| faults.push(format!("invalid {what} {text}: {why}"));
    match text.parse::<IpAddr>() {
        Err(_) => fault("invalid address".to_owned()),
        Ok(address) if address.is_ipv4() != subnet.addr().is_ipv4() => {
            fault(format!("parent subnet is an {} block", family(subnet)));
        }
        Ok(address) if !subnet.contains(&address) => {
            fault(format!("parent subnet {subnet} doesn't contain this address"));
        }
        Ok(address) => return Some(address),
    }
    None
}

fn family(subnet: IpNet) -> &'static str {
    if subnet.addr().is_ipv4() { "IPv4" } else { "IPv6" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: serde_json::Value) -> Result<NetworkRequest, Refusal> {
        meant(serde_json::from_value(body).expect("a request"))
    }

    fn fault(config: serde_json::Value) -> String {
        let body = json!({"Name": "n", "IPAM": {"Config": [config]}});
        read(body).map_err(|refusal| refusal.message).expect_err("a fault")
    }

    #[test]
    fn a_whole_request_is_read() {
        let request = read(json!({
            "Name": "n", "EnableIPv6": true, "Internal": true, "Labels": {"a": "b"},
            "IPAM": {"Driver": "default", "Config": [
                {"Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24", "Gateway": "10.1.0.254", "AuxiliaryAddresses": {"r": "10.1.0.9"}},
                {"Subnet": "fd00:1::/64"},
            ]},
        }));
        let request = request.expect("a good request");
        assert_eq!((request.driver.as_str(), request.internal, request.subnets.len()), ("bridge", true, 2));
        assert_eq!(request.subnets[0].gateway, Some("10.1.0.254".parse().expect("an address")));
    }

    #[test]
    fn what_is_wrong_with_a_subnet_is_told_in_dockers_words() {
        for (config, words) in [
            (json!({"Subnet": "x"}), "invalid subnet x: invalid CIDR block notation"),
            (json!({"Subnet": "10.1.0.1/16"}), "invalid subnet 10.1.0.1/16: it should be 10.1.0.0/16"),
            (
                json!({"Subnet": "10.1.0.0/16", "IPRange": "10.2.0.0/24"}),
                "invalid ip-range 10.2.0.0/24: parent subnet 10.1.0.0/16 doesn't contain ip-range",
            ),
            (
                json!({"Subnet": "10.1.0.0/16", "Gateway": "10.2.0.1"}),
                "invalid gateway 10.2.0.1: parent subnet 10.1.0.0/16 doesn't contain this address",
            ),
        ] {
            assert_eq!(fault(config), format!("invalid network config:\n{words}"));
        }
    }

    #[test]
    fn what_this_engine_has_not_is_refused() {
        for (body, status) in [
            (json!({"Name": " "}), 400),
            (json!({"Name": "a\nb"}), 400),
            (json!({"Name": "n", "ConfigOnly": true}), 501),
            (json!({"Name": "n", "EnableIPv4": false}), 501),
            (json!({"Name": "n", "Driver": "overlay"}), 403),
        ] {
            assert_eq!(read(body.clone()).map_err(|refusal| refusal.status.as_u16()).err(), Some(status), "{body}");
        }
    }
}
