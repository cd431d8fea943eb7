//! A network beyond the ports of one bridge: further bridges, each joined to the first by a veth pair.
//!
//! The kernel numbers a bridge's ports with 10 bits (BR_PORT_BITS), and number 0 is none: 1,023 ports. Some of the first bridge are
//! kept for bridges to come, as many as a network of /16 can need:
//!
//! ```text
//!     dh-0123456789ab        the addresses, 959 containers
//!      |           |
//!     du1-...     du2-...    ports of the first bridge
//!     dv1-...     dv2-...    ports of the further ones
//!      |           |
//!     dh1-...     dh2-...    1,022 containers each
//! ```
//!
//! A star has no loop. To a container it is one wire: one gateway, with one MAC. Where containers are not to reach each other the ports
//! `du` are isolated as theirs are: what comes by one goes to the host alone. A further bridge speaks to nobody itself, and has no address.
//!
//! Where br_netfilter is on (dockerd switches it on), two containers of one further bridge do not reach each other's published ports by
//! the host's address: the first bridge would have to send such a packet back by the port it came by.

use crate::bridge::{Bridge, delete_links, is_ours};
use crate::forwarding::Doors;
use crate::rules::Member;
use crate::{Error, sysctl};
use base::{Id, Undo};
use netlink::Batch;
use netlink::link::{Index, Link, Peer, VethPair};
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of one bridge, for everything.
const PORTS: usize = 1023;
/// Further bridges of a network.
const MOST: usize = 64;

/// The bridges of a network and who is on which.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    seats: Mutex<Seats>,
    /// Held while a further bridge is made.
    growing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Seats {
    /// The first one is the network's own.
    devices: Vec<Device>,
    /// Host's ends of containers, and the places of their bridges among `devices`.
    taken: HashMap<String, usize>,
}

#[derive(Debug)]
struct Device {
    name: String,
    index: Index,
    count: usize,
    /// The kernel said so: others have ports, too.
    is_full: bool,
    doors: Arc<Mutex<Doors>>,
}

impl Device {
    fn new(name: &str, index: Index) -> Device {
        Device { name: name.to_owned(), index, count: 0, is_full: false, doors: Arc::default() }
    }
}

impl Seats {
    fn free(&self) -> Option<usize> {
        let most = |place| if place == 0 { PORTS - MOST } else { PORTS - 1 };
        self.devices.iter().enumerate().position(|(place, device)| !device.is_full && device.count < most(place))
    }

    fn take(&mut self, link: &str, place: usize) {
        if self.taken.insert(link.to_owned(), place).is_none() {
            self.devices[place].count += 1;
        }
    }

    fn give_back(&mut self, link: &str) -> Option<&mut Device> {
        let device = self.devices.get_mut(self.taken.remove(link)?)?;
        device.count = device.count.saturating_sub(1);
        device.is_full = false;
        Some(device)
    }
}

/// The links of a further bridge.
struct Names {
    bridge: String,
    /// The port of the first bridge that it is joined by, and the other end of that.
    up: String,
    down: String,
}

impl Names {
    /// The same at every start of an engine.
    fn of(bridge: &str, number: usize) -> Names {
        let hash = bridge
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let name = |prefix| format!("{prefix}{number}-{:010x}", hash >> 24);
        Names { bridge: name("dh"), up: name("du"), down: name("dv") }
    }
}

impl Bridge {
    /// A bridge of the network with a port for this link.
    pub(crate) fn sit(&self, link: &str) -> Result<Index, Error> {
        loop {
            {
                let mut seats = self.shards.lock();
                if let Some(place) = seats.free() {
                    seats.take(link, place);
                    let index = seats.devices[place].index;
                    drop(seats);
                    self.ground.neighbours.more(1);
                    return Ok(index);
                }
            }
            self.grow()?;
        }
    }

    /// The link is gone, or was not made.
    pub(crate) fn rise(&self, link: &str) {
        if self.shards.lock().give_back(link).is_some() {
            self.ground.neighbours.less(1);
        }
    }

    /// The kernel had no port for the link.
    pub(crate) fn found_full(&self, link: &str) {
        if let Some(device) = self.shards.lock().give_back(link) {
            device.is_full = true;
            self.ground.neighbours.less(1);
        }
    }

    /// Finds the ports of containers on the network's bridges, those of earlier engines too; `used` are those that stay.
    pub(crate) fn adopt_ports(&self, used: impl Fn(&Link) -> bool, sweep: Sweep) -> Result<(), Error> {
        self.shards.lock().devices.push(Device::new(&self.name, self.index));
        for number in 1..=MOST {
            if !self.is_shard(&Names::of(&self.name, number).bridge)? {
                break;
            }
            let device = self.make_shard(number)?;
            self.shards.lock().devices.push(device);
        }
        let indices: Vec<Index> = self.shards.lock().devices.iter().map(|device| device.index).collect();
        for (place, index) in indices.into_iter().enumerate() {
            let ports = self.ground.routes.with(|socket| socket.links(Some(index)))?;
            let (stay, stale): (Vec<&Link>, Vec<&Link>) =
                ports.iter().filter(|port| is_ours(port)).partition(|port| used(port));
            self.ground.neighbours.more(stay.len());
            stay.iter().for_each(|port| self.shards.lock().take(&port.name, place));
            if place > 0 || sweep == Sweep::All {
                let stale: Vec<&str> = stale.iter().map(|port| port.name.as_str()).collect();
                self.ground.routes.with(|socket| delete_links(socket, &stale))?;
            }
        }
        Ok(())
    }

    fn is_shard(&self, name: &str) -> Result<bool, Error> {
        if self.ground.link_index(name)?.is_none() {
            return Ok(false);
        }
        let link = self.ground.routes.with(|socket| socket.link(name))?;
        Ok(link.is_some_and(|link| link.alias.as_deref() == Some(&self.ground.mark())))
    }

    /// Makes one further bridge, unless somebody else just has.
    fn grow(&self) -> Result<(), Error> {
        let _growing = self.shards.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let number = {
            let seats = self.shards.lock();
            if seats.free().is_some() {
                return Ok(());
            }
            seats.devices.len()
        };
        if number > MOST {
            return Err(Error::PortsOfBridgesExhausted(self.name.clone()));
        }
        let device = self.make_shard(number)?;
        tracing::info!("the bridge {} is full: further containers of its network are on {}", self.name, device.name);
        self.shards.lock().devices.push(device);
        self.check_shards()
    }

    /// Makes a further bridge, or what is missing of it.
    fn make_shard(&self, number: usize) -> Result<Device, Error> {
        let names = Names::of(&self.name, number);
        let mut undo = Undo::new();
        let (bridge, up) = (names.bridge.clone(), names.up.clone());
        let was_there = self.ground.link_index(&bridge)?.is_some();
        undo.push(move || {
            let _ = self.ground.leave(&bridge);
            if !was_there {
                let _ = self.ground.routes.with(|socket| delete_links(socket, &[&up, &bridge]));
            }
        });
        let index = self.make_device(&names.bridge)?;
        self.join_device(&names, index)?;
        self.ground.join(Member { bridge: names.bridge.clone(), is_shard: true, ..self.member.clone() })?;
        undo.keep();
        Ok(Device::new(&names.bridge, index))
    }

    fn make_device(&self, name: &str) -> Result<Index, Error> {
        let index = match self.ground.link_index(name)? {
            Some(index) => index,
            None => {
                let mut batch = Batch::new();
                batch.add_bridge(name, random_mac(), self.mtu);
                batch.set_alias(name, &self.ground.mark());
                self.ground.routes.with(|socket| socket.run(&mut batch))?;
                self.index_of(name)?
            }
        };
        sysctl::prepare_shard(name)?;
        Ok(index)
    }

    /// The port of the first bridge comes last to life: nothing goes by it before it is isolated, where it is to be.
    fn join_device(&self, names: &Names, shard: Index) -> Result<(), Error> {
        if self.ground.link_index(&names.up)?.is_none() {
            let here =
                File::open("/proc/thread-self/ns/net").map_err(|e| Error::io("open the network namespace", e))?;
            let peer = Peer { name: &names.down, mac: random_mac(), netns: here.as_fd() };
            let mut batch = Batch::new();
            batch.add_veth(&VethPair { name: &names.up, master: None, mtu: self.mtu, peer });
            self.ground.routes.with(|socket| socket.run(&mut batch))?;
        }
        let (up, down) = (self.index_of(&names.up)?, self.index_of(&names.down)?);
        let mut batch = Batch::new();
        batch.set_master(up, self.index);
        if !self.together {
            batch.set_isolated(&names.up);
        }
        batch.set_master(down, shard);
        batch.set_up(down);
        self.ground.routes.with(|socket| socket.run(&mut batch))
    }

    fn index_of(&self, name: &str) -> Result<Index, Error> {
        let index = self.ground.link_index(name)?;
        index.ok_or_else(|| Error::io(format!("find the link {name}"), std::io::ErrorKind::NotFound))
    }

    /// Sees to it that the packets of further bridges pass the chains of iptables; the first bridge has doors of its own.
    pub(crate) fn check_shards(&self) -> Result<(), Error> {
        if self.internal {
            return Ok(());
        }
        for (name, doors) in self.shards.further() {
            // Somebody who is checking already is enough.
            if let Ok(mut doors) = doors.try_lock() {
                self.ground.filters.with(|socket| doors.keep_open(socket, &name))?;
            }
        }
        Ok(())
    }

    /// Removes the further bridges with all that is on them, the last one first: none that is left is overlooked by the next engine.
    pub(crate) fn remove_shards(&self) -> Result<(), Error> {
        let mut all = Ok(());
        for (place, (name, doors)) in self.shards.further().into_iter().enumerate().rev() {
            let mut doors = doors.lock().unwrap_or_else(PoisonError::into_inner);
            let closed = self.ground.filters.with(|socket| doors.close(socket, &name));
            let left = self.ground.leave(&name);
            let names = Names::of(&self.name, place + 1);
            let links = self.ground.routes.with(|socket| {
                let ports = match socket.link_index(&name)? {
                    Some(index) => socket.links(Some(index))?,
                    None => Vec::new(),
                };
                let mut links: Vec<&str> =
                    ports.iter().filter(|port| is_ours(port)).map(|port| port.name.as_str()).collect();
                links.extend([names.up.as_str(), name.as_str()]);
                delete_links(socket, &links)
            });
            all = all.and(closed).and(left).and(links);
        }
        all
    }
}

/// What is swept off the first bridge when it is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// Every end of a container that is not in use.
    All,
    /// Nothing: it may be another engine's, too.
    None,
}

impl Shards {
    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn further(&self) -> Vec<(String, Arc<Mutex<Doors>>)> {
        let seats = self.lock();
        seats.devices.iter().skip(1).map(|device| (device.name.clone(), device.doors.clone())).collect()
    }
}

/// One of the locally administered ones.
fn random_mac() -> [u8; 6] {
    let random = u64::from_str_radix(&Id::random().short()[..10], 16).unwrap_or_default();
    let [_, _, _, a, b, c, d, e] = random.to_be_bytes();
    [0x06, a, b, c, d, e]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_further_bridge_have_names_that_fit_and_differ() {
        let names: Vec<String> = ["dh-0123456789ab", "dh-0123456789ac", "b"]
            .iter()
            .flat_map(|bridge| [1, MOST].map(|number| Names::of(bridge, number)))
            .flat_map(|names| [names.bridge, names.up, names.down])
            .collect();
        assert!(names.iter().all(|name| name.len() <= 15), "{names:?}");
        let different: std::collections::HashSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }

    #[test]
    fn seats_are_taken_in_order_and_a_bridge_that_is_full_is_passed_over_until_one_is_free() {
        let mut seats = Seats { devices: vec![Device::new("a", 1), Device::new("b", 2)], ..Seats::default() };
        for number in 0..PORTS - MOST {
            assert_eq!(seats.free(), Some(0));
            seats.take(&format!("l{number}"), 0);
        }
        assert_eq!(seats.free(), Some(1));
        assert!(seats.give_back("stranger").is_none());
        assert_eq!(seats.give_back("l0").unwrap().name, "a");
        assert_eq!(seats.free(), Some(0));
        seats.devices[0].is_full = true;
        assert_eq!(seats.free(), Some(1));
        seats.give_back("l1");
        assert_eq!(seats.free(), Some(0));
    }
}
