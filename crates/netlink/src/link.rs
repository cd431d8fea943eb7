//! Links: bridges, veth pairs, and links on top of others (rtnetlink(7), linux/if_link.h).

use crate::batch::{Attributes, Batch, CREATE, EXCL};
use crate::socket::DUMP_FLAGS;
use crate::{Error, Reader, Socket};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;

const ADDRESS: u16 = 1;
const IFNAME: u16 = 3;
const MTU: u16 = 4;
const MASTER: u16 = 10;
const LINKINFO: u16 = 18;
const ALIAS: u16 = 20;
const GROUP: u16 = 27;
const NET_NS_FD: u16 = 28;
const NUM_TX_QUEUES: u16 = 31;
const NUM_RX_QUEUES: u16 = 32;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;
const BRIDGE_PORT_MODE: u16 = 4;
const BRIDGE_PORT_ISOLATED: u16 = 33;
const LINK: u16 = 5;
const MACVLAN_MODE: u16 = 1;
const IPVLAN_MODE: u16 = 1;
const IPVLAN_FLAGS: u16 = 2;
const VLAN_ID: u16 = 1;
const VETH_PEER: u16 = 1;

const UP: u32 = 1;
/// IFF_NOARP
const NO_ARP: u32 = 0x80;
const HEADER: usize = 16;

/// A link's number in its network namespace.
pub type Index = u32;

/// A link as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: Index,
    pub name: String,
    /// `bridge`, `veth`, ...; `None` for hardware and `lo`.
    pub kind: Option<String>,
    /// The bridge it is a port of.
    pub master: Option<Index>,
    pub mac: Option<[u8; 6]>,
    pub up: bool,
    /// A text that says what the link is for (`ip link set NAME alias TEXT`).
    pub alias: Option<String>,
}

/// A veth pair: one end here, as a port of a bridge if `master` says so, the other in another network namespace.
/// The end here is up at once; the other cannot be before the pair is whole (veth_open).
#[derive(Debug, Clone, Copy)]
pub struct VethPair<'a> {
    pub name: &'a str,
    pub master: Option<Index>,
    pub mtu: u32,
    pub peer: Peer<'a>,
}

/// The end of a veth pair in another network namespace.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    pub name: &'a str,
    pub mac: [u8; 6],
    pub netns: BorrowedFd<'a>,
}

/// A link of its own MAC on top of another one of this namespace, made in another namespace.
#[derive(Debug, Clone, Copy)]
pub struct Macvlan<'a> {
    pub parent: Index,
    pub mode: MacvlanMode,
    /// Bytes; 0 is the parent's.
    pub mtu: u32,
    pub peer: Peer<'a>,
}

/// Whom the links on one parent can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    Private,
    Vepa,
    Bridge,
    Passthru,
}

/// A link of addresses of its own, and the MAC of another one of this namespace that it is on top of, made in another namespace.
#[derive(Debug, Clone, Copy)]
pub struct Ipvlan<'a> {
    pub parent: Index,
    pub mode: IpvlanMode,
    pub flag: IpvlanFlag,
    /// Bytes; 0 is the parent's.
    pub mtu: u32,
    pub name: &'a str,
    pub netns: BorrowedFd<'a>,
}

/// How packets find a link on a parent. One parent has one mode: that of the link made last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpvlanMode {
    /// As a switch does; neighbours are asked for.
    L2,
    /// As a router does, without broadcasts.
    L3,
    /// The same, and seen by the parent's netfilter (Linux 4.9).
    L3s,
}

/// Whom the links on one parent can reach (Linux 4.15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpvlanFlag {
    Bridge,
    Private,
    Vepa,
}

/// `struct ifinfomsg`.
fn header(index: Index, up: bool) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    if up {
        bytes[8..12].copy_from_slice(&UP.to_ne_bytes());
        bytes[12..16].copy_from_slice(&UP.to_ne_bytes());
    }
    bytes
}

impl Batch {
    /// Makes a bridge that is up. Its MAC is fixed, so that it does not follow its ports' MACs.
    pub fn add_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) {
        self.push("make the bridge", (NEWLINK, CREATE | EXCL), &header(0, true), |a| {
            a.text(IFNAME, name);
            a.bytes(ADDRESS, &mac);
            a.u32(MTU, mtu);
            a.nest(LINKINFO, |a| a.text(INFO_KIND, "bridge"));
        });
    }

    /// Makes a veth pair. One queue per end: more are made per CPU and never used.
    pub fn add_veth(&mut self, pair: &VethPair<'_>) {
        self.push("make the veth pair", (NEWLINK, CREATE | EXCL), &header(0, true), |a| {
            a.text(IFNAME, pair.name);
            if let Some(master) = pair.master {
                a.u32(MASTER, master);
            }
            veth_end(a, pair.mtu);
            a.nest(LINKINFO, |a| {
                a.text(INFO_KIND, "veth");
                a.nest(INFO_DATA, |a| a.nest_behind(VETH_PEER, &header(0, false), |a| peer(a, pair)));
            });
        });
    }

    /// Removes a link of this name, and with it the other end of a veth pair.
    pub fn delete_link(&mut self, name: &str) {
        self.push("remove the link", (DELLINK, 0), &header(0, false), |a| a.text(IFNAME, name));
    }

    /// Brings a link up.
    pub fn set_up(&mut self, index: Index) {
        self.push("bring the link up", (NEWLINK, 0), &header(index, true), |_| {});
    }

    /// Gives a link this MAC; what is sent by it is sent to that, and nobody is asked for another.
    pub fn ask_nobody(&mut self, index: Index, mac: [u8; 6]) {
        let mut fixed = header(index, false);
        fixed[8..12].copy_from_slice(&NO_ARP.to_ne_bytes());
        fixed[12..16].copy_from_slice(&NO_ARP.to_ne_bytes());
        self.push("set the link's MAC", (NEWLINK, 0), &fixed, |a| a.bytes(ADDRESS, &mac));
    }

    /// Says of a link what it is for.
    pub fn set_alias(&mut self, name: &str, alias: &str) {
        self.push("name the link's purpose", (NEWLINK, 0), &header(0, false), |a| {
            a.text(IFNAME, name);
            // The kernel wants no zero at its end, and keeps it where there is one.
            a.bytes(ALIAS, alias.as_bytes());
        });
    }

    /// Makes a link a port of a bridge.
    pub fn set_master(&mut self, index: Index, master: Index) {
        self.push("attach the link to its bridge", (NEWLINK, 0), &header(index, false), |a| a.u32(MASTER, master));
    }

    /// Makes the link of this name a port of a bridge, and its packets this large at most.
    pub fn plug_in(&mut self, name: &str, master: Index, mtu: u32) {
        self.push("attach the link to its bridge", (NEWLINK, 0), &header(0, false), |a| {
            a.text(IFNAME, name);
            a.u32(MTU, mtu);
            a.u32(MASTER, master);
        });
    }

    /// Gives a link that is down a name, a MAC and a size.
    pub fn dress(&mut self, index: Index, name: &str, mac: [u8; 6], mtu: u32) {
        self.push("name the link", (NEWLINK, 0), &header(index, false), |a| {
            a.text(IFNAME, name);
            a.bytes(ADDRESS, &mac);
            a.u32(MTU, mtu);
        });
    }

    /// A bridge may send a frame back by the port it came in by. A container that reaches itself by a published port
    /// needs this where br_netfilter rewrites destinations within the bridge (dockerd switches that on).
    pub fn set_hairpin(&mut self, name: &str) {
        self.push("set the bridge port's hairpin mode", (NEWLINK, 0), &header(0, false), |a| {
            a.text(IFNAME, name);
            a.nest(LINKINFO, |a| {
                a.text(INFO_SLAVE_KIND, "bridge");
                a.nest(INFO_SLAVE_DATA, |a| a.u8(BRIDGE_PORT_MODE, 1));
            });
        });
    }

    /// A port of a bridge that reaches the bridge itself and no other such port (Linux 4.18).
    pub fn set_isolated(&mut self, name: &str) {
        self.push("isolate the bridge port", (NEWLINK, 0), &header(0, false), |a| {
            a.text(IFNAME, name);
            a.nest(LINKINFO, |a| {
                a.text(INFO_SLAVE_KIND, "bridge");
                a.nest(INFO_SLAVE_DATA, |a| a.u8(BRIDGE_PORT_ISOLATED, 1));
            });
        });
    }

    /// Makes a macvlan link in another namespace.
    pub fn add_macvlan(&mut self, link: &Macvlan<'_>) {
        self.push("make the macvlan link", (NEWLINK, CREATE | EXCL), &header(0, false), |a| {
            a.text(IFNAME, link.peer.name);
            a.bytes(ADDRESS, &link.peer.mac);
            a.u32(LINK, link.parent);
            if link.mtu != 0 {
                a.u32(MTU, link.mtu);
            }
            a.u32(NET_NS_FD, link.peer.netns.as_raw_fd().cast_unsigned());
            a.nest(LINKINFO, |a| {
                a.text(INFO_KIND, "macvlan");
                a.nest(INFO_DATA, |a| a.u32(MACVLAN_MODE, link.mode.number()));
            });
        });
    }

    /// Makes an ipvlan link in another namespace.
    pub fn add_ipvlan(&mut self, link: &Ipvlan<'_>) {
        self.push("make the ipvlan link", (NEWLINK, CREATE | EXCL), &header(0, false), |a| {
            a.text(IFNAME, link.name);
            a.u32(LINK, link.parent);
            if link.mtu != 0 {
                a.u32(MTU, link.mtu);
            }
            a.u32(NET_NS_FD, link.netns.as_raw_fd().cast_unsigned());
            a.nest(LINKINFO, |a| {
                a.text(INFO_KIND, "ipvlan");
                a.nest(INFO_DATA, |a| {
                    a.bytes(IPVLAN_MODE, &link.mode.number().to_ne_bytes());
                    a.bytes(IPVLAN_FLAGS, &link.flag.number().to_ne_bytes());
                });
            });
        });
    }

    /// Makes a link that leads nowhere; it is up.
    pub fn add_dummy(&mut self, name: &str) {
        self.push("make the dummy link", (NEWLINK, CREATE | EXCL), &header(0, true), |a| {
            a.text(IFNAME, name);
            a.nest(LINKINFO, |a| a.text(INFO_KIND, "dummy"));
        });
    }

    /// Makes a link for one VLAN of another link; it is up.
    pub fn add_vlan(&mut self, name: &str, parent: Index, id: u16) {
        self.push("make the VLAN link", (NEWLINK, CREATE | EXCL), &header(0, true), |a| {
            a.text(IFNAME, name);
            a.u32(LINK, parent);
            a.nest(LINKINFO, |a| {
                a.text(INFO_KIND, "vlan");
                a.nest(INFO_DATA, |a| a.bytes(VLAN_ID, &id.to_ne_bytes()));
            });
        });
    }

    /// Puts a link into a group, for [`Batch::delete_group`].
    pub fn set_group(&mut self, name: &str, group: u32) {
        self.push("put the link into a group", (NEWLINK, 0), &header(0, false), |a| {
            a.text(IFNAME, name);
            a.u32(GROUP, group);
        });
    }

    /// Removes all links of a group at once: the kernel waits for its readers once, not once per link.
    pub fn delete_group(&mut self, group: u32) {
        self.push("remove the links", (DELLINK, 0), &header(0, false), |a| a.u32(GROUP, group));
    }
}

impl MacvlanMode {
    /// MACVLAN_MODE_* of linux/if_link.h.
    fn number(self) -> u32 {
        match self {
            MacvlanMode::Private => 1,
            MacvlanMode::Vepa => 2,
            MacvlanMode::Bridge => 4,
            MacvlanMode::Passthru => 8,
        }
    }
}

impl IpvlanMode {
    /// IPVLAN_MODE_* of linux/if_link.h.
    fn number(self) -> u16 {
        match self {
            IpvlanMode::L2 => 0,
            IpvlanMode::L3 => 1,
            IpvlanMode::L3s => 2,
        }
    }
}

impl IpvlanFlag {
    /// IPVLAN_F_* of linux/if_link.h.
    fn number(self) -> u16 {
        match self {
            IpvlanFlag::Bridge => 0,
            IpvlanFlag::Private => 1,
            IpvlanFlag::Vepa => 2,
        }
    }
}

fn veth_end(a: &mut Attributes<'_>, mtu: u32) {
    a.u32(MTU, mtu);
    a.u32(NUM_TX_QUEUES, 1);
    a.u32(NUM_RX_QUEUES, 1);
}

fn peer(a: &mut Attributes<'_>, pair: &VethPair<'_>) {
    a.text(IFNAME, pair.peer.name);
    a.bytes(ADDRESS, &pair.peer.mac);
    veth_end(a, pair.mtu);
    // An open descriptor is never negative.
    a.u32(NET_NS_FD, pair.peer.netns.as_raw_fd().cast_unsigned());
}

impl Socket {
    /// The number of the link of this name, if there is one; cheaper than [`Socket::link`] (SIOCGIFINDEX).
    pub fn link_index(&self, name: &str) -> Result<Option<Index>, Error> {
        match rustix::net::netdevice::name_to_index(self, name) {
            Ok(index) => Ok(Some(index)),
            Err(Errno::NODEV | Errno::NXIO) => Ok(None),
            Err(e) => Err(Error::Refused { step: "find the link", words: None, source: e.into() }),
        }
    }

    /// The link of this name, if there is one.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let mut found = None;
        let mut batch = Batch::new();
        batch.push("find the link", (GETLINK, 0), &header(0, false), |a| a.text(IFNAME, name));
        match self.ask(&mut batch, |body| found = found.take().or(parse(body))) {
            Ok(()) => Ok(found),
            Err(e) if e.is_absent() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether the kernel has ipvlan, or a module of it: a link on top of none is refused as such, and not for its sort.
    pub fn has_ipvlan(&mut self) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch.push("look for ipvlan", (NEWLINK, CREATE | EXCL), &header(0, false), |a| {
            a.nest(LINKINFO, |a| a.text(INFO_KIND, "ipvlan"));
        });
        match self.run(&mut batch) {
            Err(Error::Refused { source, .. }) => Ok(source.raw_os_error() != Some(Errno::OPNOTSUPP.raw_os_error())),
            other => other.map(|()| true),
        }
    }

    /// All links, or the ports of one bridge.
    pub fn links(&mut self, master: Option<Index>) -> Result<Vec<Link>, Error> {
        let mut found = Vec::new();
        let mut batch = Batch::new();
        batch.push("list the links", (GETLINK, DUMP_FLAGS), &header(0, false), |a| {
            if let Some(master) = master {
                a.u32(MASTER, master);
            }
        });
        self.ask(&mut batch, |body| found.extend(parse(body)))?;
        found.retain(|l: &Link| master.is_none() || l.master == master);
        Ok(found)
    }
}

fn parse(body: &[u8]) -> Option<Link> {
    let index = Index::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
    let flags = u32::from_ne_bytes(body.get(8..12)?.try_into().ok()?);
    let attributes = Reader::behind(body, HEADER);
    Some(Link {
        index,
        name: attributes.text(IFNAME)?.to_owned(),
        kind: attributes.nested(LINKINFO).text(INFO_KIND).map(str::to_owned),
        master: attributes.u32(MASTER),
        mac: attributes.find(ADDRESS).and_then(|m| m.try_into().ok()),
        up: flags & UP != 0,
        alias: attributes.text(ALIAS).map(str::to_owned),
    })
}
