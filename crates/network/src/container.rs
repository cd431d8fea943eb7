//! The container's side of a network namespace: its settings, its link, its address, its route.

use crate::{Error, sysctl};
use ipnet::Ipv4Net;
use netlink::link::{Index, Peer, VethPair};
use netlink::{Batch, Socket};
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

/// The container's end.
pub(crate) const LINK: &str = "eth0";
/// LOOPBACK_IFINDEX: `lo` is the first link of every namespace.
const LOOPBACK: Index = 1;

/// What a container is to be attached with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring<'a> {
    pub(crate) host_link: &'a str,
    pub(crate) bridge: Index,
    pub(crate) mtu: u32,
    pub(crate) address: Ipv4Net,
    pub(crate) gateway: Ipv4Addr,
}

/// `02:42` and the address, as Docker has it: an address that is given out again needs no new ARP entry.
pub(crate) fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// Brings `lo` up in a namespace without any other link and sets its sysctls as `attach` does.
pub fn loopback_up(netns: BorrowedFd<'_>) -> Result<(), Error> {
    inside(netns, || {
        sysctl::prepare_container()?;
        let mut batch = Batch::new();
        batch.set_up(LOOPBACK);
        Ok(Socket::route()?.run(&mut batch)?)
    })
}

/// Makes the veth pair through `host`, a socket of the host's namespace, and sets its other end up in `netns`.
pub(crate) fn wire(netns: BorrowedFd<'_>, host: &mut Socket, wiring: &Wiring<'_>) -> Result<(), Error> {
    inside(netns, || {
        sysctl::prepare_container()?;
        let mut pair = Batch::new();
        pair.add_veth(&VethPair {
            name: wiring.host_link,
            master: Some(wiring.bridge),
            mtu: wiring.mtu,
            peer: Peer { name: LINK, mac: mac(wiring.address.addr()), netns },
        });
        pair.set_hairpin(wiring.host_link);
        host.run(&mut pair)?;
        let mut socket = Socket::route()?;
        let index = socket.link_index(LINK)?.ok_or_else(|| Error::io("find eth0", std::io::ErrorKind::NotFound))?;
        let mut batch = Batch::new();
        batch.set_up(LOOPBACK);
        batch.add_address(index, wiring.address);
        batch.set_up(index);
        batch.add_default_route(wiring.gateway);
        Ok(socket.run(&mut batch)?)
    })
}

fn inside(netns: BorrowedFd<'_>, work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    netlink::netns::within(netns, work).map_err(|e| Error::io("enter the network namespace", e))?
}
