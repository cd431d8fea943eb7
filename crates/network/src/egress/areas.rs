//! Ranges of addresses with their ports, cut so that none overlaps another: a set of the kernel takes no others.

use super::policy::Ports;
use std::collections::{BTreeMap, BTreeSet};

/// Addresses (as numbers), protocols and ports; all ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Area {
    pub(super) addresses: (u128, u128),
    pub(super) protocols: (u8, u8),
    pub(super) ports: (u16, u16),
}

/// A range of addresses (as numbers), and ports there.
pub(super) type Wanted = ((u128, u128), Ports);

/// What `wanted` covers together.
pub(super) fn disjoint(wanted: &[Wanted]) -> Vec<Area> {
    let mut cuts = BTreeSet::new();
    for ((first, last), _) in wanted {
        cuts.insert(*first);
        cuts.extend(last.checked_add(1));
    }
    let cuts: Vec<u128> = cuts.into_iter().collect();
    let mut pieces: Vec<((u128, u128), Vec<Ports>)> = Vec::new();
    for (at, first) in cuts.iter().enumerate() {
        let last = cuts.get(at + 1).map_or(u128::MAX, |next| next - 1);
        let here = |((from, to), _): &&Wanted| from <= first && last <= *to;
        let mut ports: Vec<Ports> = wanted.iter().filter(here).map(|(_, ports)| *ports).collect();
        if ports.is_empty() {
            continue;
        }
        ports.sort_unstable();
        ports.dedup();
        match pieces.last_mut() {
            Some(((_, end), same)) if *same == ports && end.checked_add(1) == Some(*first) => *end = last,
            _ => pieces.push(((*first, last), ports)),
        }
    }
    let area = |(addresses, ports): ((u128, u128), Vec<Ports>)| {
        merged(&ports).into_iter().map(move |(protocols, ports)| Area { addresses, protocols, ports })
    };
    pieces.into_iter().flat_map(area).collect()
}

/// Ranges of ports by protocol, those that touch as one.
fn merged(all: &[Ports]) -> Vec<((u8, u8), (u16, u16))> {
    if all.contains(&Ports::ALL) {
        return Ports::ALL.ranges();
    }
    let mut by_protocol: BTreeMap<u8, Vec<(u16, u16)>> = BTreeMap::new();
    for ((protocol, _), ports) in all.iter().flat_map(|ports| ports.ranges()) {
        by_protocol.entry(protocol).or_default().push(ports);
    }
    let mut ranges = Vec::new();
    for (protocol, mut ports) in by_protocol {
        ports.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for (first, last) in ports {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        ranges.extend(joined.into_iter().map(|ports| ((protocol, protocol), ports)));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(first: u16, last: u16) -> Ports {
        Ports { protocol: Some(6), range: Some((first, last)) }
    }

    fn shown(wanted: &[Wanted]) -> Vec<String> {
        let text = |area: Area| {
            let ((a, b), (p, q), (x, y)) = (area.addresses, area.protocols, area.ports);
            format!("{a}-{b} {p}-{q} {x}-{y}")
        };
        disjoint(wanted).into_iter().map(text).collect()
    }

    #[test]
    fn ranges_within_others_are_cut_out() {
        let wanted = [((0, 9), tcp(80, 80)), ((3, 4), Ports::ALL), ((3, 12), tcp(81, 90))];
        let parts = ["0-2 6-6 80-80", "3-4 0-255 0-65535", "5-9 6-6 80-90", "10-12 6-6 81-90"];
        assert_eq!(shown(&wanted), parts);
    }

    #[test]
    fn what_touches_is_one_and_the_same_twice_is_once() {
        assert_eq!(shown(&[((0, 4), tcp(1, 1)), ((5, 9), tcp(1, 1)), ((0, 9), tcp(1, 1))]), ["0-9 6-6 1-1"]);
        assert_eq!(shown(&[((7, u128::MAX), Ports::ALL)]), [format!("7-{} 0-255 0-65535", u128::MAX)]);
        assert_eq!(shown(&[]), [] as [String; 0]);
    }
}
