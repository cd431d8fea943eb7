//! The nft tables of an engine: their chains, written once; maps in which published ports come and go, and sets in which
//! networks do.
//!
//! ```text
//! table ip dhow0 {                                                                            # ip6 the same, on demand
//!   map ports        { type inet_proto . inet_service : ipv4_addr . inet_service }              # on all addresses
//!   map ports_at     { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }  # on one
//!   set bridges      { type ifname }           # every bridge of ours
//!   set internal     { type ifname }           # those that nothing leads out of or into
//!   set masqueraded  { type ifname }           # those whose packets leave with the host's address
//!   set within       { type ifname . ifname }  # each bridge with itself
//!   set together     { type ifname . ifname }  # the same, of those whose containers reach each other
//!   chain raw         (prerouting, raw)     nobody behind a bridge speaks as, or to, 127.0.0.0/8
//!   chain prerouting  (prerouting, dstnat)  published ports, for packets from outside and from containers
//!   chain output      (output, dstnat)      published ports, for programs of the host
//!   chain postrouting (postrouting, srcnat) masquerade: to the outside; from 127.0.0.1; a container to its own port
//!   chain forward     (forward, filter)     in: answers and published ports only, from other networks too; out: all
//! }
//! ```
//!
//! 127.0.0.1 of the host reaches containers because the bridge has `route_localnet`. That this opens nothing to the
//! outside (compare CVE-2020-8558) has two reasons: packets to 127.0.0.0/8 that come in by a link are never given a new
//! destination, so the kernel drops them as martians; and those that come from the bridge itself are dropped first.

use crate::Port;
use ipnet::Ipv4Net;
use netlink::nft::{
    BaseChain, CT_DNAT, CT_ESTABLISHED, CT_RELATED, ChainKind, Element, Family, Field, Hook, Map, Rule, Set,
    Transaction,
};
use std::net::{IpAddr, Ipv4Addr};

const PORTS: &str = "ports";
const PORTS_AT: &str = "ports_at";

const BRIDGES: Set<'static> = Set { name: "bridges", key: &[Field::Link] };
const INTERNAL: Set<'static> = Set { name: "internal", key: &[Field::Link] };
const MASQUERADED: Set<'static> = Set { name: "masqueraded", key: &[Field::Link] };
const WITHIN: Set<'static> = Set { name: "within", key: &[Field::Link, Field::Link] };
const TOGETHER: Set<'static> = Set { name: "together", key: &[Field::Link, Field::Link] };

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

/// A network that the rules are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) bridge: String,
    pub(crate) internal: bool,
    /// Whether those behind it reach each other.
    pub(crate) together: bool,
    pub(crate) masquerade: bool,
    pub(crate) ipv6: bool,
}

/// One table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) table: &'a str,
    pub(crate) family: Family,
}

/// A published port and the container it leads to.
pub(crate) type Published = (Port, IpAddr);

impl Rules<'_> {
    /// Makes the table anew with these networks and ports: whatever stood in it, the change is atomic and tracked
    /// connections stay.
    pub(crate) fn build(&self, members: &[Member], ports: &[Published]) -> Transaction {
        let mut t = Transaction::of(self.family);
        t.add_table(self.table);
        t.delete_table(self.table);
        t.add_table(self.table);
        let address = self.address();
        let at = [address, Field::Protocol, Field::Port];
        t.add_map(self.table, &Map { name: PORTS, key: &at[1..], value: &[address, Field::Port] });
        t.add_map(self.table, &Map { name: PORTS_AT, key: &at, value: &[address, Field::Port] });
        for set in [BRIDGES, INTERNAL, MASQUERADED, WITHIN, TOGETHER] {
            t.add_set(self.table, &set);
        }
        for chain in [RAW, PREROUTING, OUTPUT, POSTROUTING, FORWARD] {
            t.add_chain(self.table, &chain);
        }
        self.destinations(&mut t);
        self.sources(&mut t);
        self.filters(&mut t);
        members.iter().for_each(|member| self.join(&mut t, member));
        self.add(&mut t, ports);
        t
    }

    /// Removes the table, if it is there.
    pub(crate) fn remove(&self) -> Transaction {
        let mut t = Transaction::of(self.family);
        t.add_table(self.table);
        t.delete_table(self.table);
        t
    }

    /// Adds a network.
    pub(crate) fn join(&self, t: &mut Transaction, member: &Member) {
        for (set, element) in memberships(member) {
            t.add_elements(self.table, set, &[element]);
        }
    }

    /// Removes a network.
    pub(crate) fn leave(&self, t: &mut Transaction, member: &Member) {
        for (set, element) in memberships(member) {
            t.delete_elements(self.table, set, &[element]);
        }
    }

    /// Adds published ports, those of the table's family.
    pub(crate) fn add(&self, t: &mut Transaction, ports: &[Published]) {
        for map in [PORTS, PORTS_AT] {
            t.add_elements(self.table, map, &self.elements(map, ports));
        }
    }

    /// Removes published ports, those of the table's family.
    pub(crate) fn take(&self, t: &mut Transaction, ports: &[Published]) {
        for map in [PORTS, PORTS_AT] {
            t.delete_elements(self.table, map, &self.elements(map, ports));
        }
    }

    fn address(&self) -> Field {
        match self.family {
            Family::Ip => Field::Address,
            Family::Ip6 => Field::Address6,
        }
    }

    fn rule(&self, t: &mut Transaction, chain: BaseChain<'_>, write: impl FnOnce(Rule<'_, '_>)) {
        t.add_rule(self.table, chain.name, write);
    }

    fn destinations(&self, t: &mut Transaction) {
        if self.family == Family::Ip {
            self.rule(t, PREROUTING, |r| r.destination_in(loopback()).accept());
        }
        for chain in [PREROUTING, OUTPUT] {
            self.rule(t, chain, |r| r.destination_is_local().dnat_by_port(PORTS));
            self.rule(t, chain, |r| r.dnat_by_address_and_port(PORTS_AT));
        }
    }

    /// A container that reaches a container by a published port would be answered past the host, by the bridge: hence
    /// the masquerade within a bridge. Where br_netfilter shows bridged packets here, it does not say where from.
    fn sources(&self, t: &mut Transaction) {
        if self.family == Family::Ip {
            self.rule(t, POSTROUTING, |r| r.to_links_in(BRIDGES.name).source_in(loopback()).masquerade());
        }
        self.rule(t, POSTROUTING, |r| r.between_links_in(WITHIN.name).status(CT_DNAT).masquerade());
        self.rule(t, POSTROUTING, |r| {
            r.from_no_link().to_links_in(BRIDGES.name).status(CT_DNAT).source_is_not_local().masquerade();
        });
        self.rule(t, POSTROUTING, |r| r.between_links_in(WITHIN.name).accept());
        self.rule(t, POSTROUTING, |r| r.from_links_in(MASQUERADED.name).masquerade());
    }

    fn filters(&self, t: &mut Transaction) {
        let (bridges, internal) = (BRIDGES.name, INTERNAL.name);
        if self.family == Family::Ip {
            self.rule(t, RAW, |r| r.from_links_in(bridges).destination_in(loopback()).drop());
            self.rule(t, RAW, |r| r.from_links_in(bridges).source_in(loopback()).drop());
        }
        // Ports of a bridge that are isolated from each other could still send by way of the host, with its MAC.
        self.rule(t, FORWARD, |r| r.between_links_in(TOGETHER.name).accept());
        self.rule(t, FORWARD, |r| r.from_links_in(internal).drop());
        self.rule(t, FORWARD, |r| r.to_links_in(internal).drop());
        self.rule(t, FORWARD, |r| r.to_links_in(bridges).state(CT_ESTABLISHED | CT_RELATED).accept());
        self.rule(t, FORWARD, |r| r.to_links_in(bridges).status(CT_DNAT).accept());
        self.rule(t, FORWARD, |r| r.to_links_in(bridges).drop());
    }

    /// The elements that belong into `map`.
    fn elements(&self, map: &str, ports: &[Published]) -> Vec<Element> {
        let on_all = map == PORTS;
        let is_v4 = self.family == Family::Ip;
        ports
            .iter()
            .filter(|(port, _)| port.host_ip.is_ipv4() == is_v4 && port.host_ip.is_unspecified() == on_all)
            .map(|(port, container)| {
                let at = (!on_all).then_some(port.host_ip);
                Element::port(at, port.protocol.number(), port.host_port, (*container, port.container_port))
            })
            .collect()
    }
}

/// The sets that a network is in.
fn memberships(member: &Member) -> Vec<(&'static str, Element)> {
    let bridge = member.bridge.as_str();
    let mut all = vec![(BRIDGES.name, Element::links(&[bridge])), (WITHIN.name, Element::links(&[bridge, bridge]))];
    if member.together {
        all.push((TOGETHER.name, Element::links(&[bridge, bridge])));
    }
    if member.internal {
        all.push((INTERNAL.name, Element::links(&[bridge])));
    }
    if member.masquerade && !member.internal {
        all.push((MASQUERADED.name, Element::links(&[bridge])));
    }
    all
}

fn loopback() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)
}
