//! What of the cache goes by itself, after builds: one policy after the other.

use super::{Filter, Prune, Space};
use std::time::Duration;

/// When the cache is made smaller without anybody asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Upkeep {
    /// It takes up a tenth of the disk at most (2 GB at least), and no more than images may.
    #[default]
    Usual,
    /// The usual, with these limits in place of it.
    Within(Limits),
    Policies(Vec<Policy>),
    /// Never.
    Off,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Also what images share.
    pub all: bool,
    /// What was used since then stays.
    pub keep_for: Option<Duration>,
    pub limits: Limits,
    /// Only what one of these fits; none: everything.
    pub filters: Vec<Filter>,
}

/// How much may stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub reserved: Option<Share>,
    pub most: Option<Share>,
    pub free: Option<Share>,
}

/// Of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Bytes(u64),
    Percent(u64),
}

/// Bytes of the disk that the data root is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    pub total: u64,
    pub free: u64,
}

impl Share {
    /// `10GB`, or `20%`.
    pub fn parse(text: &str) -> Option<Share> {
        match text.trim().strip_suffix('%') {
            Some(number) => number.trim().parse().ok().filter(|percent| *percent <= 100).map(Share::Percent),
            None => base::size::bytes(text.trim()).map(Share::Bytes),
        }
    }

    fn of(self, disk: Disk) -> u64 {
        match self {
            Share::Bytes(bytes) => bytes,
            Share::Percent(percent) => disk.total / 100 * percent,
        }
    }
}

impl Limits {
    pub(crate) fn of(self, disk: Disk) -> Space {
        let bytes = |share: Option<Share>| share.map(|share| share.of(disk)).filter(|bytes| *bytes > 0);
        Space { reserved: bytes(self.reserved), most: bytes(self.most), free: bytes(self.free) }
    }
}

impl Upkeep {
    /// What goes now, one after the other. `usual`: bytes that may stay when nothing else was said.
    pub(crate) fn prunes(&self, usual: u64, disk: Disk) -> Vec<Prune> {
        let within = |space| vec![Prune { space, ..Prune::default() }];
        match self {
            Upkeep::Off => Vec::new(),
            Upkeep::Usual => within(Space { most: Some(usual), ..Space::default() }),
            Upkeep::Within(limits) => within(limits.of(disk)),
            Upkeep::Policies(policies) => policies.iter().map(|policy| policy.prune(disk)).collect(),
        }
    }

    /// The same as rules, for those who ask what goes.
    pub(crate) fn policies(&self, usual: u64) -> Vec<Policy> {
        let one = |limits| vec![Policy { limits, ..Policy::default() }];
        match self {
            Upkeep::Off => Vec::new(),
            Upkeep::Usual => one(Limits { most: Some(Share::Bytes(usual)), ..Limits::default() }),
            Upkeep::Within(limits) => one(*limits),
            Upkeep::Policies(policies) => policies.clone(),
        }
    }
}

impl Policy {
    fn prune(&self, disk: Disk) -> Prune {
        let since = |age: Duration| {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            jiff::Timestamp::now().as_millisecond().saturating_sub(age)
        };
        let unused_since = self.keep_for.map(since);
        Prune { all: self.all, unused_since, space: self.limits.of(disk), filters: self.filters.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_sizes_or_parts_of_the_disk() {
        let disk = Disk { total: 1000, free: 100 };
        assert_eq!(Share::parse("20%").map(|share| share.of(disk)), Some(200));
        assert_eq!(Share::parse("1KB").map(|share| share.of(disk)), base::size::bytes("1KB"));
        for wrong in ["", "%", "120%", "much", "-1"] {
            assert_eq!(Share::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn policies_follow_each_other_and_off_is_none() {
        let disk = Disk { total: 1000, free: 100 };
        assert!(Upkeep::Off.prunes(5, disk).is_empty());
        assert_eq!(Upkeep::Usual.prunes(5, disk)[0].space.most, Some(5));
        let policy = Policy { keep_for: Some(Duration::from_secs(60)), ..Policy::default() };
        let prunes = Upkeep::Policies(vec![policy, Policy { all: true, ..Policy::default() }]).prunes(5, disk);
        assert_eq!((prunes.len(), prunes[0].unused_since.is_some(), prunes[1].all), (2, true, true));
    }
}
