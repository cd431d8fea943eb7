//! The nft table of a bridge: its chains, written once, and its two maps, in which published ports come and go.
//!
//! ```text
//! table ip dhow0 {
//!   map ports     { type inet_proto . inet_service : ipv4_addr . inet_service }              # on all addresses
//!   map ports_at  { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }  # on one
//!   chain raw         (prerouting, raw)     nobody behind the bridge speaks as, or to, 127.0.0.0/8
//!   chain prerouting  (prerouting, dstnat)  published ports, for packets from outside and from containers
//!   chain output      (output, dstnat)      published ports, for programs of the host
//!   chain postrouting (postrouting, srcnat) masquerade: to the outside; from 127.0.0.1; a container to its own port
//!   chain forward     (forward, filter)     in: answers and published ports only; out and among each other: all
//! }
//! ```
//!
//! 127.0.0.1 of the host reaches containers because the bridge has `route_localnet`. That this opens nothing to the
//! outside (compare CVE-2020-8558) has two reasons: packets to 127.0.0.0/8 that come in by a link are never given a new
//! destination, so the kernel drops them as martians; and those that come from the bridge itself are dropped first.

use crate::Port;
use ipnet::Ipv4Net;
use netlink::nft::{
    BaseChain, CT_DNAT, CT_ESTABLISHED, CT_RELATED, ChainKind, Element, Field, Hook, Map, Rule, Transaction,
};
use std::net::Ipv4Addr;

const PORTS: Map<'static> =
    Map { name: "ports", key: &[Field::Protocol, Field::Port], value: &[Field::Address, Field::Port] };
const PORTS_AT: Map<'static> = Map {
    name: "ports_at",
    key: &[Field::Address, Field::Protocol, Field::Port],
    value: &[Field::Address, Field::Port],
};

const RAW: BaseChain<'static> =
    BaseChain { name: "raw", kind: ChainKind::Filter, hook: Hook::Prerouting, priority: -300 };
const PREROUTING: BaseChain<'static> =
    BaseChain { name: "prerouting", kind: ChainKind::Nat, hook: Hook::Prerouting, priority: -100 };
const OUTPUT: BaseChain<'static> =
    BaseChain { name: "output", kind: ChainKind::Nat, hook: Hook::Output, priority: -100 };
const POSTROUTING: BaseChain<'static> =
    BaseChain { name: "postrouting", kind: ChainKind::Nat, hook: Hook::Postrouting, priority: 100 };
const FORWARD: BaseChain<'static> =
    BaseChain { name: "forward", kind: ChainKind::Filter, hook: Hook::Forward, priority: 0 };

/// The names that the rules are about.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) table: String,
    pub(crate) bridge: String,
    pub(crate) subnet: Ipv4Net,
}

/// A published port and the container it leads to.
pub(crate) type Published<'a> = (&'a Port, Ipv4Addr);

impl Rules {
    /// Makes the table anew with these ports: whatever stood in it, the change is atomic and tracked connections stay.
    pub(crate) fn build<'a>(&self, ports: impl Iterator<Item = Published<'a>> + Clone) -> Transaction {
        let mut t = Transaction::new();
        t.add_table(&self.table);
        t.delete_table(&self.table);
        t.add_table(&self.table);
        t.add_map(&self.table, &PORTS);
        t.add_map(&self.table, &PORTS_AT);
        for chain in [RAW, PREROUTING, OUTPUT, POSTROUTING, FORWARD] {
            t.add_chain(&self.table, &chain);
        }
        self.destinations(&mut t);
        self.sources(&mut t);
        self.filters(&mut t);
        self.add(&mut t, ports);
        t
    }

    /// Removes the table, if it is there.
    pub(crate) fn remove(&self) -> Transaction {
        let mut t = Transaction::new();
        t.add_table(&self.table);
        t.delete_table(&self.table);
        t
    }

    /// Adds published ports.
    pub(crate) fn add<'a>(&self, t: &mut Transaction, ports: impl Iterator<Item = Published<'a>> + Clone) {
        for map in [&PORTS, &PORTS_AT] {
            t.add_elements(&self.table, map.name, &elements(map, ports.clone()));
        }
    }

    /// Removes published ports.
    pub(crate) fn take<'a>(&self, t: &mut Transaction, ports: impl Iterator<Item = Published<'a>> + Clone) {
        for map in [&PORTS, &PORTS_AT] {
            t.delete_elements(&self.table, map.name, &elements(map, ports.clone()));
        }
    }

    fn rule(&self, t: &mut Transaction, chain: BaseChain<'_>, write: impl FnOnce(Rule<'_, '_>)) {
        t.add_rule(&self.table, chain.name, write);
    }

    fn destinations(&self, t: &mut Transaction) {
        self.rule(t, PREROUTING, |r| r.destination_in(loopback()).accept());
        for chain in [PREROUTING, OUTPUT] {
            self.rule(t, chain, |r| r.destination_is_local().dnat_by_port(PORTS.name));
            self.rule(t, chain, |r| r.dnat_by_address_and_port(PORTS_AT.name));
        }
    }

    /// A container that reaches a container by a published port would be answered past the host, by the bridge: hence
    /// the masquerade within the bridge.
    fn sources(&self, t: &mut Transaction) {
        let (bridge, subnet) = (self.bridge.as_str(), self.subnet);
        self.rule(t, POSTROUTING, |r| r.source_in(subnet).not_to_link(bridge).masquerade());
        self.rule(t, POSTROUTING, |r| r.to_link(bridge).source_in(loopback()).masquerade());
        self.rule(t, POSTROUTING, |r| r.to_link(bridge).source_in(subnet).status(CT_DNAT).masquerade());
    }

    fn filters(&self, t: &mut Transaction) {
        let bridge = self.bridge.as_str();
        self.rule(t, RAW, |r| r.from_link(bridge).destination_in(loopback()).drop());
        self.rule(t, RAW, |r| r.from_link(bridge).source_in(loopback()).drop());
        self.rule(t, FORWARD, |r| r.from_link(bridge).accept());
        self.rule(t, FORWARD, |r| r.to_link(bridge).state(CT_ESTABLISHED | CT_RELATED).accept());
        self.rule(t, FORWARD, |r| r.to_link(bridge).status(CT_DNAT).accept());
        self.rule(t, FORWARD, |r| r.to_link(bridge).drop());
    }
}

fn loopback() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)
}

/// The elements that belong into `map`.
fn elements<'a>(map: &Map<'_>, ports: impl Iterator<Item = Published<'a>>) -> Vec<Element> {
    let on_all = map.name == PORTS.name;
    ports
        .filter(|(port, _)| port.host_ip.is_unspecified() == on_all)
        .map(|(port, container)| {
            let at = (!on_all).then_some(port.host_ip);
            Element::port(at, port.protocol.number(), port.host_port, (container, port.container_port))
        })
        .collect()
}
