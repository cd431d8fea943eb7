//! Forgets the flows that began at an address: their next packet is judged anew.

use super::{FAMILY_IPV4, FAMILY_IPV6, IP_V4_SRC, IP_V6_SRC, TUPLE_IP, TUPLE_ORIG};
use crate::{Error, Reader, Socket};
use std::net::IpAddr;

impl Socket {
    /// Forgets the flows that began at one of these addresses; that there are none is no error.
    pub fn forget_from(&mut self, addresses: &[IpAddr]) -> Result<(), Error> {
        for family in [FAMILY_IPV4, FAMILY_IPV6] {
            let is_asked = |address: &IpAddr| address.is_ipv4() == (family == FAMILY_IPV4);
            if addresses.iter().any(is_asked) {
                self.forget_where(family, |flow| source(flow).is_some_and(|source| addresses.contains(&source)))?;
            }
        }
        Ok(())
    }
}

fn source(flow: Reader<'_>) -> Option<IpAddr> {
    let addresses = flow.nested(TUPLE_ORIG).nested(TUPLE_IP);
    if let Some(address) = addresses.ipv4(IP_V4_SRC) {
        return Some(address.into());
    }
    let octets: [u8; 16] = addresses.find(IP_V6_SRC)?.try_into().ok()?;
    Some(octets.into())
}
