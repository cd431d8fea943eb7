//! The expressions a rule is made of: each narrows what the rule is for, the last says what is to be done.
//!
//! A value is loaded into a register and compared there. Registers are 32 bits wide; a concatenation lies in registers
//! that follow each other, each part padded to 32 bits.

mod endpoints;
mod ranges;

pub use endpoints::{Carried, Part, Whose};

use super::{DATA_VALUE, Family, LIST_ELEMENT};
use crate::Attributes;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;

/// NFT_REG32_00, and the register of verdicts.
const REGISTER: u32 = 8;
const VERDICT: u32 = 0;

const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_L4_PROTOCOL: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const SOURCE_OFFSET: u32 = 12;
const DESTINATION_OFFSET: u32 = 16;
/// `struct ipv6hdr`
const DESTINATION6_OFFSET: u32 = 24;
/// Registers that the name of a link takes (IFNAMSIZ bytes).
const LINK_REGISTERS: u32 = 4;
const PORT_OFFSET: u32 = 2;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_BY_SOURCE: u32 = 1;
const FIB_BY_DESTINATION: u32 = 1 << 1;
const TYPE_LOCAL: u32 = 2;
const NAT_DESTINATION: u32 = 1;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// NFT_RETURN, -5.
const RETURN: u32 = u32::MAX - 4;

/// NF_CT_STATE_BIT(IP_CT_ESTABLISHED).
pub const CT_ESTABLISHED: u32 = 1 << 1;
/// NF_CT_STATE_BIT(IP_CT_NEW).
pub const CT_NEW: u32 = 1 << 3;
/// NF_CT_STATE_BIT(IP_CT_RELATED).
pub const CT_RELATED: u32 = 1 << 2;
/// IPS_DST_NAT: the connection's destination was rewritten.
pub const CT_DNAT: u32 = 1 << 5;

/// A rule being written.
#[derive(Debug)]
pub struct Rule<'r, 'a> {
    list: &'r mut Attributes<'a>,
    family: Family,
}

impl<'r, 'a> Rule<'r, 'a> {
    pub(super) fn new(list: &'r mut Attributes<'a>, family: Family) -> Rule<'r, 'a> {
        Rule { list, family }
    }

    /// Packets that came in by the link of this name.
    pub fn from_link(self, name: &str) -> Self {
        self.meta(META_IN_NAME, 0).compare(EQUAL, &terminated(name))
    }

    /// Packets that came in by another link.
    pub fn not_from_link(self, name: &str) -> Self {
        self.meta(META_IN_NAME, 0).compare(NOT_EQUAL, &terminated(name))
    }

    /// Packets that go out by the link of this name.
    pub fn to_link(self, name: &str) -> Self {
        self.meta(META_OUT_NAME, 0).compare(EQUAL, &terminated(name))
    }

    /// Packets that go out by a link whose name begins so (`br-*` of nft).
    pub fn to_links(self, prefix: &str) -> Self {
        self.meta(META_OUT_NAME, 0).compare(EQUAL, prefix.as_bytes())
    }

    /// Packets that go out by another link.
    pub fn not_to_link(self, name: &str) -> Self {
        self.meta(META_OUT_NAME, 0).compare(NOT_EQUAL, &terminated(name))
    }

    /// Packets that came in by a link whose name the set has.
    pub fn from_links_in(self, set: &str) -> Self {
        self.meta(META_IN_NAME, 0).among(set)
    }

    /// Packets that go out by a link whose name the set has.
    pub fn to_links_in(self, set: &str) -> Self {
        self.meta(META_OUT_NAME, 0).among(set)
    }

    /// Packets for which the set has the names of the links they came in by and go out by. At the hook postrouting the kernel
    /// knows the first since Linux 5.7.
    pub fn between_links_in(self, set: &str) -> Self {
        self.meta(META_IN_NAME, 0).meta(META_OUT_NAME, LINK_REGISTERS).among(set)
    }

    /// Packets of this protocol (6 is TCP) to this port.
    pub fn to_port(self, protocol: u8, port: u16) -> Self {
        self.meta(META_L4_PROTOCOL, 0)
            .compare(EQUAL, &[protocol])
            .payload(TRANSPORT_HEADER, PORT_OFFSET, 2, 0)
            .compare(EQUAL, &port.to_be_bytes())
    }

    /// Packets whose source is in `net`.
    pub fn source_in(self, net: Ipv4Net) -> Self {
        self.address_in(SOURCE_OFFSET, net)
    }

    /// Packets whose destination is in `net`.
    pub fn destination_in(self, net: Ipv4Net) -> Self {
        self.address_in(DESTINATION_OFFSET, net)
    }

    /// Packets to an address of this host.
    pub fn destination_is_local(mut self) -> Self {
        self.expression("fib", |a| {
            a.be32(1, REGISTER);
            a.be32(2, FIB_ADDRESS_TYPE);
            a.be32(3, FIB_BY_DESTINATION);
        });
        self.compare(EQUAL, &TYPE_LOCAL.to_ne_bytes())
    }

    /// Packets from others than this host.
    pub fn source_is_not_local(mut self) -> Self {
        self.expression("fib", |a| {
            a.be32(1, REGISTER);
            a.be32(2, FIB_ADDRESS_TYPE);
            a.be32(3, FIB_BY_SOURCE);
        });
        self.compare(NOT_EQUAL, &TYPE_LOCAL.to_ne_bytes())
    }

    /// Packets that came in by no link that the hook knows of: this host's own, and at postrouting bridged ones.
    pub fn from_no_link(self) -> Self {
        self.meta(META_IN_NAME, 0).compare(EQUAL, &[0; 16])
    }

    /// Packets whose connection is in one of these states ([`CT_ESTABLISHED`], [`CT_RELATED`]).
    pub fn state(self, any_of: u32) -> Self {
        self.conntrack(CT_STATE, any_of)
    }

    /// Packets whose connection has one of these marks ([`CT_DNAT`]).
    pub fn status(self, any_of: u32) -> Self {
        self.conntrack(CT_STATUS, any_of)
    }

    /// Counts packets and bytes, as every rule of iptables does.
    pub fn counter(mut self) -> Self {
        self.expression("counter", |_| {});
        self
    }

    /// Rewrites the destination to the address and port that the map `map` has for protocol and port.
    pub fn dnat_by_port(self, map: &str) {
        self.meta(META_L4_PROTOCOL, 0).payload(TRANSPORT_HEADER, PORT_OFFSET, 2, 1).dnat_by(map);
    }

    /// Rewrites the destination to the address and port that the map `map` has for address, protocol and port.
    pub fn dnat_by_address_and_port(self, map: &str) {
        let (offset, length, next) = match self.family {
            Family::Ip => (DESTINATION_OFFSET, 4, 1),
            Family::Ip6 => (DESTINATION6_OFFSET, 16, 4),
        };
        self.payload(NETWORK_HEADER, offset, length, 0)
            .meta(META_L4_PROTOCOL, next)
            .payload(TRANSPORT_HEADER, PORT_OFFSET, 2, next + 1)
            .dnat_by(map);
    }

    /// Rewrites the destination.
    pub fn dnat_to(mut self, address: Ipv4Addr, port: u16) {
        for (register, bytes) in [(REGISTER, &address.octets()[..]), (REGISTER + 1, &port.to_be_bytes()[..])] {
            self.expression("immediate", |a| {
                a.be32(1, register);
                a.nest(2, |a| a.bytes(DATA_VALUE, bytes));
            });
        }
        self.expression("nat", |a| {
            a.be32(1, NAT_DESTINATION);
            a.be32(2, u32::from(Family::Ip.number()));
            a.be32(3, REGISTER);
            a.be32(5, REGISTER + 1);
        });
    }

    /// Rewrites the source to the address of the link the packet goes out by.
    pub fn masquerade(mut self) {
        self.expression("masq", |_| {});
    }

    /// The packet is of no connection, and no translation sees it (in chains before connection tracking).
    pub fn untrack(mut self) {
        self.expression("notrack", |_| {});
    }

    /// The packet may pass this chain.
    pub fn accept(self) {
        self.verdict(ACCEPT);
    }

    /// This chain has nothing to say: the calling chain goes on.
    pub fn back(self) {
        self.verdict(RETURN);
    }

    /// The packet is gone.
    pub fn drop(self) {
        self.verdict(DROP);
    }

    fn dnat_by(mut self, map: &str) {
        self.expression("lookup", |a| {
            a.text(1, map);
            a.be32(2, REGISTER);
            a.be32(3, REGISTER);
        });
        let (family, port) = (u32::from(self.family.number()), if self.family == Family::Ip { 1 } else { 4 });
        self.expression("nat", |a| {
            a.be32(1, NAT_DESTINATION);
            a.be32(2, family);
            a.be32(3, REGISTER);
            a.be32(5, REGISTER + port);
        });
    }

    /// What was loaded is in the set.
    fn among(mut self, set: &str) -> Self {
        self.expression("lookup", |a| {
            a.text(1, set);
            a.be32(2, REGISTER);
        });
        self
    }

    fn address_in(self, offset: u32, net: Ipv4Net) -> Self {
        self.payload(NETWORK_HEADER, offset, 4, 0)
            .masked(&net.netmask().octets())
            .compare(EQUAL, &net.network().octets())
    }

    fn conntrack(mut self, key: u32, any_of: u32) -> Self {
        self.expression("ct", |a| {
            a.be32(1, REGISTER);
            a.be32(2, key);
        });
        self.masked(&any_of.to_ne_bytes()).compare(NOT_EQUAL, &[0; 4])
    }

    fn meta(mut self, key: u32, register: u32) -> Self {
        self.expression("meta", |a| {
            a.be32(1, REGISTER + register);
            a.be32(2, key);
        });
        self
    }

    fn payload(mut self, base: u32, offset: u32, length: u32, register: u32) -> Self {
        self.expression("payload", |a| {
            a.be32(1, REGISTER + register);
            a.be32(2, base);
            a.be32(3, offset);
            a.be32(4, length);
        });
        self
    }

    fn masked(mut self, mask: &[u8; 4]) -> Self {
        self.expression("bitwise", |a| {
            a.be32(1, REGISTER);
            a.be32(2, REGISTER);
            a.be32(3, 4);
            a.nest(4, |a| a.bytes(DATA_VALUE, mask));
            a.nest(5, |a| a.bytes(DATA_VALUE, &[0; 4]));
        });
        self
    }

    fn compare(mut self, how: u32, with: &[u8]) -> Self {
        self.expression("cmp", |a| {
            a.be32(1, REGISTER);
            a.be32(2, how);
            a.nest(3, |a| a.bytes(DATA_VALUE, with));
        });
        self
    }

    /// NFTA_IMMEDIATE_DREG, and _DATA with an NFTA_DATA_VERDICT with an NFTA_VERDICT_CODE.
    fn verdict(mut self, code: u32) {
        self.expression("immediate", |a| {
            a.be32(1, VERDICT);
            a.nest(2, |a| a.nest(2, |a| a.be32(1, code)));
        });
    }

    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
        self.list.nest(LIST_ELEMENT, |a| {
            a.text(EXPRESSION_NAME, name);
            a.nest(EXPRESSION_DATA, data);
        });
    }
}

/// A link's name with its end, as iptables compares it too: without the end it would be a prefix.
fn terminated(name: &str) -> Vec<u8> {
    name.bytes().chain([0]).collect()
}
