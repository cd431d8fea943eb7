//! Publishes a container's ports on the host, and takes them back.

use crate::bridge::Bridge;
use crate::rules::Published;
use crate::{Endpoint, Error, Port, PortRequest, Protocol};
use netlink::conntrack::Flows;
use netlink::nft::Family;
use std::net::IpAddr;

impl Bridge {
    /// Publishes all of `requests` or none; records them in `endpoint.ports`.
    pub fn publish(&self, endpoint: &mut Endpoint, requests: &[PortRequest]) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        self.check_in_passing();
        let _whole = self.ground.whole();
        let claim = self.ground.ports.claim(endpoint, requests)?;
        self.add_elements(&claim.ports)?;
        self.forget_udp(claim.ports.iter().map(|(p, _)| (p, Flows::SentTo(p.host_port))));
        endpoint.ports.extend(claim.keep());
        Ok(())
    }

    /// Both tables or none.
    fn add_elements(&self, ports: &[Published]) -> Result<(), Error> {
        let mut done: Vec<Family> = Vec::new();
        for family in self.families_of(ports) {
            if let Err(e) = self.ground.change(family, |rules, t| rules.add(t, ports)) {
                for family in done {
                    let _ = self.ground.change(family, |rules, t| rules.take(t, ports));
                }
                return Err(e);
            }
            done.push(family);
        }
        Ok(())
    }

    fn families_of(&self, ports: &[Published]) -> Vec<Family> {
        let has = |v4: bool| ports.iter().any(|(port, _)| port.host_ip.is_ipv4() == v4);
        let all = [(Family::Ip, has(true)), (Family::Ip6, has(false))];
        all.into_iter().filter(|(_, has)| *has).map(|(family, _)| family).collect()
    }

    /// Takes back what `publish` did; the container stays attached. Ports of `endpoint` that are taken back already, or
    /// another container's by now, are left alone.
    pub fn unpublish(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let with_address = |port: &Port| Some((port.clone(), endpoint.address_like(port.host_ip)?));
        let ports: Vec<Published> = endpoint.ports.iter().filter_map(with_address).collect();
        self.withdraw(&ports)
    }

    pub(crate) fn withdraw(&self, ports: &[Published]) -> Result<(), Error> {
        let _whole = self.ground.whole();
        let ports = self.ground.ports.release(ports);
        if ports.is_empty() {
            return Ok(());
        }
        let taken = match self.take_elements(&ports) {
            // One that is missing refuses the whole: others removed some, or the table. Then one by one.
            Err(e) if is_absent(&e) => ports.iter().try_for_each(|port| self.take_if_there(port)),
            other => other,
        };
        let udp = ports.iter().filter(|(p, _)| p.protocol == Protocol::Udp);
        self.forget_udp(udp.filter_map(|(p, address)| match address {
            IpAddr::V4(address) => Some((p, Flows::AnsweredBy(*address))),
            IpAddr::V6(_) => None,
        }));
        taken
    }

    fn take_if_there(&self, port: &Published) -> Result<(), Error> {
        match self.take_elements(std::slice::from_ref(port)) {
            Err(e) if !is_absent(&e) => Err(e),
            _ => Ok(()),
        }
    }

    fn take_elements(&self, ports: &[Published]) -> Result<(), Error> {
        let take = |family| self.ground.change(family, |rules, t| rules.take(t, ports));
        self.families_of(ports).into_iter().map(take).fold(Ok(()), Result::and)
    }

    /// A UDP flow goes on where it went before its port was (un)published, as long as packets come: it must be
    /// forgotten. TCP has ends of its own. That it fails is told, not fatal.
    fn forget_udp<'a>(&self, flows: impl Iterator<Item = (&'a Port, Flows)>) {
        let sorts: Vec<Flows> = flows.filter(|(p, _)| p.protocol == Protocol::Udp).map(|(_, f)| f).collect();
        if sorts.is_empty() {
            return;
        }
        if let Err(e) = self.ground.filters.with(|socket| socket.forget_udp(&sorts)) {
            tracing::warn!("{}", base::chain(&e));
        }
    }
}

pub(crate) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Netlink { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}
