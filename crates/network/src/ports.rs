//! The published ports of one bridge: which container has which, and what holds it on the host.

use crate::reservation::{self, Reservation};
use crate::{Error, Outer, OuterPort, Port, PortRequest, Protocol, owner, sysctl};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A port of the host.
type Place = (Protocol, Ipv4Addr, u16);

#[derive(Debug)]
struct Holding {
    container: Ipv4Addr,
    container_port: u16,
    #[expect(dead_code, reason = "holds the port on the host")]
    held: Option<Held>,
}

/// What keeps a port of the host.
#[derive(Debug)]
#[expect(dead_code, reason = "they hold the port as long as they live")]
enum Held {
    Here(Reservation),
    Outside(OuterPort),
}

/// The published ports.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    held: Mutex<HashMap<Place, Holding>>,
    /// Whose ports they are, when not this network namespace's.
    outer: Option<Arc<dyn Outer>>,
}

/// Ports that are reserved and recorded; given back when dropped, unless they are kept.
#[derive(Debug)]
pub(crate) struct Claim<'p> {
    owner: &'p Ports,
    container: Ipv4Addr,
    pub(crate) ports: Vec<Port>,
}

impl Claim<'_> {
    /// The ports stay claimed.
    pub(crate) fn keep(mut self) -> Vec<Port> {
        std::mem::take(&mut self.ports)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.owner.release(self.container, &self.ports);
    }
}

impl Ports {
    pub(crate) fn of(outer: Option<Arc<dyn Outer>>) -> Ports {
        Ports { held: Mutex::default(), outer }
    }

    /// Keeps the port `at` for `to`; with its number. `Ok(None)`: it is taken.
    fn hold(&self, protocol: Protocol, at: SocketAddrV4, to: SocketAddrV4) -> Result<Option<(u16, Held)>, Error> {
        Ok(match &self.outer {
            None => reservation::hold(protocol, *at.ip(), at.port())?.map(|held| (held.port, Held::Here(held))),
            Some(outer) => outer.open(protocol, at, to)?.map(|held| (held.port, Held::Outside(held))),
        })
    }

    /// Claims a port for each request, or none at all.
    pub(crate) fn claim(&self, container: Ipv4Addr, requests: &[PortRequest]) -> Result<Claim<'_>, Error> {
        let mut claim = Claim { owner: self, container, ports: Vec::with_capacity(requests.len()) };
        for request in requests {
            check(request)?;
        }
        for request in requests {
            let port = self.claim_one(container, request)?;
            claim.ports.push(port);
        }
        Ok(claim)
    }

    /// Claims ports that a container has had since an earlier engine. What holds them on the host may be missing.
    pub(crate) fn adopt(&self, container: Ipv4Addr, ports: &[Port]) {
        for port in ports {
            let at = SocketAddrV4::new(port.host_ip, port.host_port);
            let held = match self.hold(port.protocol, at, SocketAddrV4::new(container, port.container_port)) {
                Ok(Some((_, held))) => Some(held),
                Ok(None) => {
                    let owner = owner::of_port(port.protocol, port.host_ip, port.host_port);
                    let owner = owner.unwrap_or_else(|| "another program".to_owned());
                    tracing::warn!("port {}/{} of {container} is {owner}'s meanwhile", port.host_port, port.protocol);
                    None
                }
                Err(e) => {
                    tracing::warn!("{}", base::chain(&e));
                    None
                }
            };
            let holding = Holding { container, container_port: port.container_port, held };
            self.lock().insert((port.protocol, port.host_ip, port.host_port), holding);
        }
    }

    /// Gives back those of `ports` that `container` has, and tells which.
    pub(crate) fn release(&self, container: Ipv4Addr, ports: &[Port]) -> Vec<Port> {
        let mut held = self.lock();
        let mine = |p: &&Port| {
            let place = (p.protocol, p.host_ip, p.host_port);
            if held.get(&place).is_some_and(|h| h.container == container) {
                held.remove(&place).is_some()
            } else {
                false
            }
        };
        ports.iter().filter(mine).cloned().collect()
    }

    /// Every published port with its container.
    pub(crate) fn all(&self) -> Vec<(Port, Ipv4Addr)> {
        let held = self.lock();
        held.iter()
            .map(|(&(protocol, host_ip, host_port), holding)| {
                let port = Port { container_port: holding.container_port, protocol, host_ip, host_port };
                (port, holding.container)
            })
            .collect()
    }

    fn claim_one(&self, container: Ipv4Addr, request: &PortRequest) -> Result<Port, Error> {
        let (first, last) = request.host_ports;
        if (first, last) == (0, 0) {
            return self.claim_any(container, request);
        }
        for host_port in first..=last {
            if let Some(port) = self.try_claim(container, request, host_port)? {
                return Ok(port);
            }
        }
        if first == last { Err(self.taken(request, first)) } else { Err(Error::PortsExhausted(first, last)) }
    }

    fn claim_any(&self, container: Ipv4Addr, request: &PortRequest) -> Result<Port, Error> {
        if let Some(port) = self.try_claim(container, request, 0)? {
            return Ok(port);
        }
        // The kernel has no sockets of this protocol that could pick one.
        let (first, last) = sysctl::ephemeral_ports();
        for host_port in first..=last {
            if let Some(port) = self.try_claim(container, request, host_port)? {
                return Ok(port);
            }
        }
        Err(Error::PortsExhausted(first, last))
    }

    fn try_claim(&self, container: Ipv4Addr, request: &PortRequest, port: u16) -> Result<Option<Port>, Error> {
        let host_ip = request.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let (at, to) = (SocketAddrV4::new(host_ip, port), SocketAddrV4::new(container, request.container_port));
        let Some((host_port, held)) = self.hold(request.protocol, at, to)? else { return Ok(None) };
        let mut all = self.lock();
        if conflict(&all, request.protocol, host_ip, host_port).is_some() {
            return Ok(None);
        }
        let container_port = request.container_port;
        let holding = Holding { container, container_port, held: Some(held) };
        all.insert((request.protocol, host_ip, host_port), holding);
        Ok(Some(Port { container_port, protocol: request.protocol, host_ip, host_port }))
    }

    fn taken(&self, request: &PortRequest, port: u16) -> Error {
        let (protocol, ip) = (request.protocol, request.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED));
        let ours = conflict(&self.lock(), protocol, ip, port).map(|container| format!("container {container}"));
        let owner = ours.or_else(|| owner::of_port(protocol, ip, port));
        Error::PortTaken { ip, port, protocol, owner }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Holding>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The container that has this port, on the same address, on all, or (for all addresses) on any.
fn conflict(held: &HashMap<Place, Holding>, protocol: Protocol, ip: Ipv4Addr, port: u16) -> Option<Ipv4Addr> {
    let at = |ip: Ipv4Addr| held.get(&(protocol, ip, port)).map(|h| h.container);
    if !ip.is_unspecified() {
        return at(ip).or_else(|| at(Ipv4Addr::UNSPECIFIED));
    }
    held.iter().find(|((p, _, n), _)| *p == protocol && *n == port).map(|(_, h)| h.container)
}

fn check(request: &PortRequest) -> Result<(), Error> {
    let (first, last) = request.host_ports;
    if request.container_port == 0 {
        return Err(Error::Invalid("a container's port is 1 to 65535".to_owned()));
    }
    if first > last || (first == 0 && last != 0) {
        return Err(Error::Invalid(format!("{first}-{last} is no range of ports")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
    const B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 3);

    fn request(host_ports: (u16, u16)) -> PortRequest {
        PortRequest { container_port: 80, protocol: Protocol::Tcp, host_ip: Some(Ipv4Addr::LOCALHOST), host_ports }
    }

    #[test]
    fn a_claim_that_fails_half_way_holds_nothing() {
        let ports = Ports::default();
        let first = ports.claim(A, &[request((0, 0))]).unwrap().keep();
        let taken = first[0].host_port;
        let failed = ports.claim(B, &[request((0, 0)), request((taken, taken))]);
        assert!(matches!(failed, Err(Error::PortTaken { owner: Some(o), .. }) if o == "container 10.9.0.2"));
        assert_eq!(ports.all(), [(first[0].clone(), A)]);
    }

    #[test]
    fn only_its_owner_gives_a_port_back() {
        let ports = Ports::default();
        let claimed = ports.claim(A, &[request((0, 0))]).unwrap().keep();
        assert_eq!(ports.release(B, &claimed), []);
        assert_eq!(ports.release(A, &claimed), claimed);
        assert_eq!(ports.release(A, &claimed), []);
    }

    #[test]
    fn ranges_that_are_none_are_refused_before_anything_is_claimed() {
        let ports = Ports::default();
        for wrong in [(0, 9), (9, 8)] {
            assert!(matches!(ports.claim(A, &[request((0, 0)), request(wrong)]), Err(Error::Invalid(_))));
        }
        assert_eq!(ports.all(), []);
    }
}
