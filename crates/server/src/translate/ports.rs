//! Ports: exposed and published ones.

use super::list;
use crate::status::Refusal;
use api::types::{ContainerConfig, HostConfig, PortBinding};
use container::{Config, NetworkMode, PortProtocol, Protocol, PublishRequest};
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
}
