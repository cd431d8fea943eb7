//! A container with a policy: its addresses, what its names led to, and the members of sets that follow.

use super::areas::{Area, Wanted, disjoint};
use super::policy::{Policy, Ports, Rule, Stance, What};
use super::rules::{Members, Name, Speaker};
use super::usage::{Tried, merge, shown};
use crate::Endpoint;
use ipnet::IpNet;
use netlink::nft::{self, Family};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An answer opens an address at least and at most this long, whatever it says of itself; those who ask are told no more than the most.
const SHORTEST: Duration = Duration::from_secs(60);
pub(super) const LONGEST: Duration = Duration::from_secs(3600);
/// And this much longer, for those who connect at the last moment.
const GRACE: Duration = Duration::from_secs(60);
/// Addresses that names opened at a time; and names that are remembered to be shown.
const MOST_PINS: usize = 4096;
const MOST_NAMES: usize = 4096;
const MOST_REFUSED_NAMES: usize = 256;
/// Refusals that are told of, in this time.
const MOST_TOLD: u32 = 100;
const TELLING: Duration = Duration::from_secs(10);

/// A container with a policy.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) addresses: Vec<IpAddr>,
    speakers: Vec<Speaker>,
    subnets: Vec<IpNet>,
    pub(super) policy: Arc<Policy>,
    /// What answers opened, by name and address.
    answers: HashMap<(String, IpAddr), Instant>,
    /// Pins of an earlier engine, whose names nobody knows any more.
    inherited: Vec<(Pin, Instant)>,
    /// The last name that led to an address.
    names: HashMap<IpAddr, String>,
    pub(super) refused_names: HashMap<String, RefusedName>,
    /// What was refused, and what was reached, before the tables were made anew.
    kept_refused: Vec<Tried>,
    kept_learned: Vec<Tried>,
    /// How many refusals were told of, and since when.
    told: Option<(Instant, u32)>,
}

/// A name that was not to be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefusedName {
    pub(super) count: u64,
    pub(super) last: std::time::SystemTime,
}

/// A pin as it stands in a set.
pub(super) type Pin = (Family, Name, nft::Member, Duration);

impl Member {
    /// With what its names led to `before`, judged anew.
    pub(super) fn new(ends: &[Endpoint], policy: Arc<Policy>, before: Option<&Member>) -> Member {
        let own = |end: &Endpoint| {
            let v6 = end.ipv6.map(|net| IpAddr::from(net.addr()));
            std::iter::once(IpAddr::from(end.address)).chain(v6).collect::<Vec<_>>()
        };
        let subnet = |end: &Endpoint| {
            let v4 = ipnet::Ipv4Net::new(end.address, end.prefix).ok().map(|net| IpNet::from(net.trunc()));
            [v4, end.ipv6.map(|net| IpNet::from(net.trunc()))].into_iter().flatten().collect::<Vec<_>>()
        };
        let speakers = ends
            .iter()
            .filter(|end| !end.host_link.is_empty())
            .map(|end| Speaker { link: end.host_link.clone(), addresses: own(end) })
            .collect();
        Member {
            addresses: ends.iter().flat_map(own).collect(),
            speakers,
            subnets: ends.iter().flat_map(subnet).collect(),
            policy,
            answers: before.map(|before| before.answers.clone()).unwrap_or_default(),
            inherited: Vec::new(),
            names: before.map(|before| before.names.clone()).unwrap_or_default(),
            refused_names: before.map(|before| before.refused_names.clone()).unwrap_or_default(),
            kept_refused: before.map(|before| before.kept_refused.clone()).unwrap_or_default(),
            kept_learned: before.map(|before| before.kept_learned.clone()).unwrap_or_default(),
            told: before.and_then(|before| before.told),
        }
    }

    pub(super) fn speakers(&self) -> &[Speaker] {
        &self.speakers
    }

    /// Notes a refusal; whether it is the first of this name.
    pub(super) fn refuse_name(&mut self, name: &str) -> bool {
        let last = std::time::SystemTime::now();
        if let Some(refused) = self.refused_names.get_mut(name) {
            refused.count += 1;
            refused.last = last;
            return false;
        }
        if self.refused_names.len() >= MOST_REFUSED_NAMES {
            // The one that was asked for longest ago makes room; its count is lost.
            let oldest = self.refused_names.iter().min_by_key(|(_, refused)| refused.last);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.refused_names.remove(&oldest);
            }
        }
        self.refused_names.insert(name.to_owned(), RefusedName { count: 1, last });
        true
    }

    /// Whether one more refusal may be told of; it counts.
    pub(super) fn may_tell(&mut self, now: Instant) -> bool {
        let current = self.told.filter(|(since, _)| now.saturating_duration_since(*since) < TELLING);
        let (since, count) = current.unwrap_or((now, 0));
        self.told = Some((since, count.saturating_add(1)));
        count < MOST_TOLD
    }

    pub(super) fn kept_refused(&self) -> Vec<Tried> {
        self.kept_refused.clone()
    }

    pub(super) fn kept_learned(&self) -> Vec<Tried> {
        self.kept_learned.clone()
    }

    pub(super) fn keep_tried(&mut self, refused: Vec<Tried>, learned: Vec<Tried>) {
        merge(&mut self.kept_refused, refused);
        merge(&mut self.kept_learned, learned);
    }

    pub(super) fn name_of(&self, address: IpAddr) -> Option<String> {
        self.names.get(&address).cloned()
    }

    pub(super) fn has_pin(&self, address: IpAddr) -> bool {
        let now = Instant::now();
        self.answers.iter().any(|((_, to), until)| *to == address && *until > now)
    }

    /// Pins that hold, as people are shown them: address, name, and how long yet.
    pub(super) fn pins(&self, now: Instant) -> impl Iterator<Item = (IpAddr, &str, Duration)> {
        self.answers.iter().filter_map(move |((name, address), until)| {
            Some((*address, name.as_str(), until.checked_duration_since(now)?))
        })
    }

    /// Takes an answer in: the addresses that may be told, and the pins that are new or have to hold longer.
    pub(super) fn answer(&mut self, name: &str, found: &[(IpAddr, Duration)], now: Instant) -> (Vec<IpAddr>, Vec<Pin>) {
        let (mut kept, mut fresh) = (Vec::new(), Vec::new());
        self.answers.retain(|_, until| *until > now);
        for (address, holds) in found {
            let ports = self.policy.opened_by(name, *address);
            if ports.is_empty() && !self.policy.opens(*address) {
                continue;
            }
            if self.names.len() < MOST_NAMES || self.names.contains_key(address) {
                self.names.insert(*address, shown(name));
            }
            if !ports.is_empty() {
                let holds = (*holds).clamp(SHORTEST, LONGEST) + GRACE;
                let key = (name.to_owned(), *address);
                let before = self.answers.get(&key).copied();
                // The minute more is what saves work: who asks again and again has not the kernel at it each time.
                let is_good = before.is_some_and(|until| until >= now + holds - GRACE);
                if !is_good {
                    if before.is_none() && self.answers.len() >= MOST_PINS {
                        continue;
                    }
                    self.answers.insert(key, now + holds);
                    fresh.extend(self.pins_of(*address, &ports, holds));
                }
            }
            kept.push(*address);
        }
        (kept, fresh)
    }

    /// The pins of an address, for each of the container's own of that family.
    fn pins_of(&self, to: IpAddr, ports: &[Ports], holds: Duration) -> Vec<Pin> {
        let family = family_of(to);
        let mut pins = Vec::new();
        for own in self.addresses.iter().filter(|own| own.is_ipv4() == to.is_ipv4()) {
            let pair = || nft::Member::new().address(*own).address(to);
            for ports in ports {
                if *ports == Ports::ALL {
                    pins.push((family, Name::Pins, pair(), holds));
                    continue;
                }
                for ((protocol, _), (first, last)) in ports.ranges() {
                    let at = |port| pair().protocols(protocol, protocol).ports(port, port);
                    pins.extend((first..=last).map(|port| (family, Name::PinsAt, at(port), holds)));
                }
            }
        }
        pins
    }

    /// Takes over a pin of an earlier engine, if it is this container's.
    pub(super) fn inherit(&mut self, family: Family, name: Name, key: &[u8], left: Duration) {
        let is_own = self.addresses.iter().any(|address| match (address, family) {
            (IpAddr::V4(own), Family::Ip) => key.starts_with(&own.octets()),
            (IpAddr::V6(own), Family::Ip6) => key.starts_with(&own.octets()),
            _ => false,
        });
        if is_own {
            self.inherited.push(((family, name, nft::Member::told(key), left), Instant::now() + left));
        }
    }

    /// All members of sets that this container needs.
    pub(super) fn members(&self, family: Family, now: Instant) -> Members {
        let mut members = Members::new();
        let mut put = |name: Name, member: nft::Member| members.entry(name).or_default().push((member, None));
        self.speakers.iter().for_each(|speaker| put(Name::Links, nft::Member::new().link(&speaker.link)));
        for own in self.addresses.iter().copied().filter(|own| family_of(*own) == family) {
            put(Name::Policed, nft::Member::new().address(own));
            if self.policy.stance == Stance::Allow {
                put(Name::Open, nft::Member::new().address(own));
            }
            if self.policy.learn {
                put(Name::Learning, nft::Member::new().address(own));
            }
            for (first, last) in self.subnets.iter().filter_map(|net| bounds(net, family)) {
                put(Name::Nearby, nft::Member::new().address(own).addresses(first, last));
            }
            let mut areas: BTreeMap<Name, Vec<Wanted>> = BTreeMap::new();
            let allowed = self.policy.allow.iter().filter_map(|rule| allowing(family, rule));
            let denied = self.policy.deny.iter().filter_map(|rule| denying(family, rule));
            allowed.chain(denied).for_each(|(name, area)| areas.entry(name).or_default().push(area));
            for (name, areas) in areas {
                disjoint(&areas).into_iter().for_each(|area| put(name, covering(name, own, area)));
            }
        }
        for (_, name, member, left) in self.live_pins(now).into_iter().filter(|pin| pin.0 == family) {
            members.entry(name).or_default().push((member, Some(left)));
        }
        members
    }

    /// Pins that still hold, each once, with the longest time of those that are the same.
    pub(super) fn live_pins(&self, now: Instant) -> Vec<Pin> {
        let mut all: BTreeMap<(bool, Name, nft::Member), Duration> = BTreeMap::new();
        let mut keep = |(family, name, member, left): Pin| {
            let longest = all.entry((family == Family::Ip, name, member)).or_default();
            *longest = left.max(*longest);
        };
        let left = |until: &Instant| until.checked_duration_since(now).filter(|left| !left.is_zero());
        for ((name, address), until) in &self.answers {
            let Some(left) = left(until) else { continue };
            let ports = self.policy.opened_by(name, *address);
            self.pins_of(*address, &ports, left).into_iter().for_each(&mut keep);
        }
        for ((family, name, member, _), until) in &self.inherited {
            let Some(left) = left(until) else { continue };
            keep((*family, *name, member.clone(), left));
        }
        let family = |is_v4: bool| if is_v4 { Family::Ip } else { Family::Ip6 };
        all.into_iter().map(|((is_v4, name, member), left)| (family(is_v4), name, member, left)).collect()
    }
}

fn allowing(family: Family, rule: &Rule) -> Option<(Name, Wanted)> {
    let name = match &rule.what {
        What::Net(net) => return Some((Name::Allowed, (bounds_as_numbers(net, family)?, rule.ports))),
        What::Anywhere if rule.private => Name::AnywherePrivate,
        What::Anywhere => Name::Anywhere,
        What::Host => Name::ToHost,
        What::Name(_) => return None,
    };
    Some((name, ((0, 0), rule.ports)))
}

fn denying(family: Family, rule: &Rule) -> Option<(Name, Wanted)> {
    match &rule.what {
        What::Net(net) => Some((Name::Denied, (bounds_as_numbers(net, family)?, rule.ports))),
        What::Anywhere => Some((Name::Denied, (bounds_as_numbers(&everywhere(family), family)?, rule.ports))),
        What::Host => Some((Name::NotHost, ((0, 0), rule.ports))),
        What::Name(_) => None,
    }
}

/// An area as a member of its set: those of addresses have them in their key, the others have ports alone.
fn covering(name: Name, own: IpAddr, area: Area) -> nft::Member {
    let member = nft::Member::new().address(own);
    let member = match name {
        Name::Allowed | Name::Denied => {
            let (first, last) = area.addresses;
            member.addresses(number_as_address(first, own), number_as_address(last, own))
        }
        _ => member,
    };
    member.protocols(area.protocols.0, area.protocols.1).ports(area.ports.0, area.ports.1)
}

fn number_as_address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

fn everywhere(family: Family) -> IpNet {
    let any: IpAddr = if family == Family::Ip { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    IpNet::new_assert(any, 0)
}

/// The first and the last address of a subnet of this family.
fn bounds(net: &IpNet, family: Family) -> Option<(IpAddr, IpAddr)> {
    (family_of(net.addr()) == family).then(|| (net.network(), net.broadcast()))
}

fn bounds_as_numbers(net: &IpNet, family: Family) -> Option<(u128, u128)> {
    let number = |address| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    bounds(net, family).map(|(first, last)| (number(first), number(last)))
}

pub(super) fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ip } else { Family::Ip6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        let policy = Policy::read(Stance::Deny, &["a.org".to_owned()], &[], false).unwrap();
        Member { addresses: vec![Ipv4Addr::new(10, 9, 0, 2).into()], ..Member::new(&[], Arc::new(policy), None) }
    }

    #[test]
    fn an_address_stays_open_for_as_long_as_its_last_answer_says() {
        let (mut member, begin) = (member(), Instant::now());
        let five_minutes = [(IpAddr::from([192, 0, 2, 1]), Duration::from_secs(300))];
        let mut asked = |seconds| member.answer("a.org", &five_minutes, begin + Duration::from_secs(seconds)).1.len();
        assert_eq!([0, 59, 100, 130].map(&mut asked), [1, 0, 1, 0]);
    }

    #[test]
    fn of_very_many_refusals_some_are_told() {
        let (mut member, begin) = (member(), Instant::now());
        let told = (0..1000).filter(|_| member.may_tell(begin)).count();
        assert_eq!(told, MOST_TOLD as usize);
        assert!(member.may_tell(begin + TELLING));
    }
}
