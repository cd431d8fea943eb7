//! Addresses of links (rtnetlink(7), linux/if_addr.h).

use crate::batch::{Batch, CREATE, EXCL};
use crate::link::Index;
use crate::socket::DUMP_FLAGS;
use crate::{Error, Reader, Socket};
use ipnet::{Ipv4Net, Ipv6Net};

const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const GETADDR: u16 = 22;

const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const BROADCAST: u16 = 4;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// IFA_F_NODAD: nobody else has it, so it can be used at once.
const NO_DETECTION: u8 = 0x02;
const HEADER: usize = 8;

/// `struct ifaddrmsg`.
fn header(index: Index, prefix: u8) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[0] = AF_INET;
    bytes[1] = prefix;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes
}

impl Batch {
    /// Gives a link an address.
    pub fn add_address(&mut self, index: Index, address: Ipv4Net) {
        let fixed = header(index, address.prefix_len());
        self.push("add the address", (NEWADDR, CREATE | EXCL), &fixed, |a| {
            a.ipv4(LOCAL, address.addr());
            a.ipv4(ADDRESS, address.addr());
            a.ipv4(BROADCAST, address.broadcast());
        });
    }

    /// Gives a link an IPv6 address that nobody else has.
    pub fn add_address6(&mut self, index: Index, address: Ipv6Net) {
        let mut fixed = header(index, address.prefix_len());
        (fixed[0], fixed[2]) = (AF_INET6, NO_DETECTION);
        self.push("add the IPv6 address", (NEWADDR, CREATE | EXCL), &fixed, |a| {
            a.bytes(LOCAL, &address.addr().octets());
            a.bytes(ADDRESS, &address.addr().octets());
        });
    }

    /// Takes an address from a link.
    pub fn delete_address(&mut self, index: Index, address: Ipv4Net) {
        let fixed = header(index, address.prefix_len());
        self.push("remove the address", (DELADDR, 0), &fixed, |a| a.ipv4(LOCAL, address.addr()));
    }
}

impl Socket {
    /// The IPv4 addresses of this namespace, each with its link.
    pub fn addresses(&mut self) -> Result<Vec<(Index, Ipv4Net)>, Error> {
        let mut found = Vec::new();
        let mut batch = Batch::new();
        batch.push("list the addresses", (GETADDR, DUMP_FLAGS), &header(0, 0), |_| {});
        self.ask(&mut batch, |body| found.extend(parse(body)))?;
        Ok(found)
    }
}

fn parse(body: &[u8]) -> Option<(Index, Ipv4Net)> {
    let index = Index::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
    let prefix = *body.get(1)?;
    let address = Reader::behind(body, HEADER).ipv4(LOCAL)?;
    Some((index, Ipv4Net::new(address, prefix).ok()?))
}
