//! Links that are made before it is known whose they are: a veth pair on no bridge, one end of it in a container's namespace.
//!
//! A pair costs the kernel more than all the rest of an end, and is the same for every bridge. What differs (bridge, name, MAC, size)
//! is set when a container comes.

use crate::bridge::{DEFAULT_MTU, PREFIX, delete_links};
use crate::container::{self, LINK};
use crate::{Error, Ground};
use base::Id;
use netlink::Batch;
use netlink::link::{Peer, VethPair};
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

/// The host's end of such a pair. It goes with the namespace of the other end.
#[derive(Debug)]
pub struct Spare {
    pub(crate) host_link: String,
}

impl Ground {
    /// Puts one end of a new pair into a namespace, which gets `lo` and the settings that every end's has.
    pub fn spare(&self, netns: BorrowedFd<'_>) -> Result<Spare, Error> {
        container::loopback_up(netns)?;
        let host_link = format!("{PREFIX}{}", Id::random().short());
        let peer = Peer { name: LINK, mac: container::mac(Ipv4Addr::UNSPECIFIED), netns };
        let mut batch = Batch::new();
        batch.add_veth(&VethPair { name: &host_link, master: None, mtu: DEFAULT_MTU, peer });
        self.routes.with(|socket| socket.run(&mut batch))?;
        Ok(Spare { host_link })
    }

    /// Removes pairs that nobody wants, in the time of one; those that went with their namespace are no failure.
    pub fn discard(&self, spares: &[&Spare]) -> Result<(), Error> {
        let links: Vec<&str> = spares.iter().map(|spare| spare.host_link.as_str()).collect();
        self.routes.with(|socket| delete_links(socket, &links))
    }
}
