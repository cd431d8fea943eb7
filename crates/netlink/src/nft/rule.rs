//! The expressions a rule is made of: each narrows what the rule is for, the last says what is to be done.
//!
//! A value is loaded into a register and compared there. Registers are 32 bits wide; a concatenation lies in registers
//! that follow each other, each part padded to 32 bits.

use super::{DATA_VALUE, LIST_ELEMENT};
use crate::Attributes;
use ipnet::Ipv4Net;

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
const PORT_OFFSET: u32 = 2;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_BY_DESTINATION: u32 = 1 << 1;
const TYPE_LOCAL: u32 = 2;
const NAT_DESTINATION: u32 = 1;
const FAMILY_IP: u32 = 2;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// NFT_RETURN, -5.
const RETURN: u32 = u32::MAX - 4;

/// NF_CT_STATE_BIT(IP_CT_ESTABLISHED).
pub const CT_ESTABLISHED: u32 = 1 << 1;
/// NF_CT_STATE_BIT(IP_CT_RELATED).
pub const CT_RELATED: u32 = 1 << 2;
/// IPS_DST_NAT: the connection's destination was rewritten.
pub const CT_DNAT: u32 = 1 << 5;

/// A rule being written.
#[derive(Debug)]
pub struct Rule<'r, 'a> {
    list: &'r mut Attributes<'a>,
}

impl<'r, 'a> Rule<'r, 'a> {
    pub(super) fn new(list: &'r mut Attributes<'a>) -> Rule<'r, 'a> {
        Rule { list }
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
        self.payload(NETWORK_HEADER, DESTINATION_OFFSET, 4, 0)
            .meta(META_L4_PROTOCOL, 1)
            .payload(TRANSPORT_HEADER, PORT_OFFSET, 2, 2)
            .dnat_by(map);
    }

    /// Rewrites the source to the address of the link the packet goes out by.
    pub fn masquerade(mut self) {
        self.expression("masq", |_| {});
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
        self.expression("nat", |a| {
            a.be32(1, NAT_DESTINATION);
            a.be32(2, FAMILY_IP);
            a.be32(3, REGISTER);
            a.be32(5, REGISTER + 1);
        });
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
