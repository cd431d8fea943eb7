//! Networks whose containers are hosts of a network of the machine's: their links lie on top of one of its links, the parent.
//!
//! With macvlan each has a MAC of its own; with ipvlan they share the parent's, and where the kernel is their router (l3, l3s) the
//! default route is the link itself. The machine does not reach them, nor they it: that is how both are. Nothing is published, nothing
//! translated.

use crate::attach::take;
use crate::bridge::delete_links;
use crate::container::{self, By, LINK, Wiring};
use crate::pool::Pool;
use crate::{Endpoint, Error, Ground, Plan, Wish};
use base::{Id, Undo};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink::link::{Index, IpvlanFlag, IpvlanMode, MacvlanMode, Peer, VethPair};
use netlink::{Batch, Socket};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// What such a network is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackedDesign {
    /// A link of the host, `eth0`, or of a VLAN of one, `eth0.50`, which is made when it is missing; a link that leads nowhere is
    /// made when it is empty.
    pub parent: String,
    /// The name of the link that leads nowhere.
    pub dummy: String,
    pub upon: Upon,
    pub plan: Plan,
    /// Bytes; 0 is the parent's.
    pub mtu: u32,
    pub internal: bool,
}

/// The sort of its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upon {
    Macvlan(MacvlanMode),
    Ipvlan(IpvlanMode, IpvlanFlag),
}

impl Upon {
    /// Whether what leaves needs no router: the kernel is one.
    fn routes_itself(self) -> bool {
        matches!(self, Upon::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s, _))
    }
}

/// A network on top of a link. Callable from many threads at once.
#[derive(Debug)]
pub struct StackedNetwork {
    ground: Arc<Ground>,
    design: StackedDesign,
    pool: Mutex<Pool>,
    pool6: Option<Mutex<Pool>>,
}

impl StackedNetwork {
    /// A network on its parent; `endpoints` are those in use.
    pub fn raise(ground: &Arc<Ground>, design: StackedDesign, endpoints: &[Endpoint]) -> Result<StackedNetwork, Error> {
        check_sort(ground, design.upon)?;
        ready_parent(ground, &design)?;
        let plan = &design.plan;
        let pool = |net: IpNet, range: Option<IpNet>| Mutex::new(Pool::within(net, range, &plan.reserved));
        let network = StackedNetwork {
            ground: ground.clone(),
            pool: pool(plan.subnet.into(), plan.range.map(Into::into)),
            pool6: plan.subnet6.map(|net| pool(net.into(), plan.range6.map(Into::into))),
            design,
        };
        ground.parents.hold(network.parent());
        for endpoint in endpoints {
            lock(&network.pool).adopt(endpoint.address.into());
            if let (Some(pool), Some(net)) = (&network.pool6, endpoint.ipv6) {
                lock(pool).adopt(net.addr().into());
            }
        }
        Ok(network)
    }

    fn parent(&self) -> &str {
        if self.design.parent.is_empty() { &self.design.dummy } else { &self.design.parent }
    }

    pub(crate) fn ground(&self) -> &Ground {
        &self.ground
    }

    /// As [`crate::Bridge::attach_as`].
    pub fn attach_as(&self, netns: BorrowedFd<'_>, wish: &Wish) -> Result<Endpoint, Error> {
        if matches!(self.design.upon, Upon::Ipvlan(..)) && wish.mac.is_some() {
            return Err(Error::Invalid("ipvlan interfaces do not support custom mac address assignment".into()));
        }
        let parent = self.parent();
        let index = self.ground.link_index(parent)?;
        let index: Index = index.ok_or_else(|| Error::Invalid(format!("the parent link {parent} is not there")))?;
        let mut undo = Undo::new();
        let address = take(&self.pool, wish.ipv4.map(Into::into))?;
        undo.push(move || lock(&self.pool).give_back(address));
        let address6 = self.pool6.as_ref().map(|pool| take(pool, wish.ipv6.map(Into::into))).transpose()?;
        if let (Some(pool), Some(address)) = (&self.pool6, address6) {
            undo.push(move || lock(pool).give_back(address));
        }
        let endpoint = self.endpoint(wish, address, address6)?;
        let wiring = Wiring {
            by: By::Upon { parent: index, upon: self.design.upon },
            link: &endpoint.link,
            mac: wish.mac.unwrap_or_else(|| container::mac(endpoint.address)),
            mtu: self.design.mtu,
            address: Ipv4Net::new_assert(endpoint.address, endpoint.prefix),
            address6: endpoint.ipv6,
            link_local: &wish.link_local,
            way: endpoint.way().filter(|_| wish.default_route),
        };
        let link = endpoint.link.clone();
        let wired = self.ground.routes.with(|host| Ok(container::wire(netns, host, &wiring)))?;
        if let Err(e) = wired {
            // A name that was taken before is another network's.
            if !matches!(&e, Error::Netlink { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists) {
                let _ = container::remove_link(netns, &link);
            }
            return Err(e);
        }
        undo.keep();
        Ok(endpoint)
    }

    fn endpoint(&self, wish: &Wish, address: IpAddr, address6: Option<IpAddr>) -> Result<Endpoint, Error> {
        let plan = &self.design.plan;
        let IpAddr::V4(address) = address else { return Err(Error::AddressOutside(address, plan.subnet.into())) };
        let ipv6 = match (address6, plan.subnet6) {
            (Some(IpAddr::V6(address)), Some(net)) => Ipv6Net::new(address, net.prefix_len()).ok(),
            _ => None,
        };
        let (leads_out, routes_itself) = (!self.design.internal, self.design.upon.routes_itself());
        let mac = match self.design.upon {
            Upon::Macvlan(_) => mac_text(wish.mac.unwrap_or_else(|| container::mac(address))),
            Upon::Ipvlan(..) => String::new(),
        };
        Ok(Endpoint {
            id: Id::random().to_string(),
            network: String::new(),
            host_link: String::new(),
            link: if wish.link.is_empty() { LINK.to_owned() } else { wish.link.clone() },
            address,
            prefix: plan.subnet.prefix_len(),
            gateway: (leads_out && !routes_itself).then_some(plan.subnet.addr()),
            ipv6,
            gateway6: plan.subnet6.filter(|_| leads_out && !routes_itself).map(|net| net.addr()),
            is_way: leads_out && routes_itself,
            name_servers: Vec::new(),
            mac,
            ports: Vec::new(),
        })
    }

    /// Takes a living container off.
    pub fn detach(&self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), Error> {
        let removed = container::remove_link(netns, &endpoint.link);
        if removed.is_ok() {
            self.leave(endpoint);
        }
        removed
    }

    /// The link went with its namespace, or goes.
    pub fn leave(&self, endpoint: &Endpoint) {
        lock(&self.pool).give_back(endpoint.address.into());
        if let (Some(pool), Some(net)) = (&self.pool6, endpoint.ipv6) {
            lock(pool).give_back(net.addr().into());
        }
    }

    /// Removes what was made for the network, and for no other one.
    pub fn down(&self) -> Result<(), Error> {
        let parent = self.parent();
        if self.ground.parents.let_go(parent) > 0 || !is_own(&self.ground, &self.design)? {
            return Ok(());
        }
        self.ground.routes.with(|socket| delete_links(socket, &[parent]))
    }
}

/// Whether the parent is of an engine's making: a dead end always is; a VLAN says so.
fn is_own(ground: &Ground, design: &StackedDesign) -> Result<bool, Error> {
    if design.parent.is_empty() {
        return Ok(true);
    }
    let link = ground.routes.with(|socket| socket.link(&design.parent))?;
    Ok(link.is_some_and(|link| link.kind.as_deref() == Some("vlan") && link.alias.as_deref() == Some(&ground.mark())))
}

/// How many networks are on which parent.
#[derive(Debug, Default)]
pub(crate) struct Parents(Mutex<HashMap<String, usize>>);

impl Parents {
    fn hold(&self, parent: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(parent.to_owned()).or_default() += 1;
    }

    /// How many still are.
    fn let_go(&self, parent: &str) -> usize {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = held.get(parent).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(held.remove(parent)),
            left => drop(held.insert(parent.to_owned(), left)),
        }
        left
    }
}

/// A sort that the kernel does not have is refused before anything is made.
fn check_sort(ground: &Ground, upon: Upon) -> Result<(), Error> {
    match upon {
        Upon::Ipvlan(..) if !ground.routes.with(Socket::has_ipvlan)? => Err(Error::NoIpvlan),
        _ => Ok(()),
    }
}

fn lock(pool: &Mutex<Pool>) -> std::sync::MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

/// A link that leads nowhere: a dummy, or where the kernel has none a veth pair that nobody else uses.
fn make_dead_end(ground: &Ground, name: &str) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.add_dummy(name);
    let made = ground.routes.with(|socket| socket.run(&mut batch));
    match made {
        Err(Error::Netlink { source, .. }) if source.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {}
        other => return other,
    }
    let here = File::open("/proc/thread-self/ns/net").map_err(|e| Error::io("open the network namespace", e))?;
    let other_end = name.replacen("dm-", "dp-", 1);
    let mut batch = Batch::new();
    let peer = Peer { name: &other_end, mac: container::mac(Ipv4Addr::UNSPECIFIED), netns: here.as_fd() };
    batch.add_veth(&VethPair { name, master: None, mtu: DEAD_END_MTU, peer });
    ground.routes.with(|socket| socket.run(&mut batch))?;
    let Some(index) = ground.link_index(&other_end)? else { return Ok(()) };
    let mut batch = Batch::new();
    batch.set_up(index);
    ground.routes.with(|socket| socket.run(&mut batch))
}

const DEAD_END_MTU: u32 = 1500;

/// Sees to it that the parent is there.
fn ready_parent(ground: &Ground, design: &StackedDesign) -> Result<(), Error> {
    let parent = &design.parent;
    if parent == "lo" {
        return Err(Error::Invalid("loopback interface is not a valid parent link".into()));
    }
    if parent.is_empty() {
        return match ground.link_index(&design.dummy)? {
            None => make_dead_end(ground, &design.dummy),
            Some(_) => Ok(()),
        };
    }
    if ground.link_index(parent)?.is_some() {
        return Ok(());
    }
    let vlan = parent.rsplit_once('.').and_then(|(link, id)| Some((link, id.parse::<u16>().ok()?)));
    let missing = || Error::Invalid(format!("the parent link {parent} is not there"));
    let (link, id) = vlan.filter(|(_, id)| (1..4095).contains(id)).ok_or_else(missing)?;
    let index = ground.link_index(link)?.ok_or_else(missing)?;
    let mut batch = Batch::new();
    batch.add_vlan(parent, index, id);
    // The next engine must know whose it is.
    batch.set_alias(parent, &ground.mark());
    ground.routes.with(|socket| socket.run(&mut batch))
}
