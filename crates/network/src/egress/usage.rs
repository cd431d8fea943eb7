//! What containers tried and used, as the kernel counted it and the name server heard it.

use super::member::Member;
use super::rules::{MEMORY, Name};
use super::{Egress, FAMILIES, State};
use crate::Error;
use netlink::nft::{Family, Told};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant, SystemTime};

/// What a container with a policy did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Where it was not let to, the latest first.
    pub refused: Vec<Tried>,
    /// Names that it was not told about: name, how often, when last; the latest first.
    pub refused_names: Vec<(String, u64, SystemTime)>,
    /// What it reached, while it learns.
    pub learned: Vec<Tried>,
    /// What names have opened to it at the moment.
    pub pins: Vec<Pinned>,
}

/// A place, and the packets that began a connection to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    pub address: IpAddr,
    /// 6 is TCP.
    pub protocol: u8,
    /// 0 where there is none.
    pub port: u16,
    /// The name that led there, if one did.
    pub name: Option<String>,
    pub packets: u64,
    pub last: SystemTime,
}

/// An address that a name opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    pub address: IpAddr,
    pub name: String,
    pub left: Duration,
}

impl Usage {
    /// Packets and questions that were refused.
    pub fn refusals(&self) -> u64 {
        let packets: u64 = self.refused.iter().map(|tried| tried.packets).sum();
        packets + self.refused_names.iter().map(|(_, count, _)| count).sum::<u64>()
    }

    /// A policy that lets through what was reached, one word for each place.
    pub fn lesson(&self) -> Vec<String> {
        let mut words: Vec<String> = self.learned.iter().map(Tried::word).collect();
        words.sort_unstable();
        words.dedup();
        words
    }
}

impl Tried {
    /// As a policy names it.
    fn word(&self) -> String {
        let is_private = super::places::place(self.address) != super::places::Place::World;
        let name = self.name.as_deref().filter(|name| super::policy::is_name(name));
        let what = match (name, self.address) {
            (Some(name), _) => name.to_owned(),
            (None, IpAddr::V6(address)) => format!("[{address}]"),
            (None, IpAddr::V4(address)) => address.to_string(),
        };
        let protocol = match self.protocol {
            6 => Some("tcp"),
            17 => Some("udp"),
            132 => Some("sctp"),
            _ => None,
        };
        let ports = protocol.map(|protocol| format!(":{protocol}/{}", self.port)).unwrap_or_default();
        let private = if is_private && name.is_some() { "@private" } else { "" };
        format!("{what}{ports}{private}")
    }
}

impl Egress {
    pub(super) fn usage_of(&self, state: &State, container: &str) -> Result<Usage, Error> {
        let Some(member) = state.members.get(container) else { return Ok(Usage::default()) };
        let mut refused = member.kept_refused();
        merge(&mut refused, self.tried(member, Name::Refused)?);
        let mut learned = member.kept_learned();
        if member.policy.learn {
            merge(&mut learned, self.tried(member, Name::Learned)?);
        }
        let latest = |all: &mut Vec<Tried>| all.sort_by_key(|tried| std::cmp::Reverse(tried.last));
        latest(&mut refused);
        latest(&mut learned);
        let names = member.refused_names.iter();
        let mut refused_names: Vec<_> = names.map(|(name, told)| (name.clone(), told.count, told.last)).collect();
        refused_names.sort_by_key(|(_, _, last)| std::cmp::Reverse(*last));
        let pins = member.pins(Instant::now());
        let mut pins: Vec<_> = pins.map(|(address, name, left)| Pinned { address, name: shown(name), left }).collect();
        pins.sort_by(|a, b| (&a.name, a.address).cmp(&(&b.name, b.address)));
        Ok(Usage { refused, refused_names, learned, pins })
    }

    fn tried(&self, member: &Member, name: Name) -> Result<Vec<Tried>, Error> {
        let mut all = Vec::new();
        for family in FAMILIES {
            let told = self.filters.with(|socket| socket.members(family, &self.table, name.text()))?;
            let own = told.iter().filter(|told| is_of(&told.key, &member.addresses));
            all.extend(own.filter_map(|told| read(family, told, member)));
        }
        Ok(all)
    }

    /// Before the tables are made anew.
    pub(super) fn remember_tried(&self, state: &mut State) {
        for member in state.members.values_mut() {
            let refused = self.tried(member, Name::Refused).unwrap_or_default();
            let learned = self.tried(member, Name::Learned).unwrap_or_default();
            member.keep_tried(refused, learned);
        }
    }
}

/// Whether the key begins with one of these addresses.
pub(super) fn is_of(key: &[u8], addresses: &[IpAddr]) -> bool {
    addresses.iter().any(|address| match address {
        IpAddr::V4(own) => key.len() == 16 && key.starts_with(&own.octets()),
        IpAddr::V6(own) => key.len() == 40 && key.starts_with(&own.octets()),
    })
}

fn read(family: Family, told: &Told, member: &Member) -> Option<Tried> {
    let (address, rest): (IpAddr, &[u8]) = match family {
        Family::Ip => (Ipv4Addr::from(*told.key.get(4..)?.first_chunk::<4>()?).into(), told.key.get(8..)?),
        Family::Ip6 => (Ipv6Addr::from(*told.key.get(16..)?.first_chunk::<16>()?).into(), told.key.get(32..)?),
    };
    let ago = told.left.map_or(Duration::ZERO, |left| told.kept.unwrap_or(MEMORY).saturating_sub(left));
    Some(Tried {
        address,
        protocol: *rest.first()?,
        port: u16::from_be_bytes([*rest.get(4)?, *rest.get(5)?]),
        name: member.name_of(address),
        packets: told.packets,
        last: SystemTime::now() - ago,
    })
}

/// A name as people and logs are shown it: who asks chooses its bytes, and a terminal or a shell may take them for something else.
pub fn shown(name: &str) -> String {
    name.escape_default().to_string()
}

/// The same place once.
pub(super) fn merge(all: &mut Vec<Tried>, more: Vec<Tried>) {
    for tried in more {
        let same = |other: &&mut Tried| {
            (other.address, other.protocol, other.port) == (tried.address, tried.protocol, tried.port)
        };
        match all.iter_mut().find(same) {
            Some(known) => {
                known.packets += tried.packets;
                known.last = known.last.max(tried.last);
                known.name = tried.name.or(known.name.take());
            }
            None => all.push(tried),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_a_policy_that_can_be_given_back() {
        let tried = |address: &str, protocol, port, name: Option<&str>| Tried {
            address: address.parse().unwrap(),
            protocol,
            port,
            name: name.map(str::to_owned),
            packets: 1,
            last: SystemTime::UNIX_EPOCH,
        };
        let usage = Usage {
            learned: vec![
                tried("192.0.2.1", 6, 443, Some("a.org")),
                tried("192.0.2.2", 6, 443, Some("a.org")),
                tried("10.0.0.1", 17, 53, Some("db.corp")),
                tried("2001:db8::1", 6, 22, None),
                tried("192.0.2.9", 1, 0, None),
                // Names that a shell or a policy would take for something else.
                tried("192.0.2.10", 6, 1, Some(&shown("';reboot;'.org"))),
                tried("192.0.2.11", 6, 1, Some("*.org")),
                tried("192.0.2.12", 6, 1, Some("host")),
            ],
            ..Usage::default()
        };
        let lesson = usage.lesson();
        let plain = ["192.0.2.10:tcp/1", "192.0.2.11:tcp/1", "192.0.2.12:tcp/1", "192.0.2.9"];
        let others = ["[2001:db8::1]:tcp/22", "a.org:tcp/443", "db.corp:udp/53@private"];
        assert_eq!(lesson, [&plain[..], &others].concat());
        assert!(crate::Policy::read(crate::Stance::Deny, &lesson, &[], false).is_ok());
    }
}
