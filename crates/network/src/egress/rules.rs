//! The nft tables of egress policies: rules that are always the same, and sets in which containers, what they may reach and
//! what they tried come and go.
//!
//! ```text
//! table ip dhow0-egress {                                                                     # ip6 the same
//!   set links      { ifname }                                             # links that lead to them: packets come by bridges
//!   set policed    { ipv4_addr }                                          # containers with a policy
//!   set open       { ipv4_addr }                                          # those that may do what is not denied
//!   set denied     { ipv4_addr . ipv4_addr . inet_proto . inet_service }  # container, where to: ranges
//!   set not_host   { ipv4_addr . inet_proto . inet_service }              # container, what of this machine: ranges
//!   set allowed, to_host                                                  # the same, the other way
//!   set pins       { ipv4_addr . ipv4_addr }                              # container, an address of an allowed name, for a while
//!   set pins_at    { ipv4_addr . ipv4_addr . inet_proto . inet_service }
//!   set nearby     { ipv4_addr . ipv4_addr }                              # container, the subnets of its networks
//!   set anywhere, anywhere_private { ipv4_addr . inet_proto . inet_service }
//!   set special    { ipv4_addr }                                          # what is not the world
//!   set learning   { ipv4_addr }    set learned, refused { like pins_at, with counters }
//!   chain prerouting (mangle: the connection is known, its destination not yet rewritten): in this order
//!   chain refuse     log what is new, count, send back
//! }
//! table bridge dhow0-egress { ... }   # who has a policy speaks with its own addresses only: rules above know it by them
//! ```
//!
//! Packets meet the chain before published ports are looked at: a container sees the machine's address as the machine, whoever
//! answers there. Between ports of one bridge nothing is judged, as there is nothing that every packet would pass.

use super::places::{not_world, not_world6};
use netlink::nft::{
    BaseChain, CT_ESTABLISHED, CT_RELATED, Carried, ChainKind, Family, Field, Hook, KeyedSet, Member, Part, Rule, Sort,
    Transaction, Whose,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

const RULES: BaseChain<'static> =
    BaseChain { name: "prerouting", kind: ChainKind::Filter, hook: Hook::Prerouting, priority: -150 };
const GUARD: BaseChain<'static> =
    BaseChain { name: "guard", kind: ChainKind::Filter, hook: Hook::Prerouting, priority: -300 };
const REFUSE: &str = "refuse";
const REFUSE_PORT: &str = "refuse_port";
const LEARN: &str = "learn";

/// What was tried is kept this long after the last time, for so many together.
pub(super) const MEMORY: Duration = Duration::from_secs(24 * 3600);
const MOST_KEPT: u32 = 32_768;
const ICMP6: u8 = 58;
/// TCP, UDP, SCTP.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

const TO: [Part; 4] = [Part::Source, Part::Destination, Part::Protocol, Part::DestinationPort];
const TO_NO_PORT: [Part; 4] = [Part::Source, Part::Destination, Part::Protocol, Part::NoPort];
const PORT_OF: [Part; 3] = [Part::Source, Part::Protocol, Part::DestinationPort];
const PAIR: [Part; 2] = [Part::Source, Part::Destination];

/// A set of a table, by its name and what it is keyed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Links,
    Policed,
    Open,
    Denied,
    NotHost,
    Allowed,
    ToHost,
    Pins,
    PinsAt,
    Nearby,
    Anywhere,
    AnywherePrivate,
    Special,
    Learning,
    Learned,
    Refused,
}

const ALL: [Name; 16] = [
    Name::Links,
    Name::Policed,
    Name::Open,
    Name::Denied,
    Name::NotHost,
    Name::Allowed,
    Name::ToHost,
    Name::Pins,
    Name::PinsAt,
    Name::Nearby,
    Name::Anywhere,
    Name::AnywherePrivate,
    Name::Special,
    Name::Learning,
    Name::Learned,
    Name::Refused,
];

const LINK: [&[Field]; 2] = [&[Field::Link], &[Field::Link]];
const ONE: [&[Field]; 2] = [&[Field::Address], &[Field::Address6]];
const TWO: [&[Field]; 2] = [&[Field::Address, Field::Address], &[Field::Address6, Field::Address6]];
const PORT: [&[Field]; 2] =
    [&[Field::Address, Field::Protocol, Field::Port], &[Field::Address6, Field::Protocol, Field::Port]];
const FULL: [&[Field]; 2] = [
    &[Field::Address, Field::Address, Field::Protocol, Field::Port],
    &[Field::Address6, Field::Address6, Field::Protocol, Field::Port],
];

impl Name {
    pub(super) fn text(self) -> &'static str {
        match self {
            Name::Links => "links",
            Name::Policed => "policed",
            Name::Open => "open",
            Name::Denied => "denied",
            Name::NotHost => "not_host",
            Name::Allowed => "allowed",
            Name::ToHost => "to_host",
            Name::Pins => "pins",
            Name::PinsAt => "pins_at",
            Name::Nearby => "nearby",
            Name::Anywhere => "anywhere",
            Name::AnywherePrivate => "anywhere_private",
            Name::Special => "special",
            Name::Learning => "learning",
            Name::Learned => "learned",
            Name::Refused => "refused",
        }
    }

    pub(super) fn set(self, family: Family) -> KeyedSet<'static> {
        let (keys, sort) = match self {
            Name::Links => (LINK, Sort::Plain),
            Name::Policed | Name::Open | Name::Learning => (ONE, Sort::Plain),
            Name::Denied | Name::Allowed => (FULL, Sort::Ranges),
            Name::NotHost | Name::ToHost | Name::Anywhere | Name::AnywherePrivate => (PORT, Sort::Ranges),
            Name::Pins => (TWO, Sort::Timed),
            Name::PinsAt => (FULL, Sort::Timed),
            Name::Nearby => (TWO, Sort::Ranges),
            Name::Special => (ONE, Sort::Ranges),
            Name::Learned | Name::Refused => (FULL, Sort::ByRules { most: MOST_KEPT }),
        };
        KeyedSet { name: self.text(), key: keys[usize::from(family == Family::Ip6)], sort }
    }
}

const GUARDED: KeyedSet<'static> = KeyedSet { name: "guarded", key: &[Field::Link], sort: Sort::Plain };
const OWN: KeyedSet<'static> = KeyedSet { name: "own", key: &[Field::Link, Field::Address], sort: Sort::Plain };
const OWN6: KeyedSet<'static> = KeyedSet { name: "own6", key: &[Field::Link, Field::Address6], sort: Sort::Plain };

/// Members of sets, of one family.
pub(super) type Members = BTreeMap<Name, Vec<(Member, Option<Duration>)>>;

/// Makes the table of a family anew, with these members.
pub(super) fn build(table: &str, family: Family, group: u16, members: &Members) -> Transaction {
    let mut t = Transaction::of(family);
    t.add_table(table);
    t.delete_table(table);
    t.add_table(table);
    for name in ALL {
        t.add_keyed_set(table, &name.set(family));
    }
    t.add_members(table, &Name::Special.set(family), &special(family));
    t.add_chain(table, &RULES);
    for chain in [REFUSE, REFUSE_PORT, LEARN] {
        t.add_inner_chain(table, chain);
    }
    refusals(&mut t, table, group);
    lessons(&mut t, table);
    judgement(&mut t, table, family);
    add(&mut t, table, family, members);
    t
}

/// Adds members.
pub(super) fn add(t: &mut Transaction, table: &str, family: Family, members: &Members) {
    for (name, members) in members {
        t.add_members(table, &name.set(family), members);
    }
}

/// Removes members.
pub(super) fn remove(t: &mut Transaction, table: &str, family: Family, members: &Members) {
    for (name, members) in members {
        let keys: Vec<Member> = members.iter().map(|(member, _)| member.clone()).collect();
        t.delete_members(table, &name.set(family), &keys);
    }
}

/// Removes the table, if it is there.
pub(super) fn raze(mut t: Transaction, table: &str) -> Transaction {
    t.add_table(table);
    t.delete_table(table);
    t
}

fn rule(t: &mut Transaction, table: &str, chain: &str, write: impl FnOnce(Rule<'_, '_>)) {
    t.add_rule(table, chain, write);
}

fn judgement(t: &mut Transaction, table: &str, family: Family) {
    let chain = RULES.name;
    let mut put = |write: &dyn Fn(Rule<'_, '_>)| rule(t, table, chain, write);
    // A frame to one of the MACs that bridges keep for themselves (01-80-C2-00-00-0X) comes in by the port itself, past the guard.
    put(&|r| r.parts_in(&[Part::InLink], Name::Links.text()).drop());
    put(&|r| r.parts_not_in(&[Part::Source], Name::Policed.text()).accept());
    if family == Family::Ip6 {
        // Neighbour discovery goes to what is on the link; a message of its that is sent elsewhere is as any other packet.
        put(&|r| r.protocol(ICMP6).destination6_begins([0xff, 2], [0xff, 0xff]).accept());
        put(&|r| r.protocol(ICMP6).destination6_begins([0xfe, 0x80], [0xff, 0xc0]).accept());
        put(&|r| r.protocol(ICMP6).icmp_type_between(135, 136).destination_is(Whose::Local).accept());
    }
    put(&|r| r.state(CT_ESTABLISHED | CT_RELATED).accept());
    put(&|r| r.parts_in(&[Part::Source], Name::Learning.text()).by_way_of(LEARN));
    put(&|r| r.parts_in(&TO, Name::Denied.text()).go_to(REFUSE));
    // The machine answers at the first address of each of its IPv6 networks, too (RFC 4291: subnet-router anycast).
    for own in [Whose::Local, Whose::Anycast] {
        put(&|r| r.destination_is(own).parts_in(&PORT_OF, Name::NotHost.text()).go_to(REFUSE));
    }
    put(&|r| r.parts_in(&[Part::Source], Name::Open.text()).accept());
    put(&|r| r.parts_in(&TO, Name::Allowed.text()).accept());
    put(&|r| r.destination_is(Whose::Local).parts_in(&PORT_OF, Name::ToHost.text()).accept());
    for near in [Whose::Local, Whose::Anycast, Whose::Broadcast] {
        put(&|r| r.destination_is(near).go_to(REFUSE));
    }
    put(&|r| r.parts_in(&PAIR, Name::Pins.text()).accept());
    put(&|r| r.parts_in(&TO, Name::PinsAt.text()).accept());
    put(&|r| r.parts_in(&PAIR, Name::Nearby.text()).accept());
    put(&|r| r.parts_in(&PORT_OF, Name::AnywherePrivate.text()).accept());
    put(&|r| r.parts_in(&[Part::Destination], Name::Special.text()).go_to(REFUSE));
    put(&|r| r.parts_in(&PORT_OF, Name::Anywhere.text()).accept());
    put(&|r| r.go_to(REFUSE));
}

/// Only what was not tried before is told: a container that tries the same for ever costs nobody anything. A set that is full keeps
/// and counts nothing new, and what is refused stays refused.
fn refusals(t: &mut Transaction, table: &str, group: u16) {
    for protocol in WITH_PORTS {
        rule(t, table, REFUSE, |r| r.protocol(protocol).go_to(REFUSE_PORT));
    }
    for (chain, parts) in [(REFUSE, &TO_NO_PORT), (REFUSE_PORT, &TO)] {
        rule(t, table, chain, |r| r.parts_not_in(parts, Name::Refused.text()).at_most(20, 50).log(group));
        rule(t, table, chain, |r| r.keep_parts(parts, Name::Refused.text(), MEMORY));
        rule(t, table, chain, |r| r.reject());
    }
}

fn lessons(t: &mut Transaction, table: &str) {
    for protocol in WITH_PORTS {
        rule(t, table, LEARN, |r| r.protocol(protocol).keep_parts(&TO, Name::Learned.text(), MEMORY));
    }
    // What has no ports: ICMP.
    for protocol in [1, ICMP6] {
        rule(t, table, LEARN, |r| r.protocol(protocol).keep_parts(&TO_NO_PORT, Name::Learned.text(), MEMORY));
    }
}

fn special(family: Family) -> Vec<(Member, Option<Duration>)> {
    let ranges: Vec<(IpAddr, Option<IpAddr>)> = match family {
        Family::Ip => not_world()
            .into_iter()
            .map(|(first, last)| (first.into(), last.to_bits().checked_add(1).map(|next| IpAddr::V4(next.into()))))
            .collect(),
        Family::Ip6 => not_world6()
            .into_iter()
            .map(|(first, last)| (first.into(), last.to_bits().checked_add(1).map(|next| IpAddr::V6(next.into()))))
            .collect(),
    };
    let ends = ranges.into_iter().flat_map(|(first, next)| {
        [Some(Member::new().address(first)), next.map(Member::end_of_range)].into_iter().flatten()
    });
    ends.map(|member| (member, None)).collect()
}

/// A link of the host that leads to a container, and the addresses that it may speak with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Speaker {
    pub(super) link: String,
    pub(super) addresses: Vec<IpAddr>,
}

/// Makes the table of frames anew.
pub(super) fn build_guard(table: &str, speakers: &[Speaker]) -> Transaction {
    let mut t = Transaction::of_bridges();
    t.add_table(table);
    t.delete_table(table);
    t.add_table(table);
    for set in [&GUARDED, &OWN, &OWN6] {
        t.add_keyed_set(table, set);
    }
    t.add_chain(table, &GUARD);
    let mut put = |write: &dyn Fn(Rule<'_, '_>)| rule(&mut t, table, GUARD.name, write);
    put(&|r| r.parts_not_in(&[Part::InLink], GUARDED.name).accept());
    put(&|r| r.carries(Carried::Arp).accept());
    put(&|r| r.carries(Carried::Ipv4).parts_in(&[Part::InLink, Part::Source4], OWN.name).accept());
    put(&|r| r.carries(Carried::Ipv6).parts_in(&[Part::InLink, Part::Source6], OWN6.name).accept());
    // Neighbour discovery, and nothing else, from addresses that are good on the link only.
    put(&|r| r.carries(Carried::Ipv6).source6_begins([0xfe, 0x80], [0xff, 0xc0]).protocol(ICMP6).accept());
    put(&|r| r.carries(Carried::Ipv6).source6_is_unspecified().protocol(ICMP6).accept());
    put(&|r| r.drop());
    add_speakers(&mut t, table, speakers);
    t
}

pub(super) fn add_speakers(t: &mut Transaction, table: &str, speakers: &[Speaker]) {
    for (set, members) in guard_members(speakers) {
        let members: Vec<_> = members.into_iter().map(|member| (member, None)).collect();
        t.add_members(table, set, &members);
    }
}

pub(super) fn remove_speakers(t: &mut Transaction, table: &str, speakers: &[Speaker]) {
    for (set, members) in guard_members(speakers) {
        t.delete_members(table, set, &members);
    }
}

fn guard_members(speakers: &[Speaker]) -> [(&'static KeyedSet<'static>, Vec<Member>); 3] {
    let guarded = speakers.iter().map(|speaker| Member::new().link(&speaker.link)).collect();
    let own = |is_v4: bool| {
        let of = move |speaker: &Speaker| {
            let link = speaker.link.clone();
            let own = speaker.addresses.clone().into_iter().filter(move |address| address.is_ipv4() == is_v4);
            own.map(move |address| Member::new().link(&link).address(address)).collect::<Vec<_>>()
        };
        speakers.iter().flat_map(of).collect()
    };
    [(&GUARDED, guarded), (&OWN, own(true)), (&OWN6, own(false))]
}
