//! Expressions about who speaks with whom: addresses, protocols and ports of a packet against sets that are keyed with them.

use super::{
    DESTINATION_OFFSET, DESTINATION6_OFFSET, EQUAL, FIB_ADDRESS_TYPE, FIB_BY_DESTINATION, META_IN_NAME,
    META_L4_PROTOCOL, NETWORK_HEADER, PORT_OFFSET, REGISTER, Rule, SOURCE_OFFSET, TRANSPORT_HEADER, VERDICT,
};
use crate::nft::{DATA_VALUE, Family};
use std::time::Duration;

/// `struct ipv6hdr`
const SOURCE6_OFFSET: u32 = 8;
const META_PROTOCOL: u32 = 1;
const LINK_REGISTERS: u32 = 4;
const LOOKUP_INVERTED: u32 = 1;
const DYNAMIC_UPDATE: u32 = 1;
/// NFT_JUMP, -3, and NFT_GOTO, -4.
const JUMP: u32 = u32::MAX - 2;
const GOTO: u32 = u32::MAX - 3;
const REJECT_UNREACHABLE: u32 = 0;
/// ICMP_PKT_FILTERED, ICMPV6_ADM_PROHIBITED.
const PROHIBITED: u8 = 13;
const PROHIBITED6: u8 = 1;

/// A part of a packet that a set is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Source,
    Destination,
    /// Of the transport: 6 is TCP.
    Protocol,
    DestinationPort,
    /// 0, in the place of a port.
    NoPort,
    /// The link that it came in by.
    InLink,
    /// The source of an IPv4 packet, whatever the table's family.
    Source4,
    /// That of an IPv6 packet.
    Source6,
}

/// What frames of a bridge carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    Arp,
    Ipv4,
    Ipv6,
}

/// Whose an address is, by the machine's routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The machine's own.
    Local,
    /// Of all on a network.
    Broadcast,
    /// Of whichever is nearest: a router's own at the first address of each of its IPv6 networks.
    Anycast,
}

impl Rule<'_, '_> {
    /// Packets whose parts the set has, one after the other.
    pub fn parts_in(self, parts: &[Part], set: &str) -> Self {
        self.load(parts).among(set)
    }

    /// Packets whose parts the set has not.
    pub fn parts_not_in(self, parts: &[Part], set: &str) -> Self {
        let mut rule = self.load(parts);
        rule.expression("lookup", |a| {
            a.text(1, set);
            a.be32(2, REGISTER);
            a.be32(5, LOOKUP_INVERTED);
        });
        rule
    }

    /// Keeps the parts in a set that rules may add to, with a counter; there they stay as long as packets come, and this long.
    pub fn keep_parts(self, parts: &[Part], set: &str, kept: Duration) {
        let mut rule = self.load(parts);
        rule.expression("dynset", |a| {
            a.text(1, set);
            a.be32(3, DYNAMIC_UPDATE);
            a.be32(4, REGISTER);
            a.be64(6, u64::try_from(kept.as_millis()).unwrap_or(u64::MAX));
            a.nest(7, |a| {
                a.text(1, "counter");
                a.nest(2, |_| {});
            });
        });
    }

    /// Packets to an address of this sort.
    pub fn destination_is(mut self, whose: Whose) -> Self {
        self.expression("fib", |a| {
            a.be32(1, REGISTER);
            a.be32(2, FIB_ADDRESS_TYPE);
            a.be32(3, FIB_BY_DESTINATION);
        });
        // RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST
        let kind: u32 = match whose {
            Whose::Local => 2,
            Whose::Broadcast => 3,
            Whose::Anycast => 4,
        };
        self.compare(EQUAL, &kind.to_ne_bytes())
    }

    /// Frames that carry this.
    pub fn carries(self, what: Carried) -> Self {
        let kind: u16 = match what {
            Carried::Arp => 0x0806,
            Carried::Ipv4 => 0x0800,
            Carried::Ipv6 => 0x86dd,
        };
        self.meta(META_PROTOCOL, 0).compare(EQUAL, &kind.to_be_bytes())
    }

    /// Packets of this protocol.
    pub fn protocol(self, number: u8) -> Self {
        self.meta(META_L4_PROTOCOL, 0).compare(EQUAL, &[number])
    }

    /// Packets whose first byte behind the network header (the type of ICMP) is one of these, both included.
    pub fn icmp_type_between(self, first: u8, last: u8) -> Self {
        let mut rule = self.payload(TRANSPORT_HEADER, 0, 1, 0);
        rule.expression("range", |a| {
            a.be32(1, REGISTER);
            a.be32(2, EQUAL);
            a.nest(3, |a| a.bytes(DATA_VALUE, &[first]));
            a.nest(4, |a| a.bytes(DATA_VALUE, &[last]));
        });
        rule
    }

    /// IPv6 packets whose source begins with these bits.
    pub fn source6_begins(self, bits: [u8; 2], mask: [u8; 2]) -> Self {
        self.begins6(SOURCE6_OFFSET, bits, mask)
    }

    /// IPv6 packets whose destination begins with these bits.
    pub fn destination6_begins(self, bits: [u8; 2], mask: [u8; 2]) -> Self {
        self.begins6(DESTINATION6_OFFSET, bits, mask)
    }

    /// IPv6 packets without a source.
    pub fn source6_is_unspecified(self) -> Self {
        self.payload(NETWORK_HEADER, SOURCE6_OFFSET, 16, 0).compare(EQUAL, &[0; 16])
    }

    /// No more than so many in a second, and so many at once after a pause.
    pub fn at_most(mut self, in_a_second: u64, at_once: u32) -> Self {
        self.expression("limit", |a| {
            a.be64(1, in_a_second);
            a.be64(2, 1);
            a.be32(3, at_once);
            a.be32(4, 0);
        });
        self
    }

    /// Tells those who listen to this group of NFLOG.
    pub fn log(mut self, group: u16) {
        // The bytes that are told: headers, no more.
        const TOLD: u32 = 128;
        self.expression("log", |a| {
            a.be16(1, group);
            a.be32(3, TOLD);
            // Each at once, not several together.
            a.be16(4, 1);
        });
    }

    /// The packet is sent back: prohibited. At the hook prerouting since Linux 5.9.
    pub fn reject(mut self) {
        let code = if self.family == Family::Ip6 { PROHIBITED6 } else { PROHIBITED };
        self.expression("reject", |a| {
            a.be32(1, REJECT_UNREACHABLE);
            a.u8(2, code);
        });
    }

    /// Another chain decides.
    pub fn go_to(self, chain: &str) {
        self.elsewhere(GOTO, chain);
    }

    /// Another chain is asked first.
    pub fn by_way_of(self, chain: &str) {
        self.elsewhere(JUMP, chain);
    }

    fn elsewhere(mut self, verdict: u32, chain: &str) {
        self.expression("immediate", |a| {
            a.be32(1, VERDICT);
            a.nest(2, |a| {
                a.nest(2, |a| {
                    a.be32(1, verdict);
                    a.text(2, chain);
                });
            });
        });
    }

    fn zero(mut self, register: u32) -> Self {
        self.expression("immediate", |a| {
            a.be32(1, REGISTER + register);
            a.nest(2, |a| a.bytes(DATA_VALUE, &[0; 2]));
        });
        self
    }

    fn begins6(mut self, offset: u32, bits: [u8; 2], mask: [u8; 2]) -> Self {
        self = self.payload(NETWORK_HEADER, offset, 2, 0);
        self.expression("bitwise", |a| {
            a.be32(1, REGISTER);
            a.be32(2, REGISTER);
            a.be32(3, 2);
            a.nest(4, |a| a.bytes(DATA_VALUE, &mask));
            a.nest(5, |a| a.bytes(DATA_VALUE, &[0; 2]));
        });
        self.compare(EQUAL, &bits)
    }

    /// Into registers that follow each other.
    pub(super) fn load(mut self, parts: &[Part]) -> Self {
        let is_v4 = self.family == Family::Ip;
        let mut next = 0;
        for part in parts {
            let (source, destination) =
                if is_v4 { (SOURCE_OFFSET, DESTINATION_OFFSET) } else { (SOURCE6_OFFSET, DESTINATION6_OFFSET) };
            let wide = if is_v4 { 4 } else { 16 };
            let (rule, registers) = match part {
                Part::Source => (self.payload(NETWORK_HEADER, source, wide, next), wide / 4),
                Part::Destination => (self.payload(NETWORK_HEADER, destination, wide, next), wide / 4),
                Part::Source4 => (self.payload(NETWORK_HEADER, SOURCE_OFFSET, 4, next), 1),
                Part::Source6 => (self.payload(NETWORK_HEADER, SOURCE6_OFFSET, 16, next), 4),
                Part::Protocol => (self.meta(META_L4_PROTOCOL, next), 1),
                Part::DestinationPort => (self.payload(TRANSPORT_HEADER, PORT_OFFSET, 2, next), 1),
                Part::NoPort => (self.zero(next), 1),
                Part::InLink => (self.meta(META_IN_NAME, next), LINK_REGISTERS),
            };
            self = rule;
            next += registers;
        }
        self
    }
}
