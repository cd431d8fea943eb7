//! Ports: exposed and published ones.

use super::list;
use crate::status::Refusal;
use api::types::{ContainerConfig, HostConfig, PortBinding, UpdateRequest};
use container::{Config, NetworkMode, PortProtocol, Protocol, PublishRequest};
use engine::{Republishing, Unpublish};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Fills in exposed and published ports; published ones are exposed too.
pub fn put(
    config: &mut Config,
    typed: &ContainerConfig,
    host: &HostConfig,
    warnings: &mut Vec<String>,
) -> Result<(), Refusal> {
    let bindings = host.port_bindings.iter().flatten();
    if config.network == NetworkMode::Host && bindings.clone().next().is_some() {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    for text in typed.exposed_ports.iter().flat_map(|ports| ports.keys()) {
        config.exposed_ports.extend(port_range(text)?);
    }
    for (text, asked) in bindings {
        let container = port_protocol(text)?;
        config.exposed_ports.insert(container);
        for binding in list(asked) {
            config.ports.push(publish(container, binding)?);
        }
    }
    config.publish_all = host.publish_all_ports;
    Ok(())
}

fn publish(container: PortProtocol, binding: &PortBinding) -> Result<PublishRequest, Refusal> {
    let host_ip = match binding.host_ip.as_str() {
        "" => None,
        text => Some(host_address(text)?),
    };
    Ok(PublishRequest { container, host_ip, host_ports: host_ports(&binding.host_port.0)? })
}

/// What an update asks of published ports, if it does; `usual` is where they are published when it is not told.
pub fn republishing(asked: &UpdateRequest, usual: Option<IpAddr>) -> Result<Option<Republishing>, Refusal> {
    let mut change = Republishing::default();
    for text in asked.unpublish.iter().flatten() {
        change.take.push(unpublish(text)?);
    }
    for (text, bindings) in asked.publish.iter().flatten() {
        let container = port_protocol(text)?;
        let any = [PortBinding::default()];
        let bindings = if list(bindings).is_empty() { &any[..] } else { list(bindings) };
        for binding in bindings {
            let request = publish(container, binding)?;
            change.add.push(PublishRequest { host_ip: request.host_ip.or(usual), ..request });
        }
    }
    Ok((change != Republishing::default()).then_some(change))
}

/// `8080`, `8080/udp`, `127.0.0.1:8080`, `[::1]:8000-8010/tcp`
fn unpublish(text: &str) -> Result<Unpublish, Refusal> {
    let (address, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (ip, ports) = match address.rsplit_once(':') {
        Some((ip, ports)) => (Some(host_address(ip)?), ports),
        None => (None, address),
    };
    let protocol = port_protocol(&format!("1/{protocol}")).map_err(|_| wrong(text))?.protocol;
    match host_ports(ports)? {
        (0, 0) => Err(wrong(text)),
        host_ports => Ok(Unpublish { host_ip: ip, host_ports, protocol }),
    }
}

/// Writes the published ports of a configuration into the request that inspect shows.
pub fn show(config: &mut Config) {
    let mut bindings = serde_json::Map::new();
    for request in &config.ports {
        let ip = request.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let port = match request.host_ports {
            (0, 0) => String::new(),
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let list = bindings.entry(crate::present::network::port_text(request.container)).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({ "HostIp": ip, "HostPort": port }));
        }
    }
    let exposed: serde_json::Map<String, Value> =
        config.exposed_ports.iter().map(|port| (crate::present::network::port_text(*port), json!({}))).collect();
    let mut asked = config.asked.value();
    if asked["HostConfig"].is_null() {
        asked["HostConfig"] = json!({});
    }
    asked["HostConfig"]["PortBindings"] = Value::Object(bindings);
    asked["HostConfig"]["PublishAllPorts"] = json!(config.publish_all);
    asked["ExposedPorts"] = Value::Object(exposed);
    config.asked = asked.into();
}

fn host_address(text: &str) -> Result<IpAddr, Refusal> {
    let bare = text.trim_matches(['[', ']']);
    bare.parse().map_err(|_| Refusal::invalid(format!("invalid IP address: {text}")))
}

/// `8080`, `8000-8010`, or empty for any.
fn host_ports(text: &str) -> Result<(u16, u16), Refusal> {
    if text.is_empty() || text == "0" {
        return Ok((0, 0));
    }
    let wrong = || Refusal::invalid(format!("invalid port specification: {text:?}"));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first == 0 || first > last { Err(wrong()) } else { Ok((first, last)) }
}

/// `80`, `80/tcp`, `53/udp`
pub fn port_protocol(text: &str) -> Result<PortProtocol, Refusal> {
    let mut ports = port_range(text)?;
    match (ports.pop(), ports.is_empty()) {
        (Some(port), true) => Ok(port),
        _ => Err(wrong(text)),
    }
}

/// `80/tcp` or `8000-8010/tcp`
pub fn port_range(text: &str) -> Result<Vec<PortProtocol>, Refusal> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_lowercase().as_str() {
        "tcp" | "" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(wrong(text)),
    };
    let (first, last) = number.split_once('-').unwrap_or((number, number));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| wrong(text))?, last.parse().map_err(|_| wrong(text))?);
    if first == 0 || first > last {
        return Err(wrong(text));
    }
    Ok((first..=last).map(|port| PortProtocol { port, protocol }).collect())
}

fn wrong(text: &str) -> Refusal {
    Refusal::invalid(format!("invalid port specification: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        assert_eq!(port_protocol("80").ok(), Some(PortProtocol { port: 80, protocol: Protocol::Tcp }));
        assert_eq!(port_protocol("53/UDP").ok(), Some(PortProtocol { port: 53, protocol: Protocol::Udp }));
        assert_eq!(port_range("1-3/tcp").map(|p| p.len()), Ok(3));
        for text in ["", "0", "x", "70000", "80/icmp", "3-1", "1-", "/tcp"] {
            assert!(port_protocol(text).is_err(), "{text}");
        }
    }

    #[test]
    fn host_ports_are_one_a_range_or_any() {
        assert_eq!(host_ports(""), Ok((0, 0)));
        assert_eq!(host_ports("8080"), Ok((8080, 8080)));
        assert_eq!(host_ports("8000-8010"), Ok((8000, 8010)));
        for text in ["x", "70000", "9-8", "0-5"] {
            assert!(host_ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_to_take_back_are_told_by_the_host_s_number() {
        let tcp = |host_ip: Option<&str>, host_ports| {
            Ok(Unpublish { host_ip: host_ip.map(|ip| ip.parse().unwrap()), host_ports, protocol: Protocol::Tcp })
        };
        assert_eq!(unpublish("8080"), tcp(None, (8080, 8080)));
        assert_eq!(unpublish("127.0.0.1:8080/tcp"), tcp(Some("127.0.0.1"), (8080, 8080)));
        assert_eq!(unpublish("[::1]:8000-8010"), tcp(Some("::1"), (8000, 8010)));
        for text in ["", "0", "x", "8080:80", "9-8", "8080/icmp", "[::1]:"] {
            assert!(unpublish(text).is_err(), "{text}");
        }
    }
}
