//! Publishes a container's ports on the host, and takes them back.

use crate::bridge::Bridge;
use crate::entries::Entry;
use crate::ports::is_relayed;
use crate::rules::Published;
use crate::{Endpoint, Error, Ground, Port, PortRequest, Protocol};
use netlink::conntrack::Flows;
use netlink::nft::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

impl Bridge {
    /// Publishes all of `requests` or none; records them in `endpoint.ports`.
    pub fn publish(&self, endpoint: &mut Endpoint, requests: &[PortRequest]) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        self.check_in_passing();
        let _whole = self.ground.whole();
        let containers = addresses(endpoint);
        let before = self.ground.ports.entries_of(&containers);
        let claim = self.ground.ports.claim(endpoint, requests, &self.manners)?;
        let after = self.ground.ports.entries_of(&containers);
        self.ground.change_entries(&before, &after)?;
        self.ground.forget(&claim.ports, |flows, (port, _)| flows.sent_to((port.host_port, port.host_port)));
        endpoint.ports.extend(claim.keep());
        Ok(())
    }

    /// Takes back what `publish` did; the container stays attached. Ports of `endpoint` that are taken back already, or
    /// another container's by now, are left alone.
    pub fn unpublish(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.withdraw(&published(endpoint, &endpoint.ports)).map(|_| ())
    }

    /// Takes back these ports of a container that lives on: connections that came by them end, too.
    pub fn unpublish_some(&self, endpoint: &mut Endpoint, ports: &[Port]) -> Result<(), Error> {
        let released = self.withdraw(&published(endpoint, ports))?;
        endpoint.ports.retain(|port| !ports.contains(port));
        self.ground.forget_all(&released);
        Ok(())
    }

    pub(crate) fn withdraw(&self, ports: &[Published]) -> Result<Vec<Published>, Error> {
        if ports.is_empty() {
            return Ok(Vec::new());
        }
        let _whole = self.ground.whole();
        let containers: BTreeSet<IpAddr> = ports.iter().map(|(_, container)| *container).collect();
        let before = self.ground.ports.entries_of(&containers);
        let released = self.ground.ports.release(ports);
        if released.is_empty() {
            return Ok(released);
        }
        let after = self.ground.ports.entries_of(&containers);
        let taken = match self.ground.change_entries(&before, &after) {
            // One that is missing refuses the whole: others removed some, or the table. Then one by one.
            Err(e) if is_absent(&e) => self.ground.change_one_by_one(&before, &after),
            other => other,
        };
        self.ground.forget(&released, |flows, (_, container)| flows.answered_by(*container));
        taken.map(|()| released)
    }
}

fn addresses(endpoint: &Endpoint) -> BTreeSet<IpAddr> {
    let v6 = endpoint.ipv6.map(|net| net.addr().into());
    [Some(endpoint.address.into()), v6].into_iter().flatten().collect()
}

fn published(endpoint: &Endpoint, ports: &[Port]) -> Vec<Published> {
    ports.iter().map(|port| (port.clone(), endpoint.led_to(port.host_ip))).collect()
}

impl Ground {
    /// Makes of one state of the tables another; of both families or of none.
    fn change_entries(&self, before: &BTreeSet<Entry>, after: &BTreeSet<Entry>) -> Result<(), Error> {
        let mut done: Vec<Family> = Vec::new();
        for (family, (old, new)) in differences(before, after) {
            if let Err(e) = self.change(family, |rules, t| rules.exchange(t, &old, &new)) {
                for family in done {
                    let (old, new) = differences(after, before).remove(&family).unwrap_or_default();
                    let _ = self.change(family, |rules, t| rules.exchange(t, &old, &new));
                }
                return Err(e);
            }
            done.push(family);
        }
        Ok(())
    }

    /// The same where some of `before` is not there any more.
    fn change_one_by_one(&self, before: &BTreeSet<Entry>, after: &BTreeSet<Entry>) -> Result<(), Error> {
        let steps = differences(before, after).into_iter().flat_map(|(family, (old, new))| {
            let old = old.into_iter().map(move |entry| (family, vec![entry], Vec::new()));
            old.chain(new.into_iter().map(move |entry| (family, Vec::new(), vec![entry])))
        });
        for (family, old, new) in steps {
            match self.change(family, |rules, t| rules.exchange(t, &old, &new)) {
                Err(e) if !is_absent(&e) => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    /// A UDP flow goes on where it went before its port was (un)published, as long as packets come: it must be
    /// forgotten. TCP has ends of its own. That it fails is told, not fatal.
    fn forget(&self, ports: &[Published], which: impl Fn(Flows, &Published) -> Flows) {
        let is_led = |port: &Port| port.protocol == Protocol::Udp && port.host_port != 0;
        let udp = ports.iter().filter(|published| is_led(&published.0) && !is_relayed(published));
        let mut sorts: Vec<Flows> = Vec::new();
        for published in udp {
            let sort = which(Flows::of(published.0.protocol.number(), published.0.host_ip), published);
            if sorts.last() != Some(&sort) {
                sorts.push(sort);
            }
        }
        self.forget_or_tell(&sorts);
    }

    /// Every flow that came by these ports, of whatever protocol.
    fn forget_all(&self, ports: &[Published]) {
        let sort = |(port, container): &Published| {
            let flows = Flows::of(port.protocol.number(), *container).answered_by(*container);
            let to = if port.host_port == 0 { port.container_port } else { port.host_port };
            flows.sent_to((to, to))
        };
        self.forget_or_tell(&ports.iter().filter(|port| !is_relayed(port)).map(sort).collect::<Vec<_>>());
    }

    fn forget_or_tell(&self, sorts: &[Flows]) {
        if sorts.is_empty() {
            return;
        }
        if let Err(e) = self.filters.with(|socket| socket.forget(&Flows::joined(sorts))) {
            tracing::warn!("{}", base::chain(&e));
        }
    }
}

type Difference = BTreeMap<Family, (Vec<Entry>, Vec<Entry>)>;

/// What goes and what comes, by family.
fn differences(before: &BTreeSet<Entry>, after: &BTreeSet<Entry>) -> Difference {
    let mut all = Difference::new();
    for entry in before.difference(after) {
        all.entry(entry.family()).or_default().0.push(entry.clone());
    }
    for entry in after.difference(before) {
        all.entry(entry.family()).or_default().1.push(entry.clone());
    }
    all
}

pub(crate) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Netlink { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}
