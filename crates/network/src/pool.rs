//! Which addresses of a subnet are in use.

use crate::Error;
use ipnet::IpNet;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of a subnet of either family, given out upwards from the one behind the last, as Docker does.
#[derive(Debug)]
pub(crate) struct Pool {
    subnet: IpNet,
    gateway: u128,
    /// Of the range that addresses are given out from.
    first: u128,
    last: u128,
    next: u128,
    used: HashSet<u128>,
}

impl Pool {
    /// `network` is the gateway and its prefix, at most /30; only `range` of it is given out, and nothing of `reserved`.
    pub(crate) fn within(network: IpNet, range: Option<IpNet>, reserved: &[IpAddr]) -> Pool {
        let (lowest, highest) = hosts(network);
        let (first, last) = range.map_or((lowest, highest), |range| {
            (bits(range.network()).max(lowest), bits(range.broadcast()).min(highest))
        });
        let gateway = bits(network.addr());
        let next = if range.is_some() { first } else { gateway.saturating_add(1) };
        let used = reserved.iter().filter(|a| network.contains(*a)).map(|a| bits(*a)).collect();
        Pool { subnet: network.trunc(), gateway, first, last, next, used }
    }

    /// Gives out a free address; `None` when all are in use.
    pub(crate) fn take(&mut self) -> Option<IpAddr> {
        if self.first > self.last {
            return None;
        }
        let inside = |bits: &u128| (self.first..=self.last).contains(bits);
        let start = if inside(&self.next) { self.next } else { self.first };
        let mut candidate = start;
        loop {
            if candidate != self.gateway && self.used.insert(candidate) {
                self.next = candidate.saturating_add(1);
                return Some(self.address(candidate));
            }
            candidate = if candidate >= self.last { self.first } else { candidate + 1 };
            if candidate == start {
                return None;
            }
        }
    }

    /// Gives out this very address.
    pub(crate) fn take_this(&mut self, address: IpAddr) -> Result<IpAddr, Error> {
        let (lowest, highest) = hosts(self.subnet);
        if !self.subnet.contains(&address) || !(lowest..=highest).contains(&bits(address)) {
            return Err(Error::AddressOutside(address, self.subnet));
        }
        if bits(address) == self.gateway || !self.used.insert(bits(address)) {
            return Err(Error::AddressTaken(address));
        }
        Ok(address)
    }

    /// Marks an address as used since before this pool was made; what is given out next lies behind it.
    pub(crate) fn adopt(&mut self, address: IpAddr) {
        if !self.subnet.contains(&address) || bits(address) == self.gateway {
            return;
        }
        self.used.insert(bits(address));
        if (self.first..=self.last).contains(&bits(address)) {
            self.next = self.next.max(bits(address).saturating_add(1));
        }
    }

    /// Takes an address back.
    pub(crate) fn give_back(&mut self, address: IpAddr) {
        self.used.remove(&bits(address));
    }

    pub(crate) fn subnet(&self) -> IpNet {
        self.subnet
    }

    fn address(&self, bits: u128) -> IpAddr {
        match self.subnet {
            IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX))),
            IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    }
}

/// The first and the last address that a host can have.
fn hosts(network: IpNet) -> (u128, u128) {
    (bits(network.network()).saturating_add(1), bits(network.broadcast()).saturating_sub(1))
}

pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(network: &str) -> Pool {
        Pool::within(network.parse().unwrap(), None, &[])
    }

    fn text(address: Option<IpAddr>) -> String {
        address.map_or("none".into(), |a| a.to_string())
    }

    #[test]
    fn addresses_go_upwards_from_the_gateway_and_a_freed_one_is_not_the_next() {
        let mut pool = pool("172.17.0.1/16");
        assert_eq!(text(pool.take()), "172.17.0.2");
        assert_eq!(text(pool.take()), "172.17.0.3");
        pool.give_back("172.17.0.3".parse().unwrap());
        assert_eq!(text(pool.take()), "172.17.0.4");
    }

    #[test]
    fn the_end_of_the_subnet_leads_to_its_beginning_and_a_full_one_gives_nothing() {
        let mut pool = pool("10.0.0.3/29");
        let given: Vec<String> = (0..6).map(|_| text(pool.take())).collect();
        assert_eq!(given, ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.1", "10.0.0.2", "none"]);
        pool.give_back("10.0.0.1".parse().unwrap());
        assert_eq!(text(pool.take()), "10.0.0.1");
    }

    #[test]
    fn the_highest_subnet_of_all_does_not_overflow() {
        let mut pool = pool("255.255.255.253/30");
        assert_eq!(text(pool.take()), "255.255.255.254");
        assert_eq!(text(pool.take()), "none");
    }

    #[test]
    fn an_adopted_address_is_not_given_out_and_foreign_ones_do_not_count() {
        let mut pool = pool("10.0.0.1/29");
        pool.adopt("10.0.0.2".parse().unwrap());
        pool.adopt("10.0.0.1".parse().unwrap());
        pool.adopt("192.168.0.2".parse().unwrap());
        let given: Vec<String> = (0..5).map(|_| text(pool.take())).collect();
        assert_eq!(given, ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "none"]);
    }

    #[test]
    fn a_range_bounds_what_is_given_out_and_not_what_is_asked_for() {
        let reserved = ["10.0.4.1".parse().unwrap()];
        let range = Some("10.0.4.0/30".parse().unwrap());
        let mut pool = Pool::within("10.0.0.1/16".parse().unwrap(), range, &reserved);
        let given: Vec<String> = (0..4).map(|_| text(pool.take())).collect();
        assert_eq!(given, ["10.0.4.0", "10.0.4.2", "10.0.4.3", "none"]);
        assert!(pool.take_this("10.0.9.9".parse().unwrap()).is_ok());
        assert!(matches!(pool.take_this("10.0.9.9".parse().unwrap()), Err(Error::AddressTaken(_))));
        assert!(matches!(pool.take_this("10.0.0.1".parse().unwrap()), Err(Error::AddressTaken(_))));
        for outside in ["10.1.0.2", "10.0.0.0", "10.0.255.255", "fd00::2"] {
            assert!(matches!(pool.take_this(outside.parse().unwrap()), Err(Error::AddressOutside(..))), "{outside}");
        }
    }

    #[test]
    fn addresses_of_ipv6_are_given_out_as_well() {
        let mut pool = pool("fd00:1::1/64");
        assert_eq!(text(pool.take()), "fd00:1::2");
        pool.adopt("fd00:1::9".parse().unwrap());
        assert_eq!(text(pool.take()), "fd00:1::a");
    }
}
