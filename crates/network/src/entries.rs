//! What stands in the tables for published ports: a function of who has which alone, so that every change is the difference of two.
//!
//! Ports in a row that lead to the same ports of a container are one element, however many they are.

use crate::Protocol;
use crate::ports::is_relayed;
use crate::rules::Published;
use netlink::nft::{Element, Family, Member};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A port of a container that is reached at the container's own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Direct {
    pub(crate) container: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// One element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// A port of the host (of all its addresses for `None`) that leads to a container's.
    One { at: Option<IpAddr>, protocol: Protocol, port: u16, to: (IpAddr, u16) },
    /// Ports of the host that lead to the same ports of a container; the last one included.
    Row { at: Option<IpAddr>, protocol: Protocol, ports: (u16, u16), to: IpAddr },
    /// Ports of a container; the last one included.
    Open { container: IpAddr, protocol: Protocol, ports: (u16, u16) },
}

impl Entry {
    /// Whose table it is in.
    pub(crate) fn family(&self) -> Family {
        let (Entry::One { to: (address, _), .. }
        | Entry::Row { to: address, .. }
        | Entry::Open { container: address, .. }) = self;
        if address.is_ipv4() { Family::Ip } else { Family::Ip6 }
    }

    /// As an element of a map of ports.
    pub(crate) fn element(&self) -> Element {
        match *self {
            Entry::One { at, protocol, port, to } => Element::port(at, protocol.number(), port, to),
            Entry::Row { at, protocol, ports, to } => Element::ports(at, protocol.number(), ports, Some(to)),
            Entry::Open { .. } => Element::default(),
        }
    }

    /// As a member of the set of open ports.
    pub(crate) fn member(&self) -> Option<Member> {
        let Entry::Open { container, protocol, ports: (first, last) } = *self else { return None };
        let number = protocol.number();
        Some(Member::new().address(container).protocols(number, number).ports(first, last))
    }
}

/// The elements for these ports.
pub(crate) fn entries(ports: &[Published], direct: &[Direct]) -> BTreeSet<Entry> {
    let mut all = BTreeSet::new();
    let mut same = Vec::new();
    for (port, container) in ports.iter().filter(|port| !is_relayed(port)) {
        let at = (!port.host_ip.is_unspecified()).then_some(port.host_ip);
        if port.host_port == port.container_port {
            same.push((at, *container, port.protocol, port.host_port));
        } else {
            let to = (*container, port.container_port);
            all.insert(Entry::One { at, protocol: port.protocol, port: port.host_port, to });
        }
    }
    for ((at, to, protocol), ports) in rows(same, |(at, to, protocol, port)| ((at, to, protocol), port)) {
        all.insert(match ports {
            (first, last) if first == last => Entry::One { at, protocol, port: first, to: (to, first) },
            ports => Entry::Row { at, protocol, ports, to },
        });
    }
    let key = |direct: Direct| ((direct.container, direct.protocol), direct.port);
    for ((container, protocol), ports) in rows(direct.to_vec(), key) {
        all.insert(Entry::Open { container, protocol, ports });
    }
    all
}

/// Ports in a row, of all that have the same key.
fn rows<T: Ord + Copy, K: PartialEq + Copy>(mut all: Vec<T>, of: impl Fn(T) -> (K, u16)) -> Vec<(K, (u16, u16))> {
    all.sort_unstable();
    let mut rows: Vec<(K, (u16, u16))> = Vec::new();
    for (key, port) in all.into_iter().map(of) {
        match rows.last_mut() {
            Some((last, (_, end))) if *last == key && (port == *end || Some(port) == end.checked_add(1)) => *end = port,
            _ => rows.push((key, (port, port))),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Port;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const BOX: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn port(host_ip: IpAddr, host_port: u16, container_port: u16) -> Published {
        (Port { container_port, protocol: Protocol::Udp, host_ip, host_port }, BOX)
    }

    #[test]
    fn ten_thousand_ports_in_a_row_are_one_element() {
        let ports: Vec<_> = (20_000..=30_000).map(|n| port(HERE, n, n)).collect();
        let row = Entry::Row { at: None, protocol: Protocol::Udp, ports: (20_000, 30_000), to: BOX };
        assert_eq!(entries(&ports, &[]), BTreeSet::from([row]));
    }

    #[test]
    fn rows_end_at_gaps_other_addresses_and_ports_that_lead_elsewhere() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ports = [port(HERE, 65_534, 65_534), port(HERE, 65_535, 65_535), port(HERE, 80, 80), port(HERE, 81, 8081)];
        let all = [ports.to_vec(), vec![port(here, 82, 82), port(here, 83, 83), port(HERE, 84, 84)]].concat();
        let row = |at, ports| Entry::Row { at, protocol: Protocol::Udp, ports, to: BOX };
        let one = |port, to| Entry::One { at: None, protocol: Protocol::Udp, port, to: (BOX, to) };
        let wanted = [row(None, (65_534, 65_535)), row(Some(here), (82, 83)), one(80, 80), one(81, 8081), one(84, 84)];
        assert_eq!(entries(&all, &[]), BTreeSet::from(wanted));
    }

    #[test]
    fn open_ports_are_rows_of_their_container() {
        let open = |port| Direct { container: BOX, protocol: Protocol::Tcp, port };
        let wanted = |ports| Entry::Open { container: BOX, protocol: Protocol::Tcp, ports };
        let all = entries(&[], &[open(80), open(443), open(81), open(80)]);
        assert_eq!(all, BTreeSet::from([wanted((80, 81)), wanted((443, 443))]));
    }
}
