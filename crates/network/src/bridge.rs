//! The link of a bridge network: up, down, and what stands between.

use crate::forwarding::Doors;
use crate::leave::Leaving;
use crate::manners::{Gateway, Manners};
use crate::pool::Pool;
use crate::rules::Member;
use crate::shards::{Shards, Sweep};
use crate::stock::Stock;
use crate::{Design, Endpoint, Error, Ground, Options, Outer, Plan, Pools, container, subnet, sysctl};
use base::Id;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink::link::{Index, Link};
use netlink::{Batch, Socket};
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

/// Links of ours begin so.
pub(crate) const PREFIX: &str = "dh";
pub(crate) const DEFAULT_MTU: u32 = 1500;
/// IFNAMSIZ without the end.
const LONGEST_NAME: usize = 15;

/// A bridge of an engine. Callable from many threads at once, all of them in the network namespace of [`Bridge::up`].
#[derive(Debug)]
pub struct Bridge {
    pub(crate) ground: Arc<Ground>,
    pub(crate) name: String,
    /// The gateway and its subnet.
    pub(crate) network: Ipv4Net,
    pub(crate) network6: Option<Ipv6Net>,
    pub(crate) index: Index,
    whose: Whose,
    pub(crate) mtu: u32,
    pub(crate) internal: bool,
    /// Whether containers on it reach each other.
    pub(crate) together: bool,
    pub(crate) pool: Mutex<Pool>,
    pub(crate) pool6: Option<Mutex<Pool>>,
    pub(crate) leaving: Leaving,
    pub(crate) manners: Manners,
    /// As the rules know it.
    pub(crate) member: Member,
    pub(crate) shards: Shards,
    doors: Mutex<Doors>,
}

/// Whose a bridge's link is. One that was there before us is used, and stays as it is: its other addresses, its IPv6, its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Engine,
    Host,
}

/// A link that is up and has its address.
#[derive(Debug, Clone, Copy)]
struct Ready {
    index: Index,
    whose: Whose,
    network: Ipv4Net,
}

impl Bridge {
    /// Brings a bridge and tables of its own up, or adopts what an earlier engine left: `endpoints` are those still in use;
    /// every other veth on the bridge, address and port element is removed.
    ///
    /// Switches `net.ipv4.ip_forward` on if it is off, and says so in the log. Needs CAP_NET_ADMIN.
    pub fn up(options: Options, endpoints: &[Endpoint]) -> Result<Bridge, Error> {
        Bridge::up_within(options, endpoints, None)
    }

    /// The same, with ports published by `outer` in place of this network namespace's.
    pub fn up_within(options: Options, endpoints: &[Endpoint], outer: Option<Arc<dyn Outer>>) -> Result<Bridge, Error> {
        let ground = Arc::new(Ground::new(&options.table, outer)?);
        let bridge = Bridge::first(&ground, options, endpoints)?;
        bridge.check()?;
        Ok(bridge)
    }

    /// An engine's own bridge on a ground that is checked by the caller, once all networks stand on it.
    pub fn first(ground: &Arc<Ground>, options: Options, endpoints: &[Endpoint]) -> Result<Bridge, Error> {
        check_name("bridge", &options.bridge, LONGEST_NAME)?;
        let mtu = if options.mtu == 0 { DEFAULT_MTU } else { options.mtu };
        let asked = match options.subnet {
            Some(subnet) => Asked::This(subnet::check(subnet)?),
            None => Asked::AnyOf(&options.pools),
        };
        let ready = ready_link(ground, (&options.bridge, mtu), asked, endpoints)?;
        let plan = Plan { subnet: ready.network, range: None, subnet6: None, range6: None, reserved: Vec::new() };
        let together = options.together;
        let design = Design {
            bridge: options.bridge,
            plan,
            mtu,
            internal: false,
            together,
            masquerade: true,
            manners: Manners::default(),
        };
        Bridge::stand(ground, design, ready, endpoints)
    }

    /// The bridge of a user-defined network, new or adopted; the caller checks the ground.
    pub fn raise(ground: &Arc<Ground>, design: Design, endpoints: &[Endpoint]) -> Result<Bridge, Error> {
        check_name("bridge", &design.bridge, LONGEST_NAME)?;
        let mtu = if design.mtu == 0 { DEFAULT_MTU } else { design.mtu };
        let is_isolated = design.manners.v4 == Gateway::Isolated;
        let network = if is_isolated { design.plan.subnet } else { subnet::check(design.plan.subnet)? };
        let was_there = ground.link_index(&design.bridge)?.is_some();
        let name = design.bridge.clone();
        let asked = if design.manners.is_bare() { Asked::Bare(network) } else { Asked::This(network) };
        let raised = ready_link(ground, (&name, mtu), asked, endpoints)
            .and_then(|ready| Bridge::stand(ground, Design { mtu, ..design }, ready, endpoints));
        if raised.is_err() {
            let _ = ground.leave(&name);
            if !was_there {
                let _ = ground.routes.with(|socket| delete_links(socket, &[&name]));
            }
        }
        raised
    }

    fn stand(ground: &Arc<Ground>, design: Design, ready: Ready, endpoints: &[Endpoint]) -> Result<Bridge, Error> {
        let Ready { index, whose, .. } = ready;
        let plan = &design.plan;
        let has_ipv6 = plan.subnet6.is_some() && design.manners.v6 != Gateway::Isolated;
        sysctl::prepare_host(&design.bridge, whose, has_ipv6)?;
        if let Some(network6) = plan.subnet6.filter(|_| design.manners.v6 != Gateway::Isolated) {
            let mut batch = Batch::new();
            batch.add_address6(index, network6);
            match ground.routes.with(|socket| socket.run(&mut batch)) {
                Err(e) if !is_present(&e) => return Err(e),
                _ => {}
            }
        }
        let pool = |net: IpNet, range: Option<IpNet>| Mutex::new(Pool::within(net, range, &plan.reserved));
        let (internal, together, masquerade) = (design.internal, design.together, design.masquerade);
        let (ipv6, bridge) = (plan.subnet6.is_some(), design.bridge.clone());
        let manners = design.manners.clone();
        let member = Member { bridge, is_shard: false, internal, together, masquerade, ipv6, manners: manners.clone() };
        let bridge = Bridge {
            ground: ground.clone(),
            network: plan.subnet,
            network6: plan.subnet6,
            index,
            whose,
            mtu: design.mtu,
            internal: design.internal,
            together: design.together,
            pool: pool(plan.subnet.into(), plan.range.map(Into::into)),
            pool6: plan.subnet6.map(|net| pool(net.into(), plan.range6.map(Into::into))),
            leaving: Leaving::default(),
            manners,
            member,
            shards: Shards::default(),
            doors: Mutex::default(),
            name: design.bridge,
        };
        bridge.adopt(endpoints)?;
        ground.join(bridge.member.clone())?;
        Ok(bridge)
    }

    /// What it stands on.
    pub fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// The subnet, `172.17.0.0/16`.
    pub fn subnet(&self) -> Ipv4Net {
        self.network.trunc()
    }

    /// Whether an address is of this network.
    pub(crate) fn has(&self, address: std::net::IpAddr) -> bool {
        match address {
            std::net::IpAddr::V4(address) => self.network.contains(&address),
            std::net::IpAddr::V6(address) => self.network6.is_some_and(|net| net.contains(&address)),
        }
    }

    /// The bridge's own address.
    pub fn gateway(&self) -> Ipv4Addr {
        self.network.addr()
    }

    /// Mends what other programs took away: our nft tables (`nft flush ruleset`, a reload of a firewall) and our place in
    /// iptables' chains (a dockerd that came later). Three or four questions to the kernel when all is well.
    ///
    /// [`Bridge::attach`] and [`Bridge::publish`] do this by themselves.
    pub fn check(&self) -> Result<(), Error> {
        self.ground.check()?;
        self.check_doors(&mut self.doors.lock().unwrap_or_else(PoisonError::into_inner))?;
        self.check_shards()
    }

    /// Checks as others attach; somebody who is checking already is enough, and a failure is told, not fatal.
    pub(crate) fn check_in_passing(&self) {
        let doors = || self.doors.try_lock().map_or(Ok(()), |mut doors| self.check_doors(&mut doors));
        if let Err(e) = self.ground.check_in_passing().and_then(|()| doors()).and_then(|()| self.check_shards()) {
            tracing::warn!("cannot check the rules of {}: {}", self.name, base::chain(&e));
        }
    }

    /// What is internal needs no way through the host.
    fn check_doors(&self, doors: &mut Doors) -> Result<(), Error> {
        if self.internal {
            return Ok(());
        }
        self.ground.filters.with(|socket| doors.keep_open(socket, &self.name))
    }

    /// Removes the bridge if it is ours, with the veth of every container that is still attached, and with the last bridge the tables.
    /// Goes on after a failure, and tells the first. `net.ipv4.ip_forward` stays as it is.
    pub fn down(&self) -> Result<(), Error> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = self.ground.filters.with(|socket| doors.close(socket, &self.name));
        let ports = self.release_ports();
        let shards = self.remove_shards();
        let left = self.ground.leave(&self.name);
        let links = self.ground.routes.with(|socket| {
            let ports = socket.links(Some(self.index))?;
            let names: Vec<&str> = ports.iter().filter(|l| is_ours(l)).map(|l| l.name.as_str()).collect();
            delete_links(socket, &names)?;
            match self.whose {
                Whose::Engine => delete_links(socket, &[&self.name]),
                Whose::Host => Ok(()),
            }
        });
        closed.and(ports).and(shards).and(left).and(links)
    }

    fn release_ports(&self) -> Result<(), Error> {
        let here = |(_, address): &(crate::Port, std::net::IpAddr)| self.has(*address);
        let ports: Vec<_> = self.ground.ports.all().into_iter().filter(here).collect();
        self.withdraw(&ports).map(|_| ())
    }

    /// Takes over the endpoints in use; what else an earlier engine left goes. The tables of [`Ground::check`] have the
    /// ports of the endpoints only.
    fn adopt(&self, endpoints: &[Endpoint]) -> Result<(), Error> {
        for endpoint in endpoints {
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).adopt(endpoint.address.into());
            if let (Some(pool), Some(net)) = (&self.pool6, endpoint.ipv6) {
                pool.lock().unwrap_or_else(PoisonError::into_inner).adopt(net.addr().into());
            }
            self.ground.ports.adopt(endpoint, &self.manners);
        }
        // On a bridge of the host another engine's, for all we know.
        let sweep = if self.whose == Whose::Host { Sweep::None } else { Sweep::All };
        let used: HashSet<&str> = endpoints.iter().map(|e| e.host_link.as_str()).collect();
        self.adopt_ports(|link| used.contains(link.name.as_str()), sweep)
    }
}

pub(crate) fn is_present(error: &Error) -> bool {
    matches!(error, Error::Netlink { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists)
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

/// The host's end of a container's veth pair.
pub(crate) fn is_ours(link: &Link) -> bool {
    link.kind.as_deref() == Some("veth") && link.name.starts_with(PREFIX)
}

/// What is asked of a bridge's address.
#[derive(Debug, Clone, Copy)]
enum Asked<'a> {
    This(Ipv4Net),
    /// The bridge is given none; this is what containers take it to have.
    Bare(Ipv4Net),
    /// The one it has, or a free one of these.
    AnyOf(&'a Pools),
}

/// Finds or makes the bridge, with its address, up.
fn ready_link(
    ground: &Ground,
    (name, mtu): (&str, u32),
    asked: Asked<'_>,
    endpoints: &[Endpoint],
) -> Result<Ready, Error> {
    let routes = &ground.routes;
    let found = routes.with(|socket| socket.link(name))?;
    if found.as_ref().is_some_and(|l| l.kind.as_deref() != Some("bridge")) {
        return Err(Error::Invalid(format!("{name} is a link of this host, and no bridge")));
    }
    // A list of all the host's addresses is longer the more networks there are: a new bridge of a known subnet needs none.
    let addresses = match (&found, asked) {
        (None, Asked::This(_)) => Vec::new(),
        _ => routes.with(Socket::addresses)?,
    };
    let standing: Vec<Ipv4Net> =
        addresses.iter().filter(|(i, _)| found.as_ref().is_some_and(|l| l.index == *i)).map(|(_, a)| *a).collect();
    let network = match (asked, standing.first()) {
        (Asked::This(asked) | Asked::Bare(asked), _) => asked,
        (Asked::AnyOf(_), Some(standing)) => *standing,
        (Asked::AnyOf(pools), None) => {
            let mut taken: Vec<Ipv4Net> = addresses.iter().map(|(_, a)| *a).collect();
            taken.extend(routes.with(Socket::routes)?.iter().map(|r| r.destination));
            pools.choose(&taken).ok_or(Error::SubnetsExhausted)?
        }
    };
    if let Some(stranger) = endpoints.iter().find(|e| !network.contains(&e.address)) {
        return Err(Error::Invalid(format!("a container in use has {}, which is not in {network}", stranger.address)));
    }
    let link = match found {
        Some(link) => link,
        None => make_link(ground, name, network, mtu)?,
    };
    let whose = if link.alias.as_deref() == Some(&ground.mark()) { Whose::Engine } else { Whose::Host };
    match asked {
        Asked::Bare(_) if link.up => {}
        Asked::Bare(_) => bring_up(routes, link.index)?,
        _ => settle_address(routes, &link, whose, (network, &standing))?,
    }
    Ok(Ready { index: link.index, whose, network })
}

fn make_link(ground: &Ground, name: &str, network: Ipv4Net, mtu: u32) -> Result<Link, Error> {
    let mark = ground.mark();
    ground
        .routes
        .with(|socket| {
            let mut batch = Batch::new();
            batch.add_bridge(name, container::mac(network.addr()), mtu);
            batch.set_alias(name, &mark);
            socket.run(&mut batch)?;
            socket.link(name)
        })?
        .ok_or_else(|| Error::io(format!("find the bridge {name}"), std::io::ErrorKind::NotFound))
}

fn bring_up(routes: &Stock, index: Index) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.set_up(index);
    routes.with(|socket| socket.run(&mut batch))
}

/// Leaves the bridge with this address, up; one of ours with no other.
fn settle_address(
    routes: &Stock,
    link: &Link,
    whose: Whose,
    (network, standing): (Ipv4Net, &[Ipv4Net]),
) -> Result<(), Error> {
    let mut batch = Batch::new();
    for other in standing.iter().filter(|a| whose == Whose::Engine && **a != network) {
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

pub(crate) fn check_name(what: &str, name: &str, longest: usize) -> Result<(), Error> {
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
