//! Which subnet the bridge has.

use crate::Error;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Routes wider than this lead everywhere (a default route, a VPN's two halves): they forbid no subnet.
const WIDEST: u8 = 8;

/// The first subnet of the pool that none of `taken` overlaps, with its gateway.
pub(crate) fn choose(taken: &[Ipv4Net]) -> Result<Ipv4Net, Error> {
    pool().find(|candidate| !taken.iter().any(|net| overlap(candidate, net))).ok_or(Error::SubnetsExhausted)
}

/// Checks a subnet that was asked for, `--bip`.
pub(crate) fn check(network: Ipv4Net) -> Result<Ipv4Net, Error> {
    let invalid = |why: &str| Err(Error::Invalid(format!("{network}: {why}")));
    if network.prefix_len() > 30 {
        return invalid("a bridge needs a /30 or wider");
    }
    if network.prefix_len() < WIDEST {
        return invalid("a subnet wider than /8 is refused");
    }
    if network.addr() == network.network() || network.addr() == network.broadcast() {
        return invalid("this is no address a gateway can have");
    }
    Ok(network)
}

/// As Docker's default pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 to 192.168.240.0/20.
fn pool() -> impl Iterator<Item = Ipv4Net> {
    let large = (17..=31).map(|i| (Ipv4Addr::new(172, i, 0, 1), 16));
    let small = (0..16).map(|i| (Ipv4Addr::new(192, 168, i * 16, 1), 20));
    large.chain(small).filter_map(|(gateway, prefix)| Ipv4Net::new(gateway, prefix).ok())
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    b.prefix_len() >= WIDEST && (a.contains(&b.network()) || b.contains(&a.network()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    fn chosen(texts: &[&str]) -> String {
        choose(&nets(texts)).unwrap().to_string()
    }

    #[test]
    fn the_first_subnet_without_a_route_is_chosen() {
        assert_eq!(chosen(&[]), "172.17.0.1/16");
        assert_eq!(chosen(&["0.0.0.0/0", "0.0.0.0/1", "172.17.0.0/16", "172.18.5.0/24"]), "172.19.0.1/16");
        assert_eq!(chosen(&["172.16.0.0/12"]), "192.168.0.1/20");
        assert_eq!(chosen(&["172.16.0.0/12", "192.168.1.7/32"]), "192.168.16.1/20");
    }

    #[test]
    fn a_host_that_has_routes_to_all_of_them_is_told() {
        let all = choose(&nets(&["172.16.0.0/12", "192.168.0.0/16"]));
        assert!(matches!(all, Err(Error::SubnetsExhausted)));
    }

    #[test]
    fn a_gateway_is_a_host_of_a_subnet_with_room() {
        for (text, good) in [
            ("10.1.0.1/24", true),
            ("10.1.0.0/24", false),
            ("10.1.0.255/24", false),
            ("10.1.0.1/31", false),
            ("10.1.0.1/0", false),
        ] {
            assert_eq!(check(text.parse().unwrap()).is_ok(), good, "{text}");
        }
    }
}
