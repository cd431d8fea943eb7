//! The container's side of a network namespace: its settings, its links, their addresses, its routes.

use crate::{Error, Upon, sysctl};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink::link::{Index, Ipvlan, Macvlan, Peer, VethPair};
use netlink::{Batch, Socket};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

/// The container's end, unless told otherwise.
pub(crate) const LINK: &str = "eth0";
/// Default routes that are looked for.
const MOST_WAYS: usize = 8;
/// LOOPBACK_IFINDEX: `lo` is the first link of every namespace.
const LOOPBACK: Index = 1;

/// What a container is to be attached with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring<'a> {
    pub(crate) by: By<'a>,
    /// The container's end.
    pub(crate) link: &'a str,
    pub(crate) mac: [u8; 6],
    /// Bytes; 0 is that of the link beneath.
    pub(crate) mtu: u32,
    pub(crate) address: Ipv4Net,
    pub(crate) address6: Option<Ipv6Net>,
    /// Further addresses.
    pub(crate) link_local: &'a [IpNet],
    /// The default route, when this link has it.
    pub(crate) way: Option<Way>,
}

/// What leads out of the container.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By<'a> {
    Veth { host_link: &'a str, bridge: Index, isolated: bool, pair: Pair },
    Upon { parent: Index, upon: Upon },
}

/// Whether a veth pair is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    New,
    /// As [`crate::Spare`] has it.
    Spare,
}

impl By<'_> {
    fn is_spare(&self) -> bool {
        matches!(self, By::Veth { pair: Pair::Spare, .. })
    }
}

/// Where packets without a better route go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To these routers.
    Via { gateway: Ipv4Addr, gateway6: Option<Ipv6Addr> },
    /// Out of the link, whoever is there: the kernel is the router.
    Link { ipv6: bool },
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

/// Sets parameters of a container's namespace, each by its path below /proc/sys; those that are not the network's are left out.
pub fn set_parameters(netns: BorrowedFd<'_>, all: &[(String, String)]) -> Result<(), Error> {
    let own: Vec<_> = all.iter().filter_map(|(path, value)| Some((path.strip_prefix("net/")?, value))).collect();
    if own.is_empty() {
        return Ok(());
    }
    inside(netns, || own.iter().try_for_each(|(name, value)| sysctl::set(name, value)))
}

/// Makes the link through `host`, a socket of the host's namespace, and sets it up in `netns`.
pub(crate) fn wire(netns: BorrowedFd<'_>, host: &mut Socket, wiring: &Wiring<'_>) -> Result<(), Error> {
    inside(netns, || {
        let is_spare = wiring.by.is_spare();
        if !is_spare {
            sysctl::prepare_container()?;
        }
        host.run(&mut making(netns, wiring))?;
        let mut socket = Socket::route()?;
        let index = index_of(&socket, if is_spare { LINK } else { wiring.link })?;
        let mut batch = Batch::new();
        if is_spare {
            batch.dress(index, wiring.link, wiring.mac, wiring.mtu);
        } else {
            batch.set_up(LOOPBACK);
        }
        batch.add_address(index, wiring.address);
        batch.set_up(index);
        let further6 =
            wiring.link_local.iter().filter_map(|net| if let IpNet::V6(net) = net { Some(*net) } else { None });
        let mut all6 = wiring.address6.into_iter().chain(further6).peekable();
        if all6.peek().is_some() {
            sysctl::allow_ipv6(wiring.link)?;
        }
        all6.for_each(|address6| batch.add_address6(index, address6));
        for net in wiring.link_local {
            if let IpNet::V4(net) = net {
                batch.add_address(index, *net);
            }
        }
        if let Some(way) = wiring.way {
            add_way(&mut batch, way, index);
        }
        Ok(socket.run(&mut batch)?)
    })
}

fn making(netns: BorrowedFd<'_>, wiring: &Wiring<'_>) -> Batch {
    let mut batch = Batch::new();
    let peer = Peer { name: wiring.link, mac: wiring.mac, netns };
    match wiring.by {
        By::Veth { host_link, bridge, isolated, pair } => {
            match pair {
                Pair::New => batch.add_veth(&VethPair { name: host_link, master: Some(bridge), mtu: wiring.mtu, peer }),
                Pair::Spare => batch.plug_in(host_link, bridge, wiring.mtu),
            }
            batch.set_hairpin(host_link);
            if isolated {
                batch.set_isolated(host_link);
            }
        }
        By::Upon { parent, upon: Upon::Macvlan(mode) } => {
            batch.add_macvlan(&Macvlan { parent, mode, mtu: wiring.mtu, peer });
        }
        By::Upon { parent, upon: Upon::Ipvlan(mode, flag) } => {
            batch.add_ipvlan(&Ipvlan { parent, mode, flag, mtu: wiring.mtu, name: wiring.link, netns });
        }
    }
    batch
}

fn add_way(batch: &mut Batch, way: Way, link: Index) {
    match way {
        Way::Via { gateway, gateway6 } => {
            batch.add_default_route(gateway);
            gateway6.into_iter().for_each(|gateway6| batch.add_default_route6(gateway6, link));
        }
        Way::Link { ipv6 } => {
            batch.add_default_link(link);
            if ipv6 {
                batch.add_default_link6(link);
            }
        }
    }
}

/// Gives the default routes to `link`, or to nobody.
pub fn set_way(netns: BorrowedFd<'_>, way: Option<(&str, Way)>) -> Result<(), Error> {
    inside(netns, || {
        let mut socket = Socket::route()?;
        let mut old = Batch::new();
        // Each goes by itself; there are several where a plugin, or the container, added some.
        (0..MOST_WAYS).for_each(|_| old.delete_default_routes());
        socket.run_where_present(&mut old)?;
        let Some((link, way)) = way else { return Ok(()) };
        let mut batch = Batch::new();
        add_way(&mut batch, way, index_of(&socket, link)?);
        Ok(socket.run(&mut batch)?)
    })
}

/// Removes a link of a container; one that is gone already is no failure.
pub fn remove_link(netns: BorrowedFd<'_>, link: &str) -> Result<(), Error> {
    inside(netns, || {
        let mut batch = Batch::new();
        batch.delete_link(link);
        Ok(Socket::route()?.run_where_present(&mut batch)?)
    })
}

/// The names of the links in a namespace.
pub fn link_names(netns: BorrowedFd<'_>) -> Result<Vec<String>, Error> {
    inside(netns, || Ok(Socket::route()?.links(None)?.into_iter().map(|link| link.name).collect()))
}

fn index_of(socket: &Socket, link: &str) -> Result<Index, Error> {
    socket.link_index(link)?.ok_or_else(|| Error::io(format!("find {link}"), std::io::ErrorKind::NotFound))
}

pub(crate) fn inside<T>(netns: BorrowedFd<'_>, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    netlink::netns::within(netns, work).map_err(|e| Error::io("enter the network namespace", e))?
}
