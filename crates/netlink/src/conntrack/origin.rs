//! Forgets the flows that began at an address: their next packet is judged anew.

use super::{CT_DELETE, CT_GET, HEADER, IP_V4_SRC, IP_V6_SRC, TUPLE_IP, TUPLE_ORIG};
use crate::batch::{Batch, DUMP};
use crate::{Error, Reader, Socket};
use std::net::IpAddr;

impl Socket {
    /// Forgets the flows that began at one of these addresses; that there are none is no error.
    pub fn forget_from(&mut self, addresses: &[IpAddr]) -> Result<(), Error> {
        for family in [[2, 0, 0, 0], [10, 0, 0, 0]] {
            let is_v4 = family[0] == 2;
            if !addresses.iter().any(|address| address.is_ipv4() == is_v4) {
                continue;
            }
            let mut list = Batch::new();
            list.push("list the tracked flows", (CT_GET, DUMP), &family, |_| {});
            let mut names = Vec::new();
            self.ask(&mut list, |body| {
                let flow = Reader::behind(body, HEADER);
                if source(flow).is_some_and(|source| addresses.contains(&source)) {
                    names.extend(flow.find(TUPLE_ORIG).map(<[u8]>::to_vec));
                }
            })?;
            for name in names {
                let mut batch = Batch::new();
                batch.push("forget a flow", (CT_DELETE, 0), &family, |a| a.nest_behind(TUPLE_ORIG, &name, |_| {}));
                match self.run(&mut batch) {
                    Err(e) if !e.is_absent() => return Err(e),
                    _ => {}
                }
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
