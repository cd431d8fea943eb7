//! Puts a container on a bridge, and takes it off.

use crate::bridge::{Bridge, PREFIX, delete_links};
use crate::container::{self, By, LINK, Pair, Way, Wiring};
use crate::pool::Pool;
use crate::{Endpoint, Error, Spare, Wish};
use base::{Id, Undo};
use ipnet::{Ipv4Net, Ipv6Net};
use netlink::link::Index;
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

impl Bridge {
    /// Puts a veth into `netns` as eth0, with an address, `lo` up, a default route and `net.ipv4.ip_unprivileged_port_start`=0.
    ///
    /// When a step fails, nothing is left of those before.
    pub fn attach(&self, netns: BorrowedFd<'_>) -> Result<Endpoint, Error> {
        self.attach_as(netns, &Wish { default_route: true, ..Wish::default() })
    }

    /// The same, as wished.
    pub fn attach_as(&self, netns: BorrowedFd<'_>, wish: &Wish) -> Result<Endpoint, Error> {
        self.attach_by(netns, wish, None)
    }

    /// The same by a pair that is there; it is removed when a step fails.
    pub fn attach_spare(&self, netns: BorrowedFd<'_>, wish: &Wish, spare: Spare) -> Result<Endpoint, Error> {
        self.attach_by(netns, wish, Some(spare))
    }

    fn attach_by(&self, netns: BorrowedFd<'_>, wish: &Wish, spare: Option<Spare>) -> Result<Endpoint, Error> {
        self.check_in_passing();
        let mut undo = Undo::new();
        let address = self.take_address(wish.ipv4)?;
        undo.push(move || self.give_back(address, None));
        let address6 = self.take_address6(wish.ipv6)?;
        undo.push(move || self.give_back6(address6));
        let pair = if spare.is_some() { Pair::Spare } else { Pair::New };
        let host_link = spare.map_or_else(|| format!("{PREFIX}{}", Id::random().short()), |spare| spare.host_link);
        let mut endpoint = self.endpoint(wish, host_link, (address, address6));
        let network = Ipv4Net::new(address, endpoint.prefix)
            .map_err(|_| Error::Invalid(format!("{address}/{} is no address", endpoint.prefix)))?;
        let mac = wish.mac.unwrap_or_else(|| container::mac(address));
        let wiring = Wiring {
            by: self.veth(&endpoint.host_link, self.index, pair),
            link: &endpoint.link,
            mac,
            mtu: self.mtu,
            address: network,
            address6,
            link_local: &wish.link_local,
            way: endpoint.way().filter(|_| wish.default_route),
        };
        let name = endpoint.host_link.clone();
        undo.push(move || {
            self.remove_link_or_tell(&name);
            self.rise(&name);
        });
        self.plug(netns, &wiring, (&endpoint.host_link, pair))?;
        undo.keep();
        endpoint.mac = mac.map(|b| format!("{b:02x}")).join(":");
        Ok(endpoint)
    }

    fn veth<'a>(&self, host_link: &'a str, bridge: Index, pair: Pair) -> By<'a> {
        By::Veth { host_link, bridge, isolated: !self.together, pair }
    }

    /// Makes the link, to one of the network's bridges that has a port left.
    fn plug(&self, netns: BorrowedFd<'_>, wiring: &Wiring<'_>, (host_link, pair): (&str, Pair)) -> Result<(), Error> {
        loop {
            let wiring = Wiring { by: self.veth(host_link, self.sit(host_link)?, pair), ..*wiring };
            match self.ground.routes.with(|host| Ok(container::wire(netns, host, &wiring)))? {
                // On a bridge of the host others have ports that are not counted here.
                Err(Error::Netlink { source, .. }) if source.raw_os_error() == Some(Errno::XFULL.raw_os_error()) => {
                    self.found_full(host_link);
                }
                done => return done,
            }
        }
    }

    fn endpoint(&self, wish: &Wish, host_link: String, (address, ipv6): (Ipv4Addr, Option<Ipv6Net>)) -> Endpoint {
        Endpoint {
            id: Id::random().to_string(),
            network: String::new(),
            host_link,
            link: if wish.link.is_empty() { LINK.to_owned() } else { wish.link.clone() },
            address,
            prefix: self.network.prefix_len(),
            gateway: (!self.internal).then_some(self.gateway()),
            ipv6,
            gateway6: self.network6.filter(|_| !self.internal).map(|net| net.addr()),
            is_way: false,
            name_servers: Vec::new(),
            mac: String::new(),
            ports: Vec::new(),
        }
    }

    /// Takes back what `attach` and `publish` did. The netns may be gone already.
    ///
    /// Waits for the kernel, about 20 ms: see [`Bridge::leave`] for a container that has ended, and
    /// [`Bridge::detach_all`] for several.
    pub fn detach(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.detach_all(std::slice::from_ref(endpoint))
    }

    /// Takes the link away from whoever still is in the container's network namespace. Address and ports are its own until it leaves.
    pub fn cut(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.ground.routes.with(|socket| delete_links(socket, &[&endpoint.host_link]))
    }

    /// As [`Bridge::detach`], for many endpoints in the time of one. Goes on after a failure, and tells the first. The
    /// addresses are given out again only when the veths are gone.
    pub fn detach_all(&self, endpoints: &[Endpoint]) -> Result<(), Error> {
        let ports = endpoints.iter().map(|e| self.unpublish(e)).fold(Ok(()), Result::and);
        let names: Vec<&str> = endpoints.iter().map(|e| e.host_link.as_str()).collect();
        let links = self.ground.routes.with(|socket| delete_links(socket, &names));
        if links.is_ok() {
            endpoints.iter().for_each(|e| {
                self.rise(&e.host_link);
                self.give_back(e.address, e.ipv6);
            });
        }
        ports.and(links)
    }

    fn take_address(&self, wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr, Error> {
        let taken = take(&self.pool, wanted.map(Into::into)).or_else(|_| {
            self.send_off();
            take(&self.pool, wanted.map(Into::into))
        });
        match taken? {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(address) => Err(Error::AddressOutside(address.into(), self.subnet().into())),
        }
    }

    fn take_address6(&self, wanted: Option<Ipv6Addr>) -> Result<Option<Ipv6Net>, Error> {
        let (Some(pool), Some(net)) = (&self.pool6, self.network6) else {
            return match wanted {
                None => Ok(None),
                Some(address) => Err(Error::AddressOutside(address.into(), self.subnet().into())),
            };
        };
        let taken = take(pool, wanted.map(Into::into)).or_else(|_| {
            self.send_off();
            take(pool, wanted.map(Into::into))
        });
        match taken? {
            IpAddr::V6(address) => Ok(Ipv6Net::new(address, net.prefix_len()).ok()),
            IpAddr::V4(address) => Err(Error::AddressOutside(address.into(), net.into())),
        }
    }

    pub(crate) fn give_back(&self, address: Ipv4Addr, address6: Option<Ipv6Net>) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).give_back(address.into());
        self.give_back6(address6);
    }

    fn give_back6(&self, address: Option<Ipv6Net>) {
        if let (Some(pool), Some(net)) = (&self.pool6, address) {
            pool.lock().unwrap_or_else(PoisonError::into_inner).give_back(net.addr().into());
        }
    }

    fn remove_link_or_tell(&self, name: &str) {
        if let Err(e) = self.ground.routes.with(|socket| delete_links(socket, &[name])) {
            tracing::warn!("cannot remove {name}: {}", base::chain(&e));
        }
    }
}

impl Endpoint {
    /// The default route it could have.
    pub fn way(&self) -> Option<Way> {
        match self.gateway {
            Some(gateway) => Some(Way::Via { gateway, gateway6: self.gateway6 }),
            None => self.is_way.then_some(Way::Link { ipv6: self.ipv6.is_some() }),
        }
    }
}

pub(crate) fn take(pool: &Mutex<Pool>, wanted: Option<IpAddr>) -> Result<IpAddr, Error> {
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    match wanted {
        Some(address) => pool.take_this(address),
        None => {
            let subnet = pool.subnet();
            pool.take().ok_or(Error::AddressesExhausted(subnet))
        }
    }
}
