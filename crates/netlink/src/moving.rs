//! Links that move into another network namespace, and the addresses that go with them.

use crate::batch::{Batch, CREATE, EXCL};
use crate::link::Index;
use crate::socket::DUMP_FLAGS;
use crate::{Error, Reader, Socket};
use std::os::fd::{AsRawFd, BorrowedFd};

const NEWLINK: u16 = 16;
const NEWADDR: u16 = 20;
const GETADDR: u16 = 22;
const IFNAME: u16 = 3;
const NET_NS_FD: u16 = 28;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const BROADCAST: u16 = 4;
const FLAGS: u16 = 8;

/// linux/if_addr.h: set by somebody, not learnt.
const PERMANENT: u32 = 0x80;
/// rtnetlink(7): valid everywhere (RT_SCOPE_UNIVERSE).
const UNIVERSE: u8 = 0;
const UP: u32 = 1;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// An address of either family that somebody gave to a link, and that is valid everywhere. Opaque: it is taken from one
/// namespace and given in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastingAddress {
    family: u8,
    prefix: u8,
    /// Type and value of those attributes that make the address.
    parts: Vec<(u16, Vec<u8>)>,
}

/// `struct ifinfomsg`: family, type, number, flags, and which flags are meant.
fn link_header(index: Index, flags: u32, meant: u32) -> [u8; LINK_HEADER] {
    let mut bytes = [0; LINK_HEADER];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&meant.to_ne_bytes());
    bytes
}

impl Batch {
    /// Takes a link down.
    pub fn set_down(&mut self, index: Index) {
        self.push("take the link down", (NEWLINK, 0), &link_header(index, 0, UP), |_| {});
    }

    /// Moves a link into another namespace under this name, in one step: the name may be taken here or there.
    pub fn move_link(&mut self, index: Index, name: &str, netns: BorrowedFd<'_>) {
        self.push("move the link", (NEWLINK, 0), &link_header(index, 0, 0), |a| {
            a.text(IFNAME, name);
            // An open descriptor is never negative.
            a.u32(NET_NS_FD, netns.as_raw_fd().cast_unsigned());
        });
    }

    /// Gives a link an address that another had.
    pub fn add_lasting_address(&mut self, index: Index, address: &LastingAddress) {
        let mut fixed = [0; ADDRESS_HEADER];
        (fixed[0], fixed[1]) = (address.family, address.prefix);
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        self.push("add the address", (NEWADDR, CREATE | EXCL), &fixed, |a| {
            for (kind, value) in &address.parts {
                a.bytes(*kind, value);
            }
        });
    }
}

impl Socket {
    /// The addresses of a link that would be worth keeping elsewhere.
    pub fn lasting_addresses(&mut self, index: Index) -> Result<Vec<LastingAddress>, Error> {
        let mut found = Vec::new();
        let mut batch = Batch::new();
        batch.push("list the addresses", (GETADDR, DUMP_FLAGS), &[0; ADDRESS_HEADER], |_| {});
        self.ask(&mut batch, |body| found.extend(parse(body, index)))?;
        Ok(found)
    }
}

fn parse(body: &[u8], wanted: Index) -> Option<LastingAddress> {
    let (header, _) = body.split_first_chunk::<ADDRESS_HEADER>()?;
    let [family, prefix, short_flags, scope, index @ ..] = *header;
    let attributes = Reader::behind(body, ADDRESS_HEADER);
    let flags = attributes.u32(FLAGS).unwrap_or(u32::from(short_flags));
    if Index::from_ne_bytes(index) != wanted || flags & PERMANENT == 0 || scope != UNIVERSE {
        return None;
    }
    let parts = attributes.filter(|(kind, _)| matches!(*kind, ADDRESS | LOCAL | BROADCAST));
    Some(LastingAddress { family, prefix, parts: parts.map(|(kind, value)| (kind, value.to_vec())).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(flags: u8, scope: u8) -> Vec<u8> {
        let mut bytes = vec![2, 24, flags, scope];
        bytes.extend(7_u32.to_ne_bytes());
        for (kind, value) in [(LOCAL, [10, 0, 0, 1]), (3, *b"eth\0")] {
            bytes.extend(8_u16.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
        }
        bytes
    }

    #[test]
    fn only_given_addresses_that_are_valid_everywhere_last() {
        let parts = vec![(LOCAL, vec![10, 0, 0, 1])];
        assert_eq!(parse(&body(0x80, 0), 7), Some(LastingAddress { family: 2, prefix: 24, parts }));
        assert_eq!([parse(&body(0x80, 254), 7), parse(&body(0, 0), 7), parse(&body(0x80, 0), 8)], [None, None, None]);
    }
}
