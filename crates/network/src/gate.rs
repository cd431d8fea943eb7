//! Where the host's own rules decide who reaches published ports.
//!
//! Rules of other programs at the hook `input` (ufw, firewalld, one's own) see packets to the host itself. A packet whose destination was
//! rewritten is none: hence published ports go past them. In this mode nothing that comes from outside is rewritten at first. It goes to
//! the host, past all its rules for that; those that drop or reject it are done with it. What is left is sent, behind them all, through
//! a pair of links of ours, and only coming in by the second is it given its new destination:
//!
//! ```text
//!  eth0 ─ prerouting ─ (to the host) ─ input: ufw, firewalld, ... ─ input: ours ── copy to ──► dpi-… ═ dpo-… ─ prerouting: dnat ─ forward ─► container
//! ```
//!
//! This is the way of a connection's first packet alone: the copy is the one that is tracked (the packet itself is dropped before its
//! flow is confirmed), all that follow are rewritten as they come. The source stays, and no program listens.
//!
//! Both links have the same MAC and ask nobody for theirs: so the kernel takes what it sends as sent to itself.

use crate::bridge::{delete_links, is_present};
use crate::stock::Stock;
use crate::{Error, sysctl};
use ipnet::Ipv4Net;
use netlink::Batch;
use netlink::link::{Index, Peer, VethPair};
use netlink::nft::Family;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

/// Who decides who reaches published ports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Firewall {
    /// Publishing alone, as Docker has it.
    #[default]
    Open,
    /// The host's rules for what comes to itself, too.
    Host,
}

const MAC: [u8; 6] = [0x06, 0, 0, 0, 0, 1];
/// The most a veth can have: a packet that was put together from parts passes whole.
const MTU: u32 = 65_535;
/// RFC 7600. The kernel takes nothing from a link without an address where return paths are checked.
const DUMMY_ADDRESS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 8), 32);

/// The pair of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gate {
    /// The end that packets are sent to.
    pub(crate) into: Index,
    /// The name of the end that they come in by.
    pub(crate) out: String,
}

impl Gate {
    /// What packets are sent to: on the link itself, and nobody's.
    pub(crate) fn gateway(&self, family: Family) -> IpAddr {
        match family {
            Family::Ip => Ipv4Addr::new(169, 254, 0, 1).into(),
            Family::Ip6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    /// Finds or makes the links of the tables of this name.
    pub(crate) fn up(routes: &Stock, table: &str) -> Result<Gate, Error> {
        let [into, out] = names(table);
        let index = |name: &str| routes.with(|socket| socket.link_index(name));
        let is_there = index(&into)?.is_some() && index(&out)?.is_some();
        let made = if is_there { Ok(()) } else { Gate::make(routes, [&into, &out]) };
        // Those of an engine that was killed as it made them are not ready yet.
        let made = made.and_then(|()| Gate::prepare(routes, [&into, &out]));
        if made.is_err() {
            let _ = routes.with(|socket| delete_links(socket, &[&into]));
        }
        made
    }

    fn make(routes: &Stock, [into, out]: [&str; 2]) -> Result<(), Error> {
        let here = File::open("/proc/thread-self/ns/net").map_err(|e| Error::io("open the network namespace", e))?;
        let mut batch = Batch::new();
        let peer = Peer { name: out, mac: MAC, netns: here.as_fd() };
        batch.add_veth(&VethPair { name: into, master: None, mtu: MTU, peer });
        routes.with(|socket| socket.run(&mut batch))
    }

    fn prepare(routes: &Stock, [into, out]: [&str; 2]) -> Result<Gate, Error> {
        sysctl::prepare_gate(into, out)?;
        let index = |name: &str| {
            let found = routes.with(|socket| socket.link_index(name))?;
            found.ok_or_else(|| Error::io(format!("find the link {name}"), std::io::ErrorKind::NotFound))
        };
        let (into, out_index) = (index(into)?, index(out)?);
        let mut batch = Batch::new();
        batch.ask_nobody(into, MAC);
        batch.ask_nobody(out_index, MAC);
        batch.add_address(out_index, DUMMY_ADDRESS);
        batch.set_up(out_index);
        batch.set_up(into);
        match routes.with(|socket| socket.run(&mut batch)) {
            Err(e) if !is_present(&e) => return Err(e),
            _ => {}
        }
        Ok(Gate { into, out: out.to_owned() })
    }

    /// Removes the links, those of an earlier engine too.
    pub(crate) fn down(routes: &Stock, table: &str) -> Result<(), Error> {
        let [into, _] = names(table);
        match routes.with(|socket| socket.link_index(&into))? {
            Some(_) => routes.with(|socket| delete_links(socket, &[&into])),
            None => Ok(()),
        }
    }

    /// Whether the end that packets are sent to is the one that the rules know.
    pub(crate) fn stands(&self, routes: &Stock, table: &str) -> Result<bool, Error> {
        let [into, _] = names(table);
        Ok(routes.with(|socket| socket.link_index(&into))? == Some(self.into))
    }
}

/// The same at every start of an engine.
fn names(table: &str) -> [String; 2] {
    let hash = table
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    ["dpi", "dpo"].map(|prefix| format!("{prefix}-{:010x}", hash >> 24))
}
