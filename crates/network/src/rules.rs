//! The nft tables of an engine: their chains, written once; maps in which published ports come and go, and sets in which
//! networks do.
//!
//! ```text
//! table ip dhow0 {                                                                            # ip6 the same, on demand
//!   map ports        { type inet_proto . inet_service : ipv4_addr . inet_service }              # on all addresses
//!   map ports_at     { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }  # on one
//!   map rows         { type inet_proto . inet_service : ipv4_addr; flags interval }             # the same for ports in a row
//!   map rows_at      { type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval } # that stay what they are
//!   set open         { type ipv4_addr . inet_proto . inet_service; flags interval }             # at containers' own addresses
//!   set bridges      { type ifname }           # every bridge of ours
//!   set internal     { type ifname }           # those that nothing leads out of or into
//!   set masqueraded  { type ifname }           # those whose packets leave with the host's address
//!   set within       { type ifname . ifname }  # each bridge with itself
//!   set together     { type ifname . ifname }  # the same, of those whose containers reach each other
//!   set shards       { type ifname }           # further bridges of a network: wires, which nothing is routed from
//!   set unprotected  { type ifname }           # those whose containers are reached at all their ports
//!   set routed       { type ifname }           # those whose containers are reached at their open ports
//!   set trusted      { type ifname . ifname }  # who comes by the first reaches the open ports of the second
//!   chain raw         (prerouting, raw)     nobody behind a bridge speaks as, or to, 127.0.0.0/8
//!   chain prerouting  (prerouting, dstnat)  published ports, for packets from outside and from containers
//!   chain output      (output, dstnat)      published ports, for programs of the host
//!   chain postrouting (postrouting, srcnat) masquerade: to the outside; from 127.0.0.1; a container to its own port
//!   chain forward     (forward, filter)     in: answers and published ports only, from other networks too; out: all
//!   chain input       (input, after all others)  where the host's own rules decide about published ports: see `gate`
//! }
//! ```
//!
//! 127.0.0.1 of the host reaches containers because the bridge has `route_localnet`. That this opens nothing to the
//! outside (compare CVE-2020-8558) has two reasons: packets to 127.0.0.0/8 that come in by a link are never given a new
//! destination, so the kernel drops them as martians; and those that come from the bridge itself are dropped first.

use crate::Port;
use crate::entries::Entry;
use crate::gate::Gate;
use crate::manners::{Gateway, Manners};
use ipnet::Ipv4Net;
use netlink::nft::{
    BaseChain, CT_DNAT, CT_ESTABLISHED, CT_NEW, CT_RELATED, ChainKind, Element, Family, Field, Hook, KeyedSet, Map,
    Part, Rule, Set, Sort, Transaction,
};
use std::net::{IpAddr, Ipv4Addr};

const PORTS: &str = "ports";
const PORTS_AT: &str = "ports_at";
const ROWS: &str = "rows";
const ROWS_AT: &str = "rows_at";
const OPEN: &str = "open";

/// What a published port is known by: on all addresses, on one.
const PORT: [Part; 2] = [Part::Protocol, Part::DestinationPort];
const PORT_AT: [Part; 3] = [Part::Destination, Part::Protocol, Part::DestinationPort];
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

const BRIDGES: Set<'static> = Set { name: "bridges", key: &[Field::Link] };
const INTERNAL: Set<'static> = Set { name: "internal", key: &[Field::Link] };
const MASQUERADED: Set<'static> = Set { name: "masqueraded", key: &[Field::Link] };
const WITHIN: Set<'static> = Set { name: "within", key: &[Field::Link, Field::Link] };
const UNPROTECTED: Set<'static> = Set { name: "unprotected", key: &[Field::Link] };
const ROUTED: Set<'static> = Set { name: "routed", key: &[Field::Link] };
const TRUSTED: Set<'static> = Set { name: "trusted", key: &[Field::Link, Field::Link] };
const SHARDS: Set<'static> = Set { name: "shards", key: &[Field::Link] };
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
/// Behind every firewall: filter is 0, firewalld's 10, security 50. Connections are confirmed later (i32::MAX).
const INPUT: BaseChain<'static> =
    BaseChain { name: "input", kind: ChainKind::Filter, hook: Hook::Input, priority: 250 };

/// A network that the rules are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) bridge: String,
    /// A further bridge of its network: a wire to the first one.
    pub(crate) is_shard: bool,
    pub(crate) internal: bool,
    /// Whether those behind it reach each other.
    pub(crate) together: bool,
    pub(crate) masquerade: bool,
    pub(crate) ipv6: bool,
    pub(crate) manners: Manners,
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
    /// connections stay. With a gate the host's own rules decide who reaches published ports.
    pub(crate) fn build(&self, members: &[Member], entries: &[Entry], gate: Option<&Gate>) -> Transaction {
        let mut t = Transaction::of(self.family);
        t.add_table(self.table);
        t.delete_table(self.table);
        t.add_table(self.table);
        let address = self.address();
        let at = [address, Field::Protocol, Field::Port];
        t.add_map(self.table, &Map { name: PORTS, key: &at[1..], value: &[address, Field::Port] });
        t.add_map(self.table, &Map { name: PORTS_AT, key: &at, value: &[address, Field::Port] });
        t.add_ranges(self.table, &Map { name: ROWS, key: &at[1..], value: &[address] });
        t.add_ranges(self.table, &Map { name: ROWS_AT, key: &at, value: &[address] });
        t.add_keyed_set(self.table, &KeyedSet { name: OPEN, key: &at, sort: Sort::Ranges });
        for set in [BRIDGES, INTERNAL, MASQUERADED, WITHIN, TOGETHER, SHARDS, UNPROTECTED, ROUTED, TRUSTED] {
            t.add_set(self.table, &set);
        }
        for chain in [RAW, PREROUTING, OUTPUT, POSTROUTING, FORWARD] {
            t.add_chain(self.table, &chain);
        }
        self.destinations(&mut t, gate);
        self.sources(&mut t);
        self.filters(&mut t);
        if let Some(gate) = gate {
            t.add_chain(self.table, &INPUT);
            self.input(&mut t, gate);
        }
        members.iter().for_each(|member| self.join(&mut t, member));
        self.exchange(&mut t, &[], entries);
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
        for (set, element) in memberships(member, self.family) {
            t.add_elements(self.table, set, &[element]);
        }
    }

    /// Removes a network.
    pub(crate) fn leave(&self, t: &mut Transaction, member: &Member) {
        for (set, element) in memberships(member, self.family) {
            t.delete_elements(self.table, set, &[element]);
        }
    }

    /// Takes published ports away and adds others, those of the table's family.
    pub(crate) fn exchange(&self, t: &mut Transaction, old: &[Entry], new: &[Entry]) {
        let address = self.address();
        let open = KeyedSet { name: OPEN, key: &[address, Field::Protocol, Field::Port], sort: Sort::Ranges };
        let open_of = |all: &[Entry]| self.own(all).filter_map(Entry::member).collect::<Vec<_>>();
        for map in [PORTS, PORTS_AT, ROWS, ROWS_AT] {
            t.delete_elements(self.table, map, &self.elements(map, old));
        }
        t.delete_members(self.table, &open, &open_of(old));
        for map in [PORTS, PORTS_AT, ROWS, ROWS_AT] {
            t.add_elements(self.table, map, &self.elements(map, new));
        }
        let opened: Vec<_> = open_of(new).into_iter().map(|member| (member, None)).collect();
        t.add_members(self.table, &open, &opened);
    }

    /// The entries of the table's family.
    fn own<'e>(&self, all: &'e [Entry]) -> impl Iterator<Item = &'e Entry> + use<'e> {
        let family = self.family;
        all.iter().filter(move |entry| entry.family() == family)
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

    fn destinations(&self, t: &mut Transaction, gate: Option<&Gate>) {
        if self.family == Family::Ip {
            self.rule(t, PREROUTING, |r| r.destination_in(loopback()).accept());
        }
        if let Some(gate) = gate {
            // From outside a packet comes here a second time, when the host's own rules have let it in.
            let from_outside = [Part::InLink];
            self.rule(t, PREROUTING, |r| {
                r.not_from_link(&gate.out).parts_not_in(&from_outside, BRIDGES.name).accept();
            });
        }
        for chain in [PREROUTING, OUTPUT] {
            self.rule(t, chain, |r| r.destination_is_local().dnat_by_port(PORTS));
            self.rule(t, chain, |r| r.dnat_by_address_and_port(PORTS_AT));
            self.rule(t, chain, |r| r.destination_is_local().dnat_within_range(&PORT, ROWS));
            self.rule(t, chain, |r| r.dnat_within_range(&PORT_AT, ROWS_AT));
        }
    }

    /// A packet to a published port that no chain of the host's has dropped is sent round by the gate; the packet itself ends here,
    /// and with it what was tracked of it.
    fn input(&self, t: &mut Transaction, gate: &Gate) {
        self.rule(t, INPUT, |r| r.from_link("lo").accept());
        self.rule(t, INPUT, |r| r.from_links_in(BRIDGES.name).accept());
        let (gateway, link) = (gate.gateway(self.family), gate.into);
        for (parts, map) in [(&PORT[..], PORTS), (&PORT_AT[..], PORTS_AT), (&PORT[..], ROWS), (&PORT_AT[..], ROWS_AT)] {
            self.rule(t, INPUT, |r| {
                r.state(CT_NEW).destination_is_local().parts_known_to(parts, map).copy_to(gateway, link).drop();
            });
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
        // Where br_netfilter shows bridged packets here, those of a network with several bridges come by twice: what one bridge makes of
        // a connection the other would take for another one.
        self.rule(t, RAW, |r| r.from_links_in(SHARDS.name).untrack());
        // Ports of a bridge that are isolated from each other could still send by way of the host, with its MAC.
        self.rule(t, FORWARD, |r| r.between_links_in(TOGETHER.name).accept());
        self.rule(t, FORWARD, |r| r.from_links_in(SHARDS.name).drop());
        self.rule(t, FORWARD, |r| r.from_links_in(internal).drop());
        self.rule(t, FORWARD, |r| r.to_links_in(internal).drop());
        self.rule(t, FORWARD, |r| r.to_links_in(bridges).state(CT_ESTABLISHED | CT_RELATED).accept());
        self.rule(t, FORWARD, |r| r.to_links_in(bridges).status(CT_DNAT).accept());
        self.rule(t, FORWARD, |r| r.to_links_in(UNPROTECTED.name).accept());
        let icmp = if self.family == Family::Ip { ICMP } else { ICMP6 };
        self.rule(t, FORWARD, |r| r.to_links_in(ROUTED.name).protocol(icmp).accept());
        self.rule(t, FORWARD, |r| r.to_links_in(ROUTED.name).parts_in(&PORT_AT, OPEN).accept());
        self.rule(t, FORWARD, |r| r.between_links_in(TRUSTED.name).parts_in(&PORT_AT, OPEN).accept());
        self.rule(t, FORWARD, |r| r.to_links_in(bridges).drop());
    }

    /// The elements that belong into `map`.
    fn elements(&self, map: &str, all: &[Entry]) -> Vec<Element> {
        let belongs = |entry: &&Entry| match entry {
            Entry::One { at: None, .. } => map == PORTS,
            Entry::One { .. } => map == PORTS_AT,
            Entry::Row { at: None, .. } => map == ROWS,
            Entry::Row { .. } => map == ROWS_AT,
            Entry::Open { .. } => false,
        };
        self.own(all).filter(belongs).map(Entry::element).collect()
    }
}

/// The sets that a network is in.
fn memberships(member: &Member, family: Family) -> Vec<(&'static str, Element)> {
    let bridge = member.bridge.as_str();
    let mut all = vec![(BRIDGES.name, Element::links(&[bridge]))];
    if member.is_shard {
        // Who may reach whom is for its ports and the first bridge to say.
        all.push((TOGETHER.name, Element::links(&[bridge, bridge])));
        all.push((SHARDS.name, Element::links(&[bridge])));
        return all;
    }
    all.push((WITHIN.name, Element::links(&[bridge, bridge])));
    if member.together {
        all.push((TOGETHER.name, Element::links(&[bridge, bridge])));
    }
    if member.internal {
        all.push((INTERNAL.name, Element::links(&[bridge])));
    }
    let manners = &member.manners;
    let gateway = if family == Family::Ip { manners.v4 } else { manners.v6 };
    match gateway {
        _ if member.internal => {}
        Gateway::Unprotected => all.push((UNPROTECTED.name, Element::links(&[bridge]))),
        Gateway::Routed => all.push((ROUTED.name, Element::links(&[bridge]))),
        Gateway::Nat | Gateway::Isolated => {}
    }
    if !member.internal {
        all.extend(manners.trusted.iter().map(|link| (TRUSTED.name, Element::links(&[link, bridge]))));
    }
    if member.masquerade && !member.internal && gateway != Gateway::Routed {
        all.push((MASQUERADED.name, Element::links(&[bridge])));
    }
    all
}

fn loopback() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)
}
