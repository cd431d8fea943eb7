//! The published ports of an engine: which container has which, and what holds it on the host.

use crate::reservation::{self, Reservation};
use crate::{Endpoint, Error, Outer, OuterPort, Port, PortRequest, Protocol, owner, sysctl};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A port of the host.
type Place = (Protocol, IpAddr, u16);

#[derive(Debug)]
struct Holding {
    container: IpAddr,
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

/// How often a free port of one family may be taken in the other before all are looked through.
const TRIES: usize = 16;

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
    /// With the address of the container that each leads to.
    pub(crate) ports: Vec<(Port, IpAddr)>,
}

impl Claim<'_> {
    /// The ports stay claimed.
    pub(crate) fn keep(mut self) -> Vec<Port> {
        std::mem::take(&mut self.ports).into_iter().map(|(port, _)| port).collect()
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.owner.release(&self.ports);
    }
}

impl Ports {
    pub(crate) fn of(outer: Option<Arc<dyn Outer>>) -> Ports {
        Ports { held: Mutex::default(), outer }
    }

    /// Keeps the port `at` for `to`; with its number. `Ok(None)`: it is taken.
    fn hold(&self, protocol: Protocol, at: SocketAddr, to: SocketAddr) -> Result<Option<(u16, Held)>, Error> {
        match (&self.outer, at, to) {
            (None, _, _) => {
                let held = reservation::hold(protocol, at.ip(), at.port())?;
                Ok(held.map(|held| (held.port, Held::Here(held))))
            }
            (Some(outer), SocketAddr::V4(at), SocketAddr::V4(to)) => {
                Ok(outer.open(protocol, at, to)?.map(|held| (held.port, Held::Outside(held))))
            }
            _ => Err(Error::Invalid(format!("port {at}/{protocol}: an engine without root publishes on IPv4 only"))),
        }
    }

    /// Claims what each request asks for, or nothing at all.
    pub(crate) fn claim(&self, endpoint: &Endpoint, requests: &[PortRequest]) -> Result<Claim<'_>, Error> {
        let mut claim = Claim { owner: self, ports: Vec::with_capacity(requests.len()) };
        for request in requests {
            check(request, endpoint)?;
        }
        for request in requests {
            let wanted = self.both(request, endpoint);
            claim.ports.extend(self.claim_each(endpoint, request, &wanted)?);
        }
        Ok(claim)
    }

    /// The addresses of the host that a request is about.
    fn both(&self, request: &PortRequest, endpoint: &Endpoint) -> Vec<IpAddr> {
        let on_v6 = endpoint.ipv6.is_some() && self.outer.is_none();
        match request.host_ip {
            Some(ip) => vec![ip],
            None if on_v6 => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            None => vec![Ipv4Addr::UNSPECIFIED.into()],
        }
    }

    /// Claims ports that a container has had since an earlier engine. What holds them on the host may be missing.
    pub(crate) fn adopt(&self, endpoint: &Endpoint) {
        for port in &endpoint.ports {
            let Some(container) = endpoint.address_like(port.host_ip) else { continue };
            let at = SocketAddr::new(port.host_ip, port.host_port);
            let held = match self.hold(port.protocol, at, SocketAddr::new(container, port.container_port)) {
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

    /// Gives back those of `ports` that lead to their container, and tells which.
    pub(crate) fn release(&self, ports: &[(Port, IpAddr)]) -> Vec<(Port, IpAddr)> {
        let mut held = self.lock();
        let mine = |(p, container): &&(Port, IpAddr)| {
            let place = (p.protocol, p.host_ip, p.host_port);
            if held.get(&place).is_some_and(|h| h.container == *container) {
                held.remove(&place).is_some()
            } else {
                false
            }
        };
        ports.iter().filter(mine).cloned().collect()
    }

    /// Every published port with its container.
    pub(crate) fn all(&self) -> Vec<(Port, IpAddr)> {
        let held = self.lock();
        held.iter()
            .map(|(&(protocol, host_ip, host_port), holding)| {
                let port = Port { container_port: holding.container_port, protocol, host_ip, host_port };
                (port, holding.container)
            })
            .collect()
    }

    /// The same port of each address.
    fn claim_each(
        &self,
        endpoint: &Endpoint,
        request: &PortRequest,
        wanted: &[IpAddr],
    ) -> Result<Vec<(Port, IpAddr)>, Error> {
        let (first, last) = request.host_ports;
        if (first, last) == (0, 0) {
            return self.claim_any(endpoint, request, wanted);
        }
        for host_port in first..=last {
            if let Some(ports) = self.try_each(endpoint, request, wanted, host_port)? {
                return Ok(ports);
            }
        }
        if first == last {
            Err(self.taken(request.protocol, wanted, first))
        } else {
            Err(Error::PortsExhausted(first, last))
        }
    }

    fn claim_any(
        &self,
        endpoint: &Endpoint,
        request: &PortRequest,
        wanted: &[IpAddr],
    ) -> Result<Vec<(Port, IpAddr)>, Error> {
        for _ in 0..TRIES {
            if let Some(ports) = self.try_each(endpoint, request, wanted, 0)? {
                return Ok(ports);
            }
        }
        // The kernel has no sockets of this protocol that could pick one.
        let (first, last) = sysctl::ephemeral_ports();
        for host_port in first..=last {
            if let Some(ports) = self.try_each(endpoint, request, wanted, host_port)? {
                return Ok(ports);
            }
        }
        Err(Error::PortsExhausted(first, last))
    }

    /// `port` 0 is any; what it comes to on the first address is asked of the others.
    fn try_each(
        &self,
        endpoint: &Endpoint,
        request: &PortRequest,
        wanted: &[IpAddr],
        port: u16,
    ) -> Result<Option<Vec<(Port, IpAddr)>>, Error> {
        let mut claim = Claim { owner: self, ports: Vec::with_capacity(wanted.len()) };
        let mut number = port;
        for ip in wanted {
            let Some(container) = endpoint.address_like(*ip) else { continue };
            let to = SocketAddr::new(container, request.container_port);
            let Some(port) = self.try_claim(request.protocol, SocketAddr::new(*ip, number), to)? else {
                return Ok(None);
            };
            number = port.host_port;
            claim.ports.push((port, container));
        }
        Ok(Some(std::mem::take(&mut claim.ports)))
    }

    fn try_claim(&self, protocol: Protocol, at: SocketAddr, to: SocketAddr) -> Result<Option<Port>, Error> {
        let Some((host_port, held)) = self.hold(protocol, at, to)? else { return Ok(None) };
        let host_ip = at.ip();
        let mut all = self.lock();
        if conflict(&all, protocol, host_ip, host_port).is_some() {
            return Ok(None);
        }
        let (container, container_port) = (to.ip(), to.port());
        all.insert((protocol, host_ip, host_port), Holding { container, container_port, held: Some(held) });
        Ok(Some(Port { container_port, protocol, host_ip, host_port }))
    }

    fn taken(&self, protocol: Protocol, wanted: &[IpAddr], port: u16) -> Error {
        let owner = |ip: IpAddr| {
            let ours = conflict(&self.lock(), protocol, ip, port).map(|container| format!("container {container}"));
            ours.or_else(|| owner::of_port(protocol, ip, port)).map(|owner| (ip, Some(owner)))
        };
        let first = wanted.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let (ip, owner) = wanted.iter().find_map(|ip| owner(*ip)).unwrap_or((first, None));
        Error::PortTaken { ip, port, protocol, owner }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Holding>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The container that has this port, on the same address, on all, or (for all addresses) on any of that family.
fn conflict(held: &HashMap<Place, Holding>, protocol: Protocol, ip: IpAddr, port: u16) -> Option<IpAddr> {
    let at = |ip: IpAddr| held.get(&(protocol, ip, port)).map(|h| h.container);
    let all: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    if ip != all {
        return at(ip).or_else(|| at(all));
    }
    let same = |(p, other, n): &Place| *p == protocol && *n == port && other.is_ipv4() == ip.is_ipv4();
    held.iter().find(|(place, _)| same(place)).map(|(_, h)| h.container)
}

fn check(request: &PortRequest, endpoint: &Endpoint) -> Result<(), Error> {
    let (first, last) = request.host_ports;
    if request.container_port == 0 {
        return Err(Error::Invalid("a container's port is 1 to 65535".to_owned()));
    }
    if first > last || (first == 0 && last != 0) {
        return Err(Error::Invalid(format!("{first}-{last} is no range of ports")));
    }
    match request.host_ip {
        Some(ip) if endpoint.address_like(ip).is_none() => Err(Error::Invalid(format!(
            "port {}/{} cannot be published on {ip}: the container has no IPv6 address (its network needs --ipv6)",
            request.container_port, request.protocol
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(last: u8) -> Endpoint {
        Endpoint {
            id: String::new(),
            network: String::new(),
            host_link: String::new(),
            link: "eth0".to_owned(),
            address: Ipv4Addr::new(10, 9, 0, last),
            prefix: 24,
            gateway: None,
            ipv6: None,
            gateway6: None,
            mac: String::new(),
            ports: Vec::new(),
        }
    }

    fn request(host_ports: (u16, u16)) -> PortRequest {
        let host_ip = Some(Ipv4Addr::LOCALHOST.into());
        PortRequest { container_port: 80, protocol: Protocol::Tcp, host_ip, host_ports }
    }

    fn with(ports: &[Port], end: &Endpoint) -> Vec<(Port, IpAddr)> {
        ports.iter().map(|port| (port.clone(), end.address.into())).collect()
    }

    #[test]
    fn a_claim_that_fails_half_way_holds_nothing() {
        let ports = Ports::default();
        let first = ports.claim(&end(2), &[request((0, 0))]).unwrap().keep();
        let taken = first[0].host_port;
        let failed = ports.claim(&end(3), &[request((0, 0)), request((taken, taken))]);
        assert!(matches!(failed, Err(Error::PortTaken { owner: Some(o), .. }) if o == "container 10.9.0.2"));
        assert_eq!(ports.all(), with(&first, &end(2)));
    }

    #[test]
    fn only_its_owner_gives_a_port_back() {
        let ports = Ports::default();
        let claimed = ports.claim(&end(2), &[request((0, 0))]).unwrap().keep();
        assert_eq!(ports.release(&with(&claimed, &end(3))), []);
        assert_eq!(ports.release(&with(&claimed, &end(2))), with(&claimed, &end(2)));
        assert_eq!(ports.release(&with(&claimed, &end(2))), []);
    }

    #[test]
    fn a_port_of_all_addresses_is_one_of_both_families_where_there_are_both() {
        let ports = Ports::default();
        let both = Endpoint { ipv6: Some("fd00::2/64".parse().unwrap()), ..end(2) };
        let any = PortRequest { host_ip: None, ..request((0, 0)) };
        let claimed = ports.claim(&both, std::slice::from_ref(&any)).unwrap().keep();
        assert_eq!(claimed.iter().map(|p| p.host_ip.to_string()).collect::<Vec<_>>(), ["0.0.0.0", "::"]);
        assert_eq!(claimed[0].host_port, claimed[1].host_port);
        let v6 = PortRequest { host_ip: Some(Ipv6Addr::LOCALHOST.into()), ..any };
        assert!(matches!(ports.claim(&end(3), &[v6]), Err(Error::Invalid(_))));
    }

    #[test]
    fn ranges_that_are_none_are_refused_before_anything_is_claimed() {
        let ports = Ports::default();
        for wrong in [(0, 9), (9, 8)] {
            assert!(matches!(ports.claim(&end(2), &[request((0, 0)), request(wrong)]), Err(Error::Invalid(_))));
        }
        assert_eq!(ports.all(), []);
    }
}
