//! Expressions of published ports: destinations out of maps whose keys are ranges, and packets that are sent through the machine once more.

use super::{NAT_DESTINATION, Part, REGISTER, Rule};
use crate::nft::{DATA_VALUE, Family};
use std::net::IpAddr;

/// Registers behind those of the longest key loaded here (an IPv6 address, a protocol, a port).
const SPARE: u32 = REGISTER + 8;

impl Rule<'_, '_> {
    /// Rewrites the destination to the address that the map of ranges has for these parts; the port stays.
    pub fn dnat_within_range(self, parts: &[Part], map: &str) {
        let family = u32::from(self.family.number());
        let mut rule = self.load(parts);
        rule.expression("lookup", |a| {
            a.text(1, map);
            a.be32(2, REGISTER);
            a.be32(3, REGISTER);
        });
        rule.expression("nat", |a| {
            a.be32(1, NAT_DESTINATION);
            a.be32(2, family);
            a.be32(3, REGISTER);
        });
    }

    /// Packets whose parts are a key of the map, whatever its value.
    pub fn parts_known_to(self, parts: &[Part], map: &str) -> Self {
        let mut rule = self.load(parts);
        // A map can only be asked for its value (nft_lookup_init).
        rule.expression("lookup", |a| {
            a.text(1, map);
            a.be32(2, REGISTER);
            a.be32(3, SPARE);
        });
        rule
    }

    /// Sends a copy of the packet out by this link, without a tracked connection.
    pub fn copy_to(mut self, gateway: IpAddr, link: u32) -> Self {
        let (bytes, device) = match gateway {
            IpAddr::V4(address) => (address.octets().to_vec(), REGISTER + 1),
            IpAddr::V6(address) => (address.octets().to_vec(), REGISTER + 4),
        };
        debug_assert_eq!(gateway.is_ipv4(), self.family == Family::Ip);
        self.expression("immediate", |a| {
            a.be32(1, REGISTER);
            a.nest(2, |a| a.bytes(DATA_VALUE, &bytes));
        });
        self.expression("immediate", |a| {
            a.be32(1, device);
            a.nest(2, |a| a.bytes(DATA_VALUE, &link.to_ne_bytes()));
        });
        self.expression("dup", |a| {
            a.be32(1, REGISTER);
            a.be32(2, device);
        });
        self
    }
}
