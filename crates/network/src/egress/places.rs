//! What sort of place an address is: one of the world, of somebody's own network, or none that a name may lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What sort of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anybody's: names may lead there.
    World,
    /// Somebody's own network (RFC 1918, RFC 6598, RFC 4193 and the like).
    Private,
    /// The machine itself, its link (with the metadata services of clouds at 169.254.169.254), or nothing at all.
    Near,
}

/// Private ones first, then near ones: the first and the last of each.
const PRIVATE: [([u8; 4], [u8; 4]); 6] = [
    ([10, 0, 0, 0], [10, 255, 255, 255]),
    ([100, 64, 0, 0], [100, 127, 255, 255]),
    ([172, 16, 0, 0], [172, 31, 255, 255]),
    ([192, 0, 0, 0], [192, 0, 0, 255]),
    ([192, 168, 0, 0], [192, 168, 255, 255]),
    ([198, 18, 0, 0], [198, 19, 255, 255]),
];
const NEAR: [([u8; 4], [u8; 4]); 4] = [
    ([0, 0, 0, 0], [0, 255, 255, 255]),
    ([127, 0, 0, 0], [127, 255, 255, 255]),
    ([169, 254, 0, 0], [169, 254, 255, 255]),
    ([224, 0, 0, 0], [255, 255, 255, 255]),
];

/// What is not the world, of IPv4, in order: the first and the last of each range.
pub(crate) fn not_world() -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let mut all: Vec<_> =
        PRIVATE.iter().chain(&NEAR).map(|(first, last)| (Ipv4Addr::from(*first), Ipv4Addr::from(*last))).collect();
    all.sort_unstable();
    all
}

/// The same of IPv6: all but 2000::/3, and of that Teredo (RFC 4380) and 6to4 (RFC 3056), which carry IPv4 addresses.
pub(crate) fn not_world6() -> Vec<(Ipv6Addr, Ipv6Addr)> {
    let range = |first: u128, last: u128| (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last));
    let high = |segment: u128| segment << 112;
    vec![
        range(0, high(0x2000) - 1),
        range(high(0x2001), high(0x2001) | ((1 << 96) - 1)),
        range(high(0x2002), high(0x2003) - 1),
        range(high(0x4000), u128::MAX),
    ]
}

/// What sort of place this is.
pub(crate) fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => place4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => place4(address),
            None if address.is_unique_local() => Place::Private,
            None if within(&not_world6(), address) => Place::Near,
            None => Place::World,
        },
    }
}

fn place4(address: Ipv4Addr) -> Place {
    let among = |ranges: &[([u8; 4], [u8; 4])]| {
        let octets = address.octets();
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&octets))
    };
    match () {
        () if among(&PRIVATE) => Place::Private,
        () if among(&NEAR) => Place::Near,
        () => Place::World,
    }
}

fn within<T: PartialOrd + Copy>(ranges: &[(T, T)], address: T) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_world_are_the_worlds() {
        for (text, wanted) in [
            ("1.1.1.1", Place::World),
            ("203.0.113.9", Place::World),
            ("172.32.0.1", Place::World),
            ("10.0.0.1", Place::Private),
            ("100.100.0.1", Place::Private),
            ("172.31.255.255", Place::Private),
            ("169.254.169.254", Place::Near),
            ("127.0.0.1", Place::Near),
            ("0.0.0.0", Place::Near),
            ("255.255.255.255", Place::Near),
            ("224.0.0.1", Place::Near),
            ("2606:4700::1111", Place::World),
            ("2001:db8::1", Place::World),
            ("2001::1", Place::Near),
            ("2002:7f00:1::", Place::Near),
            ("fd00::1", Place::Private),
            ("::ffff:10.0.0.1", Place::Private),
            ("::ffff:127.0.0.1", Place::Near),
            ("64:ff9b::a00:1", Place::Near),
            ("::1", Place::Near),
            ("fe80::1", Place::Near),
            ("ff02::1", Place::Near),
        ] {
            assert_eq!(place(text.parse().unwrap()), wanted, "{text}");
        }
    }

    #[test]
    fn the_ranges_are_in_order_and_apart() {
        assert!(not_world().windows(2).all(|pair| pair[0].1 < pair[1].0));
        assert!(not_world6().windows(2).all(|pair| pair[0].1 < pair[1].0));
    }
}
