//! Puts a container on the bridge, and takes it off.

use crate::bridge::{Bridge, PREFIX, delete_links};
use crate::container::{self, LINK, Wiring};
use crate::{Endpoint, Error};
use base::{Id, Undo};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::sync::PoisonError;

impl Bridge {
    /// Puts a veth into `netns` as eth0, with an address, `lo` up, a default route and `net.ipv4.ip_unprivileged_port_start`=0.
    ///
    /// When a step fails, nothing is left of those before.
    pub fn attach(&self, netns: BorrowedFd<'_>) -> Result<Endpoint, Error> {
        self.check_in_passing();
        let mut undo = Undo::new();
        let address = self.take_address()?;
        undo.push(move || self.give_back(address));
        let host_link = format!("{PREFIX}{}", Id::random().short());
        let prefix = self.subnet().prefix_len();
        let network =
            Ipv4Net::new(address, prefix).map_err(|_| Error::Invalid(format!("{address}/{prefix} is no address")))?;
        let wiring = Wiring {
            host_link: &host_link,
            bridge: self.index,
            mtu: self.mtu,
            address: network,
            gateway: self.gateway,
        };
        let name = host_link.clone();
        undo.push(move || self.remove_link_or_tell(&name));
        self.routes.with(|host| Ok(container::wire(netns, host, &wiring)))??;
        undo.keep();
        let mac = container::mac(address).map(|b| format!("{b:02x}")).join(":");
        Ok(Endpoint {
            host_link,
            link: LINK.to_owned(),
            address,
            prefix,
            gateway: self.gateway,
            mac,
            ports: Vec::new(),
        })
    }

    /// Takes back what `attach` and `publish` did. The netns may be gone already.
    ///
    /// Waits for the kernel, about 20 ms: see [`Bridge::leave`] for a container that has ended, and
    /// [`Bridge::detach_all`] for several.
    pub fn detach(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.detach_all(std::slice::from_ref(endpoint))
    }

    /// As [`Bridge::detach`], for many endpoints in the time of one. Goes on after a failure, and tells the first. The
    /// addresses are given out again only when the veths are gone.
    pub fn detach_all(&self, endpoints: &[Endpoint]) -> Result<(), Error> {
        let ports = endpoints.iter().map(|e| self.unpublish(e)).fold(Ok(()), Result::and);
        let names: Vec<&str> = endpoints.iter().map(|e| e.host_link.as_str()).collect();
        let links = self.routes.with(|socket| delete_links(socket, &names));
        if links.is_ok() {
            endpoints.iter().for_each(|e| self.give_back(e.address));
        }
        ports.and(links)
    }

    fn take_address(&self) -> Result<Ipv4Addr, Error> {
        let take = || self.pool.lock().unwrap_or_else(PoisonError::into_inner).take();
        let taken = take().or_else(|| {
            self.send_off();
            take()
        });
        taken.ok_or(Error::AddressesExhausted(self.subnet()))
    }

    pub(crate) fn give_back(&self, address: Ipv4Addr) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).give_back(address);
    }

    fn remove_link_or_tell(&self, name: &str) {
        if let Err(e) = self.routes.with(|socket| delete_links(socket, &[name])) {
            tracing::warn!("cannot remove {name}: {}", base::chain(&e));
        }
    }
}
