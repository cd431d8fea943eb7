//! Other published ports for a container, at once when it runs: kept over restarts.

use super::connect::{keep_ends, live_ends};
use crate::streams::lock;
use crate::{Engine, Error, Result};
use container::{Config, Container, NetworkMode, PublishRequest, Status};
use network::{Endpoint, Port, PortRequest};
use std::net::IpAddr;

/// Ports of the host that are to lead into a container no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublish {
    /// `None`: of whatever address.
    pub host_ip: Option<IpAddr>,
    /// The last one included.
    pub host_ports: (u16, u16),
    pub protocol: container::Protocol,
}

/// What changes of a container's published ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Republishing {
    pub take: Vec<Unpublish>,
    pub add: Vec<PublishRequest>,
}

impl Engine {
    /// Takes ports back and publishes others: all of it or nothing. `shown` writes the ports of the configuration into what inspect shows
    /// as asked.
    pub fn republish(&self, name: &str, change: &Republishing, shown: fn(&mut Config)) -> Result<()> {
        let cell = self.house.shelf.find(name)?;
        let _turn = lock(&cell.turn);
        if matches!(cell.status(), Status::Removing | Status::Dead) {
            let why = "container is marked for removal and cannot be \"update\"";
            return Err(Error::Conflict(format!("Cannot update container {}: {why}", cell.id)));
        }
        let record = cell.record();
        check(&record.config)?;
        let before = live_ends(&cell);
        let taken: Vec<Port> = before.iter().flat_map(|end| &end.ports).filter(|p| change.takes(p)).cloned().collect();
        let mut config = record.config.clone();
        forget(&mut config, change, &taken)?;
        remember(&mut config, &change.add);
        shown(&mut config);
        let runs = lock(&cell.live).is_some();
        if runs {
            let ends = self.move_ports(&record, before, &taken, &change.add)?;
            keep_ends(&cell, ends);
            self.house.save(&cell);
        }
        self.house.change_record(&cell, |record: &mut Container| record.config = config)?;
        self.house.tell(&cell, "update", &[]);
        Ok(())
    }

    /// The ends with other ports.
    fn move_ports(
        &self,
        record: &Container,
        mut ends: Vec<Endpoint>,
        taken: &[Port],
        added: &[PublishRequest],
    ) -> Result<Vec<Endpoint>> {
        let old = ends.clone();
        for end in &mut ends {
            let own: Vec<Port> = end.ports.iter().filter(|port| taken.contains(port)).cloned().collect();
            let driver = self.house.networks.of(end).and_then(|entry| entry.driver.clone());
            if let Some(driver) = driver.filter(|_| !own.is_empty()) {
                driver.unpublish_some(end, &own)?;
            }
        }
        let requests = crate::containers::requests(added);
        match self.publish_requests(&record.config, &mut ends, requests) {
            Ok(()) => Ok(ends),
            Err(e) => {
                self.put_back(&mut ends, &old);
                Err(e)
            }
        }
    }

    /// After ports that could not be published: those that were taken back before are published again.
    fn put_back(&self, ends: &mut [Endpoint], old: &[Endpoint]) {
        for (end, before) in ends.iter_mut().zip(old) {
            let lost: Vec<PortRequest> =
                before.ports.iter().filter(|port| !end.ports.contains(port)).map(as_it_was).collect();
            let driver = self.house.networks.of(end).and_then(|entry| entry.driver.clone());
            if let Some(driver) = driver.filter(|_| !lost.is_empty())
                && let Err(e) = driver.publish(end, &lost)
            {
                tracing::warn!("cannot publish ports of {} again: {}", end.address, base::chain(&e));
            }
        }
    }
}

impl Republishing {
    fn takes(&self, port: &Port) -> bool {
        let wanted = |take: &Unpublish| {
            let (first, last) = take.host_ports;
            crate::containers::protocol(take.protocol) == port.protocol
                && (first..=last).contains(&port.host_port)
                && port.host_port != 0
                && take.host_ip.is_none_or(|ip| ip == port.host_ip)
        };
        self.take.iter().any(wanted)
    }
}

fn as_it_was(port: &Port) -> PortRequest {
    PortRequest {
        container_port: port.container_port,
        protocol: port.protocol,
        host_ip: Some(port.host_ip),
        host_ports: (port.host_port, port.host_port),
    }
}

fn check(config: &Config) -> Result<()> {
    let why = match config.network {
        NetworkMode::Host => "it has the host's network: its ports are the host's",
        NetworkMode::Container(_) => "it has another container's network: ports are published by that one",
        NetworkMode::None => "it has no network",
        _ => return Ok(()),
    };
    Err(Error::Invalid(format!("ports of this container cannot be published: {why}")))
}

/// Takes out of a configuration what is taken back, so that the next start does not publish it again; refused when nobody has it.
fn forget(config: &mut Config, change: &Republishing, taken: &[Port]) -> Result<()> {
    let mut told = Vec::new();
    for take in &change.take {
        let (first, last) = take.host_ports;
        let is_told = |request: &PublishRequest| {
            let (from, to) = request.host_ports;
            from == to
                && (first..=last).contains(&from)
                && request.container.protocol == take.protocol
                && take.host_ip.is_none_or(|ip| request.host_ip == Some(ip))
        };
        let count = config.ports.len();
        told.extend(config.ports.extract_if(.., |request| is_told(request)));
        let is_live = taken.iter().any(|port| (Republishing { take: vec![take.clone()], add: Vec::new() }).takes(port));
        if config.ports.len() == count && !is_live {
            let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
            let protocol = crate::containers::protocol(take.protocol);
            return Err(Error::NotFound(format!(
                "port {range}/{protocol} of the host does not lead to this container"
            )));
        }
    }
    let led_to = |request: &PublishRequest, port: &Port| {
        request.host_ports.0 == port.host_port
            && request.container.port == port.container_port
            && crate::containers::protocol(request.container.protocol) == port.protocol
    };
    // A port of each family came of one request.
    let mut known: Vec<(network::Protocol, u16)> = Vec::new();
    for port in taken.iter().filter(|port| !told.iter().any(|request| led_to(request, port))) {
        if !known.contains(&(port.protocol, port.host_port)) {
            known.push((port.protocol, port.host_port));
            forget_any(config, port);
        }
    }
    Ok(())
}

/// Of a port whose number was not asked for: the request it came from.
fn forget_any(config: &mut Config, port: &Port) {
    let is_source = |request: &PublishRequest| {
        let (first, last) = request.host_ports;
        request.container.port == port.container_port
            && crate::containers::protocol(request.container.protocol) == port.protocol
            && ((first, last) == (0, 0) || (first < last && (first..=last).contains(&port.host_port)))
            && request.host_ip.is_none_or(|ip| ip == port.host_ip)
    };
    if let Some(place) = config.ports.iter().position(is_source) {
        config.ports.remove(place);
        return;
    }
    if config.publish_all {
        // From here on each exposed port is published by a request of its own, but this one.
        let own: Vec<_> = config.ports.iter().map(|request| request.container).collect();
        let same = |exposed: &container::PortProtocol| {
            exposed.port == port.container_port && crate::containers::protocol(exposed.protocol) == port.protocol
        };
        let others = config.exposed_ports.iter().filter(|exposed| !own.contains(exposed) && !same(exposed));
        let host_ip = config.publish_all_at;
        let requests: Vec<_> =
            others.map(|exposed| PublishRequest { container: *exposed, host_ip, host_ports: (0, 0) }).collect();
        config.ports.extend(requests);
        config.publish_all = false;
    }
}

fn remember(config: &mut Config, added: &[PublishRequest]) {
    config.exposed_ports.extend(added.iter().map(|request| request.container));
    config.ports.extend(added.iter().cloned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use container::PortProtocol;

    const TCP: container::Protocol = container::Protocol::Tcp;

    fn request(port: u16, host_ports: (u16, u16)) -> PublishRequest {
        PublishRequest { container: PortProtocol { port, protocol: TCP }, host_ip: None, host_ports }
    }

    fn take(host_ports: (u16, u16)) -> Republishing {
        Republishing { take: vec![Unpublish { host_ip: None, host_ports, protocol: TCP }], add: Vec::new() }
    }

    fn live(container_port: u16, host_port: u16) -> Port {
        let host_ip = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        Port { container_port, protocol: network::Protocol::Tcp, host_ip, host_port }
    }

    #[test]
    fn what_is_taken_back_is_asked_for_no_longer() {
        let ports = vec![request(80, (8080, 8080)), request(81, (0, 0)), request(82, (9000, 9010))];
        let mut config = Config { ports, ..Config::default() };
        forget(&mut config, &take((8080, 8080)), &[live(80, 8080)]).unwrap();
        forget(&mut config, &take((33_000, 33_000)), &[live(81, 33_000)]).unwrap();
        assert_eq!(config.ports, [request(82, (9000, 9010))]);
        forget(&mut config, &take((9000, 9005)), &[live(82, 9003)]).unwrap();
        assert_eq!(config.ports, []);
        assert!(matches!(forget(&mut config, &take((1, 2)), &[]), Err(Error::NotFound(_))));
    }

    #[test]
    fn another_request_for_the_same_port_of_the_container_stays() {
        let ports = vec![request(80, (8080, 8080)), request(80, (0, 0)), request(80, (0, 0))];
        let mut config = Config { ports, ..Config::default() };
        let v6 = |port: Port| Port { host_ip: IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), ..port };
        forget(&mut config, &take((8080, 8080)), &[live(80, 8080), v6(live(80, 8080))]).unwrap();
        assert_eq!(config.ports, [request(80, (0, 0)), request(80, (0, 0))]);
        forget(&mut config, &take((33_000, 33_000)), &[live(80, 33_000), v6(live(80, 33_000))]).unwrap();
        assert_eq!(config.ports, [request(80, (0, 0))]);
    }

    #[test]
    fn of_all_exposed_ports_that_were_published_one_can_be_taken_back() {
        let exposed = [80, 81].map(|port| PortProtocol { port, protocol: TCP });
        let at = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let mut config =
            Config { exposed_ports: exposed.into(), publish_all: true, publish_all_at: at, ..Config::default() };
        assert!(crate::containers::port_requests(&config).iter().all(|request| request.host_ip == at));
        forget(&mut config, &take((33_000, 33_000)), &[live(80, 33_000)]).unwrap();
        let left = PublishRequest { host_ip: at, ..request(81, (0, 0)) };
        assert_eq!((config.publish_all, config.ports), (false, vec![left]));
    }
}
