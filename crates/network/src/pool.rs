//! Which addresses of the subnet are in use.

use ipnet::Ipv4Net;
use std::collections::HashSet;
use std::net::Ipv4Addr;

/// The addresses of a subnet, given out upwards from the one behind the last, as Docker does.
#[derive(Debug)]
pub(crate) struct Pool {
    gateway: u32,
    first: u32,
    last: u32,
    next: u32,
    used: HashSet<u32>,
}

impl Pool {
    /// `network` is the gateway and its prefix, at most /30.
    pub(crate) fn new(network: Ipv4Net) -> Pool {
        let gateway = network.addr().to_bits();
        let first = network.network().to_bits().saturating_add(1);
        let last = network.broadcast().to_bits().saturating_sub(1);
        Pool { gateway, first, last, next: gateway.saturating_add(1), used: HashSet::new() }
    }

    /// Gives out a free address; `None` when all are in use.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        let size = u64::from(self.last - self.first) + 1;
        // The gateway is never in `used`.
        if size.saturating_sub(1) <= u64::try_from(self.used.len()).unwrap_or(u64::MAX) {
            return None;
        }
        let mut candidate = self.next;
        loop {
            if candidate < self.first || candidate > self.last {
                candidate = self.first;
            }
            if candidate != self.gateway && self.used.insert(candidate) {
                self.next = candidate.saturating_add(1);
                return Some(Ipv4Addr::from_bits(candidate));
            }
            candidate = candidate.saturating_add(1);
        }
    }

    /// Marks an address as used since before this pool was made; what is given out next lies behind it.
    pub(crate) fn adopt(&mut self, address: Ipv4Addr) {
        let bits = address.to_bits();
        if (self.first..=self.last).contains(&bits) && bits != self.gateway {
            self.used.insert(bits);
            self.next = self.next.max(bits.saturating_add(1));
        }
    }

    /// Takes an address back.
    pub(crate) fn give_back(&mut self, address: Ipv4Addr) {
        self.used.remove(&address.to_bits());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(network: &str) -> Pool {
        Pool::new(network.parse().unwrap())
    }

    fn text(address: Option<Ipv4Addr>) -> String {
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
}
