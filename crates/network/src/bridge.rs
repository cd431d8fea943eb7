//! The bridge of one engine: up, down, and what stands between.

use crate::forwarding::Doors;
use crate::leave::Leaving;
use crate::pool::Pool;
use crate::ports::Ports;
use crate::rules::{Published, Rules};
use crate::stock::Stock;
use crate::{Endpoint, Error, Options, Outer, container, subnet, sysctl};
use base::Id;
use ipnet::Ipv4Net;
use netlink::link::{Index, Link};
use netlink::{Batch, Socket};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Links of ours begin so.
pub(crate) const PREFIX: &str = "dh";
const DEFAULT_MTU: u32 = 1500;
/// IFNAMSIZ without the end.
const LONGEST_NAME: usize = 15;

/// The bridge of one engine. Callable from many threads at once, all of them in the network namespace of [`Bridge::up`].
#[derive(Debug)]
pub struct Bridge {
    pub(crate) rules: Rules,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) index: Index,
    pub(crate) mtu: u32,
    pub(crate) pool: Mutex<Pool>,
    pub(crate) ports: Ports,
    pub(crate) leaving: Leaving,
    pub(crate) routes: Stock,
    pub(crate) filters: Stock,
    /// Held while the table is made anew; those who add to it or take from it hold it shared.
    pub(crate) rebuilding: RwLock<()>,
    watched: Mutex<Watched>,
}

/// What others could have taken away since we looked last.
#[derive(Debug, Default)]
struct Watched {
    table: Option<u64>,
    doors: Doors,
}

impl Bridge {
    /// Brings the bridge and the table up, or adopts what an earlier engine left: `endpoints` are those still in use;
    /// every other veth on the bridge, address and port element is removed.
    ///
    /// Switches `net.ipv4.ip_forward` on if it is off, and says so in the log. Needs CAP_NET_ADMIN.
    pub fn up(options: Options, endpoints: &[Endpoint]) -> Result<Bridge, Error> {
        Bridge::up_within(options, endpoints, None)
    }

    /// The same, with ports published by `outer` in place of this network namespace's.
    pub fn up_within(options: Options, endpoints: &[Endpoint], outer: Option<Arc<dyn Outer>>) -> Result<Bridge, Error> {
        check_name("bridge", &options.bridge, LONGEST_NAME)?;
        check_name("table", &options.table, 64)?;
        let mtu = if options.mtu == 0 { DEFAULT_MTU } else { options.mtu };
        let asked = options.subnet.map(subnet::check).transpose()?;
        let routes = Stock::new(Socket::route);
        let (index, network) = ready_link(&routes, (&options.bridge, mtu), asked, endpoints)?;
        sysctl::prepare_host(&options.bridge)?;
        let bridge = Bridge {
            rules: Rules { table: options.table, bridge: options.bridge, subnet: network.trunc() },
            gateway: network.addr(),
            index,
            mtu,
            pool: Mutex::new(Pool::new(network)),
            ports: Ports::of(outer),
            leaving: Leaving::default(),
            routes,
            filters: Stock::new(Socket::netfilter),
            rebuilding: RwLock::default(),
            watched: Mutex::default(),
        };
        bridge.adopt(endpoints)?;
        bridge.check()?;
        Ok(bridge)
    }

    /// The subnet, `172.17.0.0/16`.
    pub fn subnet(&self) -> Ipv4Net {
        self.rules.subnet
    }

    /// The bridge's own address.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Mends what other programs took away: our nft table (`nft flush ruleset`, a reload of a firewall) and our place in
    /// iptables' chains (a dockerd that came later). Three or four questions to the kernel when all is well.
    ///
    /// [`Bridge::attach`] and [`Bridge::publish`] do this by themselves.
    pub fn check(&self) -> Result<(), Error> {
        self.check_watched(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks as others attach; somebody who is checking already is enough, and a failure is told, not fatal.
    pub(crate) fn check_in_passing(&self) {
        if let Ok(mut watched) = self.watched.try_lock()
            && let Err(e) = self.check_watched(&mut watched)
        {
            tracing::warn!("cannot check the rules of {}: {}", self.rules.bridge, base::chain(&e));
        }
    }

    fn check_watched(&self, watched: &mut Watched) -> Result<(), Error> {
        self.filters.with(|socket| {
            let standing = socket.table_handle(&self.rules.table)?;
            if standing.is_none() || standing != watched.table {
                if watched.table.is_some() {
                    tracing::warn!(
                        "the nft table {} was removed by another program: it is made anew",
                        self.rules.table
                    );
                }
                let _alone = self.rebuilding.write().unwrap_or_else(PoisonError::into_inner);
                let all = self.ports.all();
                self.rules.build(published(&all)).commit(socket)?;
                watched.table = socket.table_handle(&self.rules.table)?;
            }
            watched.doors.keep_open(socket, &self.rules.bridge)
        })
    }

    /// Removes bridge and table, with the veth of every container that is still attached. Goes on after a failure, and
    /// tells the first. `net.ipv4.ip_forward` stays as it is.
    pub fn down(&self) -> Result<(), Error> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let doors = self.filters.with(|socket| watched.doors.close(socket, &self.rules.bridge));
        let table = self.filters.with(|socket| self.rules.remove().commit(socket));
        watched.table = None;
        for (port, address) in self.ports.all() {
            self.ports.release(address, &[port]);
        }
        let links = self.routes.with(|socket| {
            let ports = socket.links(Some(self.index))?;
            let names: Vec<&str> = ports.iter().filter(|l| is_ours(l)).map(|l| l.name.as_str()).collect();
            delete_links(socket, &names)?;
            delete_links(socket, &[&self.rules.bridge])
        });
        doors.and(table).and(links)
    }

    /// Takes over the endpoints in use; what else an earlier engine left goes. The table of [`Bridge::check`] has the
    /// ports of the endpoints only.
    fn adopt(&self, endpoints: &[Endpoint]) -> Result<(), Error> {
        for endpoint in endpoints {
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).adopt(endpoint.address);
            self.ports.adopt(endpoint.address, &endpoint.ports);
        }
        let used = |link: &Link| endpoints.iter().any(|e| e.host_link == link.name);
        self.routes.with(|socket| {
            let ports = socket.links(Some(self.index))?;
            let stale: Vec<&str> = ports.iter().filter(|l| is_ours(l) && !used(l)).map(|l| l.name.as_str()).collect();
            delete_links(socket, &stale)
        })
    }
}

/// Borrows a list of ports in the form the rules take.
pub(crate) fn published(ports: &[(crate::Port, Ipv4Addr)]) -> impl Iterator<Item = Published<'_>> + Clone {
    ports.iter().map(|(port, address)| (port, *address))
}

/// Removes links by name, several at once; one that is gone already is no failure.
///
/// The kernel takes about 20 ms for one link as for twenty: it waits for its readers (RCU) once.
pub(crate) fn delete_links(socket: &mut Socket, names: &[&str]) -> Result<(), netlink::Error> {
    let mut batch = Batch::new();
    match names {
        [] => return Ok(()),
        [name] => batch.delete_link(name),
        names => {
            let group = fresh_group();
            names.iter().for_each(|name| batch.set_group(name, group));
            batch.delete_group(group);
        }
    }
    socket.run_where_present(&mut batch)
}

/// A group that no other link is in, by chance of one in two thousand million.
fn fresh_group() -> u32 {
    u32::from_str_radix(&Id::random().short()[..8], 16).unwrap_or(u32::MAX) | 1 << 31
}

fn is_ours(link: &Link) -> bool {
    link.kind.as_deref() == Some("veth") && link.name.starts_with(PREFIX)
}

/// Finds or makes the bridge, with its address, up.
fn ready_link(
    routes: &Stock,
    (name, mtu): (&str, u32),
    asked: Option<Ipv4Net>,
    endpoints: &[Endpoint],
) -> Result<(Index, Ipv4Net), Error> {
    let found = routes.with(|socket| socket.link(name))?;
    if found.as_ref().is_some_and(|l| l.kind.as_deref() != Some("bridge")) {
        return Err(Error::Invalid(format!("{name} is a link of this host, and no bridge")));
    }
    let addresses = routes.with(Socket::addresses)?;
    let standing: Vec<Ipv4Net> =
        addresses.iter().filter(|(i, _)| found.as_ref().is_some_and(|l| l.index == *i)).map(|(_, a)| *a).collect();
    let network = match (asked, standing.first()) {
        (Some(asked), _) => asked,
        (None, Some(standing)) => *standing,
        (None, None) => {
            let mut taken: Vec<Ipv4Net> = addresses.iter().map(|(_, a)| *a).collect();
            taken.extend(routes.with(Socket::routes)?.iter().map(|r| r.destination));
            subnet::choose(&taken)?
        }
    };
    if let Some(stranger) = endpoints.iter().find(|e| !network.contains(&e.address)) {
        return Err(Error::Invalid(format!("a container in use has {}, which is not in {network}", stranger.address)));
    }
    let link = match found {
        Some(link) => link,
        None => make_link(routes, name, network, mtu)?,
    };
    settle_address(routes, &link, network, &standing)?;
    Ok((link.index, network))
}

fn make_link(routes: &Stock, name: &str, network: Ipv4Net, mtu: u32) -> Result<Link, Error> {
    routes
        .with(|socket| {
            let mut batch = Batch::new();
            batch.add_bridge(name, container::mac(network.addr()), mtu);
            socket.run(&mut batch)?;
            socket.link(name)
        })?
        .ok_or_else(|| Error::io(format!("find the bridge {name}"), std::io::ErrorKind::NotFound))
}

/// Leaves the bridge with this one address, up.
fn settle_address(routes: &Stock, link: &Link, network: Ipv4Net, standing: &[Ipv4Net]) -> Result<(), Error> {
    let mut batch = Batch::new();
    for other in standing.iter().filter(|a| **a != network) {
        batch.delete_address(link.index, *other);
    }
    if !standing.contains(&network) {
        batch.add_address(link.index, network);
    }
    if !link.up {
        batch.set_up(link.index);
    }
    routes.with(|socket| socket.run(&mut batch))
}

fn check_name(what: &str, name: &str, longest: usize) -> Result<(), Error> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if plain && begins && name.len() <= longest {
        return Ok(());
    }
    Err(Error::Invalid(format!("{name:?} is no name of a {what}: 1 to {longest} letters, digits, '-', '_' or '.'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_or_proc_could_take_for_something_else_are_refused() {
        for name in ["", ".", "..", "a/b", "a b", "veth%d", "sixteen-letters-", "ä", "-x", "a\0"] {
            assert!(check_name("bridge", name, LONGEST_NAME).is_err(), "{name:?}");
        }
        for name in ["dhow0", "dhow-ab12cd", "fifteen-letters"] {
            assert!(check_name("bridge", name, LONGEST_NAME).is_ok(), "{name:?}");
        }
    }
}
