//! Publishes a container's ports on the host, and takes them back.

use crate::bridge::{Bridge, published};
use crate::{Endpoint, Error, Port, PortRequest, Protocol};
use netlink::conntrack::Flows;
use netlink::nft::Transaction;
use std::net::Ipv4Addr;
use std::sync::PoisonError;

impl Bridge {
    /// Publishes all of `requests` or none; records them in `endpoint.ports`.
    pub fn publish(&self, endpoint: &mut Endpoint, requests: &[PortRequest]) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        self.check_in_passing();
        let _whole = self.rebuilding.read().unwrap_or_else(PoisonError::into_inner);
        let claim = self.ports.claim(endpoint.address, requests)?;
        let ports: Vec<(Port, Ipv4Addr)> = claim.ports.iter().map(|p| (p.clone(), endpoint.address)).collect();
        self.filters.with(|socket| {
            let mut t = Transaction::new();
            self.rules.add(&mut t, published(&ports));
            t.commit(socket)
        })?;
        self.forget_udp(ports.iter().map(|(p, _)| p).map(|p| (p, Flows::SentTo(p.host_port))));
        endpoint.ports.extend(claim.keep());
        Ok(())
    }

    /// Takes back what `publish` did; the container stays attached. Ports of `endpoint` that are taken back already, or
    /// another container's by now, are left alone.
    pub fn unpublish(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let _whole = self.rebuilding.read().unwrap_or_else(PoisonError::into_inner);
        let released = self.ports.release(endpoint.address, &endpoint.ports);
        if released.is_empty() {
            return Ok(());
        }
        let ports: Vec<(Port, Ipv4Addr)> = released.into_iter().map(|p| (p, endpoint.address)).collect();
        let taken = match self.take_elements(&ports) {
            // One that is missing refuses the whole: others removed some, or the table. Then one by one.
            Err(e) if is_absent(&e) => ports.iter().try_for_each(|port| self.take_if_there(port)),
            other => other,
        };
        let udp = ports.iter().find(|(p, _)| p.protocol == Protocol::Udp);
        self.forget_udp(udp.iter().map(|(p, address)| (p, Flows::AnsweredBy(*address))));
        taken
    }

    fn take_if_there(&self, port: &(Port, Ipv4Addr)) -> Result<(), Error> {
        match self.take_elements(std::slice::from_ref(port)) {
            Err(e) if !is_absent(&e) => Err(e),
            _ => Ok(()),
        }
    }

    fn take_elements(&self, ports: &[(Port, Ipv4Addr)]) -> Result<(), Error> {
        self.filters.with(|socket| {
            let mut t = Transaction::new();
            self.rules.take(&mut t, published(ports));
            t.commit(socket)
        })
    }

    /// A UDP flow goes on where it went before its port was (un)published, as long as packets come: it must be
    /// forgotten. TCP has ends of its own. That it fails is told, not fatal.
    fn forget_udp<'a>(&self, flows: impl Iterator<Item = (&'a Port, Flows)>) {
        let sorts: Vec<Flows> = flows.filter(|(p, _)| p.protocol == Protocol::Udp).map(|(_, f)| f).collect();
        if sorts.is_empty() {
            return;
        }
        if let Err(e) = self.filters.with(|socket| socket.forget_udp(&sorts)) {
            tracing::warn!("{}", base::chain(&e));
        }
    }
}

fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Netlink { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}
