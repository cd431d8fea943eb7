//! Where the subnets come from that nobody asked for.

use crate::pool::bits;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Routes wider than this lead everywhere (a default route, a VPN's two halves): they forbid no subnet.
pub(crate) const WIDEST: u8 = 8;
/// What has room for a gateway and two containers is as small as it gets.
const SMALLEST: [u8; 2] = [30, 126];

/// Ranges that subnets are cut out of, in order, each with the length of their prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pools(Vec<(IpNet, u8)>);

impl Default for Pools {
    /// As Docker's: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 to 192.168.240.0/20. Docker has no more; here follow networks
    /// of /24, those of 172.16.0.0/16 and of 10.64.0.0/10.
    fn default() -> Pools {
        let large = (17..=31).map(|i| (Ipv4Addr::new(172, i, 0, 0), 16, 16));
        let further = [
            (Ipv4Addr::new(192, 168, 0, 0), 16, 20),
            (Ipv4Addr::new(172, 16, 0, 0), 16, 24),
            (Ipv4Addr::new(10, 64, 0, 0), 10, 24),
        ];
        let range = |(base, prefix, size)| (IpNet::V4(Ipv4Net::new_assert(base, prefix)), size);
        Pools(large.chain(further).map(range).collect())
    }
}

impl Pools {
    /// `None` when no such subnets can be cut out of one of the ranges. Docker's ranges where there are none of IPv4.
    pub fn new(ranges: &[(IpNet, u8)]) -> Option<Pools> {
        let fits = |(base, size): &(IpNet, u8)| {
            let smallest = SMALLEST[usize::from(base.addr().is_ipv6())];
            (base.prefix_len().max(WIDEST)..=smallest).contains(size)
        };
        if !ranges.iter().all(fits) {
            return None;
        }
        let mut all: Vec<_> = ranges.iter().map(|(base, size)| (base.trunc(), *size)).collect();
        if all.iter().all(|(base, _)| base.addr().is_ipv6()) {
            all.extend(Pools::default().0);
        }
        Some(Pools(all))
    }

    /// The first subnet that none of `taken` overlaps, with its gateway.
    pub(crate) fn choose(&self, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
        let taken: Vec<IpNet> =
            taken.iter().filter(|net| net.prefix_len() >= WIDEST).map(|net| (*net).into()).collect();
        match self.first_free(&taken, IpAddr::is_ipv4)? {
            IpNet::V4(net) => Ipv4Net::new(Ipv4Addr::from_bits(net.network().to_bits() + 1), net.prefix_len()).ok(),
            IpNet::V6(_) => None,
        }
    }

    /// Whether there are ranges of IPv6.
    pub fn have_ipv6(&self) -> bool {
        self.0.iter().any(|(base, _)| base.addr().is_ipv6())
    }

    /// The first subnet of IPv6 that none of `taken` overlaps.
    pub fn choose6(&self, taken: &[IpNet]) -> Option<IpNet> {
        self.first_free(taken, IpAddr::is_ipv6)
    }

    fn first_free(&self, taken: &[IpNet], family: fn(&IpAddr) -> bool) -> Option<IpNet> {
        let mut taken: Vec<(u128, u128)> = taken
            .iter()
            .filter(|net| family(&net.addr()))
            .map(|net| (bits(net.network()), bits(net.broadcast())))
            .collect();
        taken.sort_unstable();
        let of_family = self.0.iter().filter(|(base, _)| family(&base.addr()));
        of_family.into_iter().find_map(|(base, size)| free_within(*base, *size, &taken))
    }
}

/// A range may have more subnets than can be tried: what is taken is stepped over as a whole. `taken` are first and last addresses, in
/// order.
fn free_within(base: IpNet, size: u8, taken: &[(u128, u128)]) -> Option<IpNet> {
    let step = 1_u128 << (base.max_prefix_len() - size);
    let end = bits(base.broadcast());
    let mut at = bits(base.network());
    for (first, last) in taken {
        if *last < at {
            continue;
        }
        if *first > at.saturating_add(step - 1) {
            break;
        }
        at = (last | (step - 1)).checked_add(1)?;
    }
    if at > end { None } else { subnet(base, at, size) }
}

fn subnet(like: IpNet, at: u128, size: u8) -> Option<IpNet> {
    match like {
        IpNet::V4(_) => Some(Ipv4Net::new(Ipv4Addr::from_bits(u32::try_from(at).ok()?), size).ok()?.into()),
        IpNet::V6(_) => Some(Ipv6Net::new(Ipv6Addr::from_bits(at), size).ok()?.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets<N: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<N> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    fn chosen(texts: &[&str]) -> String {
        Pools::default().choose(&nets(texts)).map_or("none".into(), |net| net.to_string())
    }

    fn pools(ranges: &[(&str, u8)]) -> Option<Pools> {
        let ranges: Vec<_> = ranges.iter().map(|(base, size)| (base.parse().unwrap(), *size)).collect();
        Pools::new(&ranges)
    }

    #[test]
    fn the_first_subnet_without_a_route_is_chosen() {
        assert_eq!(chosen(&[]), "172.17.0.1/16");
        assert_eq!(chosen(&["0.0.0.0/0", "0.0.0.0/1", "172.17.0.0/16", "172.18.5.0/24"]), "172.19.0.1/16");
        assert_eq!(chosen(&["172.16.0.0/12"]), "192.168.0.1/20");
        assert_eq!(chosen(&["172.16.0.0/12", "192.168.1.7/32"]), "192.168.16.1/20");
    }

    #[test]
    fn a_host_that_has_routes_to_all_of_them_gets_none() {
        assert_eq!(chosen(&["172.16.0.0/12", "192.168.0.0/16"]), "10.64.0.1/24");
        assert_eq!(chosen(&["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8"]), "none");
    }

    #[test]
    fn many_networks_have_subnets_that_do_not_overlap_whatever_else_is_taken() {
        let pools = Pools::default();
        let mut taken: Vec<Ipv4Net> =
            nets(&["0.0.0.0/0", "10.64.3.128/25", "172.16.1.9/32", "192.168.17.0/30", "172.30.0.0/15"]);
        for _ in 0..1000 {
            let found = pools.choose(&taken).unwrap();
            let overlaps = |net: &Ipv4Net| {
                net.prefix_len() > 8 && (net.contains(&found.network()) || found.contains(&net.network()))
            };
            assert!(!taken.iter().any(overlaps), "{found}");
            taken.push(found.trunc());
        }
    }

    #[test]
    fn ranges_of_ones_own_are_cut_up_in_order() {
        let pools = pools(&[("10.1.0.0/24", 26), ("fd00:1::/32", 64), ("10.2.0.0/16", 24)]).unwrap();
        let chosen = |taken: &[&str]| pools.choose(&nets(taken)).unwrap().to_string();
        assert_eq!(chosen(&["10.1.0.70/32"]), "10.1.0.1/26");
        assert_eq!(chosen(&["10.1.0.0/26", "10.1.0.64/26"]), "10.1.0.129/26");
        assert_eq!(chosen(&["10.1.0.0/16"]), "10.2.0.1/24");
        assert_eq!(pools.choose6(&nets(&["fd00:1::/64"])).unwrap().to_string(), "fd00:1:0:1::/64");
        assert!(pools.have_ipv6() && !Pools::default().have_ipv6());
    }

    #[test]
    fn a_range_too_large_to_be_tried_is_stepped_over() {
        let pools = pools(&[("fd00::/8", 126)]).unwrap();
        assert_eq!(pools.choose6(&nets(&["fd00::/9"])).unwrap().to_string(), "fd80::/126");
        assert_eq!(pools.choose6(&nets(&["fd00::/8"])), None);
        assert_eq!(pools.choose(&[]).unwrap().to_string(), "172.17.0.1/16");
    }

    #[test]
    fn subnets_without_room_and_larger_than_their_range_are_refused() {
        for ranges in [("10.0.0.0/8", 31), ("10.0.0.0/16", 8), ("0.0.0.0/0", 4), ("fd00::/8", 127)] {
            assert_eq!(pools(&[ranges]), None, "{ranges:?}");
        }
    }
}
