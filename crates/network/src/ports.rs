//! The published ports of an engine: which container has which, and what holds it on the host.

use crate::entries::{Direct, Entry, entries};
use crate::manners::{Gateway, Manners};
use crate::reservation::{self, Reservation};
use crate::rules::Published;
use crate::{Endpoint, Error, Outer, OuterPort, Port, PortRequest, Protocol, Relay, owner, sysctl};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A port of the host: the same port of all addresses lies together.
type Place = (Protocol, u16, IpAddr);

/// Who has what.
#[derive(Debug, Default)]
struct Table {
    held: BTreeMap<Place, Holding>,
    /// Ports of containers that are reached at the containers' own addresses.
    direct: BTreeSet<Direct>,
}

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
    /// It listens, and carries what comes.
    Relayed(Box<dyn Any + Send + Sync>),
    Outside(OuterPort),
}

/// Ports of one container above which IPv6 is not carried to it unless that is asked for: each would have a listener.
const MOST_RELAYED: usize = 256;

/// How often a free port of one family may be taken in the other before all are looked through.
const TRIES: usize = 16;

/// The published ports.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    table: Mutex<Table>,
    /// Whose ports they are, when not this network namespace's.
    outer: Option<Arc<dyn Outer>>,
    /// Who carries what comes on IPv6 to containers without it.
    relay: Option<Arc<dyn Relay>>,
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
        Ports { table: Mutex::default(), outer, relay: None }
    }

    /// With somebody who carries what comes on IPv6 to containers without it.
    pub(crate) fn relaying(self, relay: Arc<dyn Relay>) -> Ports {
        Ports { relay: Some(relay), ..self }
    }

    /// Keeps the port `at` for `to`; with its number. `Ok(None)`: it is taken.
    fn hold(&self, protocol: Protocol, at: SocketAddr, to: SocketAddr) -> Result<Option<(u16, Held)>, Error> {
        match (&self.outer, at, to) {
            (None, SocketAddr::V6(_), SocketAddr::V4(to)) => self.hold_relayed(protocol, at, to),
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

    /// Keeps a port of IPv6 by listening on it, for a container that has IPv4 only.
    fn hold_relayed(&self, protocol: Protocol, at: SocketAddr, to: SocketAddrV4) -> Result<Option<(u16, Held)>, Error> {
        let Some(relay) = &self.relay else { return Err(Error::Invalid(no_ipv6(to.port(), protocol, at.ip()))) };
        let Some((port, socket)) = reservation::bound(protocol, at)? else { return Ok(None) };
        match relay.carry(protocol, socket, to) {
            Ok(relayed) => Ok(Some((port, Held::Relayed(relayed)))),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
            Err(e) => Err(Error::Netlink { action: format!("listen on {at}/{protocol}"), source: e }),
        }
    }

    /// Claims what each request asks for, or nothing at all.
    pub(crate) fn claim(
        &self,
        endpoint: &Endpoint,
        requests: &[PortRequest],
        manners: &Manners,
    ) -> Result<Claim<'_>, Error> {
        let mut claim = Claim { owner: self, ports: Vec::with_capacity(requests.len()) };
        for request in requests {
            self.check(request, endpoint)?;
        }
        let relays = requests.len() <= MOST_RELAYED;
        for request in requests {
            let is_routed = |ip: &IpAddr| manners.gateway(*ip) == Gateway::Routed;
            let (routed, wanted): (Vec<IpAddr>, Vec<IpAddr>) =
                self.both(request, endpoint, relays).into_iter().partition(is_routed);
            claim.ports.extend(self.open_directly(endpoint, request, &routed));
            if !wanted.is_empty() {
                claim.ports.extend(self.claim_each(endpoint, request, &wanted)?);
            }
            let beside: Vec<IpAddr> = wanted.into_iter().filter(|ip| manners.opens(*ip)).collect();
            self.open_directly(endpoint, request, &beside);
        }
        Ok(claim)
    }

    /// Opens the container's port at its own address; of each family the address of the host is left open.
    fn open_directly(&self, endpoint: &Endpoint, request: &PortRequest, like: &[IpAddr]) -> Vec<Published> {
        let mut table = self.lock();
        let mut opened = Vec::new();
        for ip in like {
            let Some(container) = endpoint.address_like(*ip) else { continue };
            let PortRequest { container_port, protocol, .. } = *request;
            if table.direct.insert(Direct { container, protocol, port: container_port }) {
                opened.push((Port { container_port, protocol, host_ip: all_like(*ip), host_port: 0 }, container));
            }
        }
        opened
    }

    /// The addresses of the host that a request is about; `relays`: IPv6 is carried to a container without it.
    fn both(&self, request: &PortRequest, endpoint: &Endpoint, relays: bool) -> Vec<IpAddr> {
        let may_relay = relays && self.relays(request.protocol) && sysctl::has_ipv6();
        let on_v6 = endpoint.ipv6.is_some() || may_relay;
        match request.host_ip {
            Some(ip) => vec![ip],
            None if on_v6 && self.outer.is_none() => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            None => vec![Ipv4Addr::UNSPECIFIED.into()],
        }
    }

    /// Claims ports that a container has had since an earlier engine. What holds them on the host may be missing.
    pub(crate) fn adopt(&self, endpoint: &Endpoint, manners: &Manners) {
        for port in &endpoint.ports {
            let container = endpoint.led_to(port.host_ip);
            if manners.opens(port.host_ip) {
                let direct = Direct { container, protocol: port.protocol, port: port.container_port };
                self.lock().direct.insert(direct);
            }
            if port.host_port == 0 {
                continue;
            }
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
            self.lock().held.insert((port.protocol, port.host_port, port.host_ip), holding);
        }
    }

    /// Gives back those of `ports` that lead to their container, and tells which.
    pub(crate) fn release(&self, ports: &[Published]) -> Vec<Published> {
        let mut table = self.lock();
        // Given up with the table unlocked: one that listens takes a moment to end.
        let (mut released, mut given_up) = (Vec::new(), Vec::new());
        for (port, container) in ports {
            let place = (port.protocol, port.host_port, port.host_ip);
            let is_mine = table.held.get(&place).is_some_and(|holding| holding.container == *container);
            if is_mine {
                given_up.extend(table.held.remove(&place));
            }
            let direct = Direct { container: *container, protocol: port.protocol, port: port.container_port };
            let was_open = (is_mine || port.host_port == 0) && table.direct.remove(&direct);
            if is_mine || was_open {
                released.push((port.clone(), *container));
            }
            if was_open && table.leads_to(&direct) {
                // Another port of the host leads there.
                table.direct.insert(direct);
            }
        }
        drop(table);
        drop(given_up);
        released
    }

    /// Every port of the host that is published, with its container.
    pub(crate) fn all(&self) -> Vec<Published> {
        self.lock().published(|_| true)
    }

    /// Who has this port: of the host, or of a container that is reached at its own address.
    pub(crate) fn leading_from(&self, protocol: Protocol, number: u16) -> Vec<Published> {
        let table = self.lock();
        let of_host = table.published(|_| true).into_iter();
        let mut all: Vec<_> = of_host.filter(|(p, _)| p.protocol == protocol && p.host_port == number).collect();
        for direct in table.direct.iter().filter(|d| d.protocol == protocol && d.port == number) {
            let (host_ip, container_port) = (all_like(direct.container), direct.port);
            all.push((Port { container_port, protocol, host_ip, host_port: 0 }, direct.container));
        }
        all
    }

    /// What the tables have for these containers.
    pub(crate) fn entries_of(&self, containers: &BTreeSet<IpAddr>) -> BTreeSet<Entry> {
        let table = self.lock();
        let direct: Vec<Direct> = table.direct.iter().filter(|d| containers.contains(&d.container)).copied().collect();
        let held = table.published(|address| containers.contains(&address));
        drop(table);
        entries(&held, &direct)
    }

    /// What the tables have.
    pub(crate) fn entries(&self) -> BTreeSet<Entry> {
        let table = self.lock();
        let (held, direct) = (table.published(|_| true), table.direct.iter().copied().collect::<Vec<_>>());
        drop(table);
        entries(&held, &direct)
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
            let container = endpoint.led_to(*ip);
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
        let mut table = self.lock();
        if table.conflict(protocol, host_ip, host_port).is_some() {
            return Ok(None);
        }
        let (container, container_port) = (to.ip(), to.port());
        table.held.insert((protocol, host_port, host_ip), Holding { container, container_port, held: Some(held) });
        Ok(Some(Port { container_port, protocol, host_ip, host_port }))
    }

    fn taken(&self, protocol: Protocol, wanted: &[IpAddr], port: u16) -> Error {
        let owner = |ip: IpAddr| {
            let ours = self.lock().conflict(protocol, ip, port).map(|container| format!("container {container}"));
            ours.or_else(|| owner::of_port(protocol, ip, port)).map(|owner| (ip, Some(owner)))
        };
        let first = wanted.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let (ip, owner) = wanted.iter().find_map(|ip| owner(*ip)).unwrap_or((first, None));
        Error::PortTaken { ip, port, protocol, owner }
    }

    /// Whether IPv6 can be carried to a container without it.
    fn relays(&self, protocol: Protocol) -> bool {
        self.relay.is_some() && protocol != Protocol::Sctp
    }

    fn check(&self, request: &PortRequest, endpoint: &Endpoint) -> Result<(), Error> {
        let PortRequest { container_port, protocol, host_ports: (first, last), host_ip } = *request;
        if container_port == 0 {
            return Err(Error::Invalid("a container's port is 1 to 65535".to_owned()));
        }
        if first > last || (first == 0 && last != 0) {
            return Err(Error::Invalid(format!("{first}-{last} is no range of ports")));
        }
        match host_ip {
            Some(ip) if endpoint.address_like(ip).is_none() && !self.relays(protocol) => {
                Err(Error::Invalid(no_ipv6(container_port, protocol, ip)))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The container that has this port, on the same address, on all, or (for all addresses) on any of that family.
    fn conflict(&self, protocol: Protocol, ip: IpAddr, port: u16) -> Option<IpAddr> {
        let at = |ip: IpAddr| self.held.get(&(protocol, port, ip)).map(|h| h.container);
        let all = all_like(ip);
        if ip != all {
            return at(ip).or_else(|| at(all));
        }
        let last = if ip.is_ipv4() { Ipv4Addr::BROADCAST.into() } else { IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)) };
        self.held.range((protocol, port, all)..=(protocol, port, last)).next().map(|(_, h)| h.container)
    }

    fn published(&self, of: impl Fn(IpAddr) -> bool) -> Vec<Published> {
        let held = self.held.iter().filter(|(_, holding)| of(holding.container));
        held.map(|(&(protocol, host_port, host_ip), holding)| {
            let port = Port { container_port: holding.container_port, protocol, host_ip, host_port };
            (port, holding.container)
        })
        .collect()
    }

    fn leads_to(&self, direct: &Direct) -> bool {
        let leads = |((protocol, _, _), holding): (&Place, &Holding)| {
            *protocol == direct.protocol
                && holding.container == direct.container
                && holding.container_port == direct.port
        };
        self.held.iter().any(leads)
    }
}

/// All addresses of the family that `like` is of.
fn all_like(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn no_ipv6(port: u16, protocol: Protocol, ip: IpAddr) -> String {
    format!(
        "port {port}/{protocol} cannot be published on {ip}: the container has no IPv6 address (its network needs --ipv6)"
    )
}

/// Whether somebody carries what comes to this port: the rules know nothing of it.
pub(crate) fn is_relayed((port, container): &Published) -> bool {
    port.host_ip.is_ipv6() && container.is_ipv4()
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
            is_way: false,
            name_servers: Vec::new(),
            mac: String::new(),
            ports: Vec::new(),
        }
    }

    fn request(host_ports: (u16, u16)) -> PortRequest {
        let host_ip = Some(Ipv4Addr::LOCALHOST.into());
        PortRequest { container_port: 80, protocol: Protocol::Tcp, host_ip, host_ports }
    }

    fn nat() -> Manners {
        Manners::default()
    }

    fn with(ports: &[Port], end: &Endpoint) -> Vec<(Port, IpAddr)> {
        ports.iter().map(|port| (port.clone(), end.address.into())).collect()
    }

    #[test]
    fn a_claim_that_fails_half_way_holds_nothing() {
        let ports = Ports::default();
        let first = ports.claim(&end(2), &[request((0, 0))], &nat()).unwrap().keep();
        let taken = first[0].host_port;
        let failed = ports.claim(&end(3), &[request((0, 0)), request((taken, taken))], &nat());
        assert!(matches!(failed, Err(Error::PortTaken { owner: Some(o), .. }) if o == "container 10.9.0.2"));
        assert_eq!(ports.all(), with(&first, &end(2)));
    }

    #[test]
    fn only_its_owner_gives_a_port_back() {
        let ports = Ports::default();
        let claimed = ports.claim(&end(2), &[request((0, 0))], &nat()).unwrap().keep();
        assert_eq!(ports.release(&with(&claimed, &end(3))), []);
        assert_eq!(ports.release(&with(&claimed, &end(2))), with(&claimed, &end(2)));
        assert_eq!(ports.release(&with(&claimed, &end(2))), []);
    }

    #[test]
    fn a_port_of_all_addresses_is_one_of_both_families_where_there_are_both() {
        let ports = Ports::default();
        let both = Endpoint { ipv6: Some("fd00::2/64".parse().unwrap()), ..end(2) };
        let any = PortRequest { host_ip: None, ..request((0, 0)) };
        let claimed = ports.claim(&both, std::slice::from_ref(&any), &nat()).unwrap().keep();
        assert_eq!(claimed.iter().map(|p| p.host_ip.to_string()).collect::<Vec<_>>(), ["0.0.0.0", "::"]);
        assert_eq!(claimed[0].host_port, claimed[1].host_port);
        let v6 = PortRequest { host_ip: Some(Ipv6Addr::LOCALHOST.into()), ..any };
        assert!(matches!(ports.claim(&end(3), &[v6], &nat()), Err(Error::Invalid(_))));
    }

    #[test]
    fn ranges_that_are_none_are_refused_before_anything_is_claimed() {
        let ports = Ports::default();
        for wrong in [(0, 9), (9, 8)] {
            assert!(matches!(ports.claim(&end(2), &[request((0, 0)), request(wrong)], &nat()), Err(Error::Invalid(_))));
        }
        assert_eq!(ports.all(), []);
    }

    #[test]
    fn a_routed_port_holds_nothing_of_the_host() {
        let ports = Ports::default();
        let routed = Manners { v4: Gateway::Routed, ..Manners::default() };
        let claimed = ports.claim(&end(2), &[request((0, 0)), request((9, 9))], &routed).unwrap().keep();
        assert_eq!(
            claimed.iter().map(|p| (p.host_ip, p.host_port)).collect::<Vec<_>>(),
            [(all_like(end(2).address.into()), 0)]
        );
        assert_eq!((ports.all().len(), ports.entries().len()), (0, 1));
        assert_eq!(ports.release(&with(&claimed, &end(2))).len(), 1);
        assert_eq!(ports.entries(), BTreeSet::new());
    }

    #[test]
    fn a_port_stays_open_to_trusted_links_until_the_last_of_the_host_is_taken_back() {
        let ports = Ports::default();
        let trusting = Manners { trusted: vec!["wg0".to_owned()], ..Manners::default() };
        let claimed = ports.claim(&end(2), &[request((0, 0)), request((0, 0))], &trusting).unwrap().keep();
        assert_eq!((claimed.len(), ports.entries().len()), (2, 3));
        ports.release(&with(&claimed[..1], &end(2)));
        assert_eq!(ports.entries().len(), 2);
        ports.release(&with(&claimed[1..], &end(2)));
        assert_eq!(ports.entries(), BTreeSet::new());
    }
}
