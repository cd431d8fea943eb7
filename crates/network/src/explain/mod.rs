//! What becomes of a packet to a port of this machine: which rule of ours leads it where, and which of others stops it.
//!
//! Nothing is sent: the rules are read and followed ([`judge`]), for a first packet of which some is known ([`packet`]). Rules of
//! iptables-legacy cannot be read so; that there are some is told.

mod iptables;
mod judge;
mod packet;

pub use judge::{Fate, How, Stop};

use crate::bridge::Bridge;
use crate::gate::Firewall;
use crate::ports::is_relayed;
use crate::rules::Published;
use crate::{Error, Ground, Port, Protocol, owner};
use judge::{Hook, Judge};
use netlink::nft::ruleset::Ruleset;
use packet::{DNAT, Link, Packet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// What becomes of packets to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub firewall: Firewall,
    /// The nft tables of this engine.
    pub table: String,
    pub ways: Vec<Way>,
    /// The program of this machine that has the port, where no container has it.
    pub listener: Option<String>,
    /// Where no container has it: what the machine's rules say of a packet from outside.
    pub input: Option<Fate>,
    /// There are rules of iptables-legacy, which were not looked at.
    pub has_legacy: bool,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Another machine.
    Outside,
    /// A program of this machine.
    Machine,
    /// Another container.
    Container,
}

/// From somebody to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    pub sender: Sender,
    /// As it is published; port 0 of the host: reached at the container's own address.
    pub port: Port,
    pub container: IpAddr,
    pub bridge: String,
    pub outcome: Outcome,
}

/// How it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Reaches,
    MayStop(Place, Stop),
    Stops(Place, Stop),
    /// It is published on an address that only this machine reaches.
    LoopbackOnly,
}

/// Where on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// As it comes in.
    Arrival,
    /// As packets to the machine itself.
    Input,
    /// As packets that the machine passes on.
    Forward,
    /// As packets of the machine's own.
    Output,
}

impl Ground {
    /// Follows packets to a port of this machine. `bridges` are the networks of the engine.
    pub fn explain(&self, protocol: Protocol, port: u16, bridges: &[Arc<Bridge>]) -> Result<Explanation, Error> {
        let ruleset: Ruleset = self.filters.with(netlink::Socket::ruleset)?;
        let fetch = |family: u8, table: &str, set: &str| {
            self.filters.with(|socket| socket.elements_told(family, table, set)).unwrap_or_default()
        };
        let judge = Judge::new(&ruleset, &fetch);
        let view = View { judge, ground: self, bridges, outside: self.outside(bridges)? };
        let mut ways = Vec::new();
        let published: Vec<Published> = self.ports.leading_from(protocol, port);
        for (port, container) in &published {
            for sender in [Sender::Outside, Sender::Machine, Sender::Container] {
                ways.extend(view.way(sender, port, *container));
            }
        }
        let is_free = published.is_empty();
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Ok(Explanation {
            firewall: self.firewall(),
            table: self.table().to_owned(),
            ways,
            listener: is_free.then(|| owner::of_port(protocol, any, port)).flatten(),
            input: is_free.then(|| view.input(protocol, port)),
            has_legacy: has_legacy(),
        })
    }
}

impl Ground {
    /// Where packets of other machines come in, most likely: by the default route's link, or the first one that is not ours.
    fn outside(&self, bridges: &[Arc<Bridge>]) -> Result<Link, Error> {
        if let Some(name) = default_link() {
            return Ok(Link::Named(name));
        }
        let gate = self.gate_out();
        let is_other = |link: &netlink::link::Link| {
            let is_ours = bridges.iter().any(|bridge| bridge.name == link.name) || gate.as_ref() == Some(&link.name);
            link.up && link.master.is_none() && link.name != "lo" && !is_ours && !link.name.starts_with("dp")
        };
        let mut links = self.routes.with(|socket| socket.links(None))?;
        links.sort_by_key(|link| link.index);
        Ok(links.into_iter().find(is_other).map_or(Link::Any, |link| Link::Named(link.name)))
    }
}

struct View<'a> {
    judge: Judge<'a>,
    ground: &'a Ground,
    bridges: &'a [Arc<Bridge>],
    outside: Link,
}

impl View<'_> {
    fn way(&self, sender: Sender, port: &Port, container: IpAddr) -> Option<Way> {
        let bridge = self.bridges.iter().find(|bridge| bridge.has(container))?;
        let outcome = match sender {
            Sender::Outside | Sender::Container if is_relayed(&(port.clone(), container)) => {
                self.of_relay(port, container, bridge)
            }
            Sender::Outside => self.of_outside(port, container, bridge),
            Sender::Machine => self.of_machine(port, container, bridge),
            Sender::Container => self.of_container(port, container, bridge),
        };
        Some(Way { sender, port: port.clone(), container, bridge: bridge.name.clone(), outcome })
    }

    fn of_outside(&self, port: &Port, container: IpAddr, bridge: &Bridge) -> Outcome {
        if port.host_ip.is_loopback() {
            return Outcome::LoopbackOnly;
        }
        let is_direct = port.host_port == 0;
        let mut arriving = Packet {
            from: Some(self.outside.clone()),
            to: None,
            source: None,
            source_is_local: false,
            destination: if is_direct { Some(container) } else { Some(port.host_ip).filter(|ip| !ip.is_unspecified()) },
            destination_is_local: !is_direct,
            is_v4: container.is_ipv4(),
            protocol: port.protocol.number(),
            port: if is_direct { port.container_port } else { port.host_port },
            status: 0,
        };
        let mut steps = vec![(Place::Arrival, self.judge.at(Hook::Prerouting, &arriving, None))];
        if self.ground.firewall() == Firewall::Host && !is_direct {
            steps.push((Place::Input, self.judge.at(Hook::Input, &arriving, Some(self.ground.table()))));
            arriving.from = self.ground.gate_out().map(Link::Named).or(arriving.from);
        }
        let passed_on = Packet {
            to: Some(Link::Named(bridge.name.clone())),
            destination: Some(container),
            destination_is_local: false,
            port: port.container_port,
            status: if is_direct { 0 } else { DNAT },
            ..arriving
        };
        steps.push((Place::Forward, self.judge.at(Hook::Forward, &passed_on, None)));
        first(steps)
    }

    fn of_machine(&self, port: &Port, container: IpAddr, bridge: &Bridge) -> Outcome {
        let packet = Packet {
            from: None,
            to: Some(Link::Named(bridge.name.clone())),
            source: None,
            source_is_local: true,
            ..to_container(port, container)
        };
        first(vec![(Place::Output, self.judge.at(Hook::Output, &packet, None))])
    }

    /// From a container of another network, where there is one: those of the same speak to each other without the machine.
    fn of_container(&self, port: &Port, container: IpAddr, bridge: &Bridge) -> Outcome {
        if port.host_ip.is_loopback() {
            return Outcome::LoopbackOnly;
        }
        let other = self.bridges.iter().find(|other| other.name != bridge.name && !other.internal);
        let from = other.map_or(bridge.name.clone(), |other| other.name.clone());
        let packet = Packet {
            from: Some(Link::Named(from)),
            to: Some(Link::Named(bridge.name.clone())),
            source: None,
            source_is_local: false,
            ..to_container(port, container)
        };
        first(vec![(Place::Forward, self.judge.at(Hook::Forward, &packet, None))])
    }

    /// To the engine, which carries it on.
    fn of_relay(&self, port: &Port, container: IpAddr, bridge: &Bridge) -> Outcome {
        if port.host_ip.is_loopback() {
            return Outcome::LoopbackOnly;
        }
        let packet = Packet { is_v4: false, ..self.to_here(port.protocol, port.host_port) };
        let arriving = (Place::Arrival, self.judge.at(Hook::Prerouting, &packet, None));
        let coming_in = (Place::Input, self.judge.at(Hook::Input, &packet, None));
        match first(vec![arriving, coming_in]) {
            Outcome::Reaches => self.of_machine(port, container, bridge),
            stopped => stopped,
        }
    }

    /// To a program of this machine.
    fn input(&self, protocol: Protocol, port: u16) -> Fate {
        let packet = self.to_here(protocol, port);
        match self.judge.at(Hook::Prerouting, &packet, None) {
            Fate::Passes => self.judge.at(Hook::Input, &packet, None),
            stopped => stopped,
        }
    }

    fn to_here(&self, protocol: Protocol, port: u16) -> Packet {
        Packet {
            from: Some(self.outside.clone()),
            to: None,
            source: None,
            source_is_local: false,
            destination: None,
            destination_is_local: true,
            is_v4: true,
            protocol: protocol.number(),
            port,
            status: 0,
        }
    }
}

/// With its destination rewritten.
fn to_container(port: &Port, container: IpAddr) -> Packet {
    Packet {
        from: None,
        to: None,
        source: None,
        source_is_local: false,
        destination: Some(container),
        destination_is_local: false,
        is_v4: container.is_ipv4(),
        protocol: port.protocol.number(),
        port: port.container_port,
        status: if port.host_port == 0 { 0 } else { DNAT },
    }
}

/// The first that stops it for certain, or else the first that may.
fn first(steps: Vec<(Place, Fate)>) -> Outcome {
    let mut may = None;
    for (place, fate) in steps {
        match fate {
            Fate::Stops(stop) => return Outcome::Stops(place, stop),
            Fate::MayStop(stop) => may = may.or(Some(Outcome::MayStop(place, stop))),
            Fate::Passes => {}
        }
    }
    may.unwrap_or(Outcome::Reaches)
}

/// The link of the default route.
fn default_link() -> Option<String> {
    let table = fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    let is_default = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some("00000000") && fields.nth(5) == Some("00000000")
    };
    let link = table.lines().skip(1).find(is_default).and_then(|line| line.split_whitespace().next());
    link.map(str::to_owned)
}

/// Whether iptables-legacy has a table of filters.
fn has_legacy() -> bool {
    let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    read("ip_tables_names").lines().chain(read("ip6_tables_names").lines()).any(|name| name == "filter")
}
