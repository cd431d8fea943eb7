//! Matches and targets of iptables, as far as firewalls use them (linux/netfilter/xt_*.h).

use super::judge::{Ended, How, Truth};
use super::packet::{DNAT, NEW, Packet};

/// What a match says of a packet.
pub(super) fn matches(name: &str, revision: u32, info: &[u8], packet: &Packet) -> Truth {
    match name {
        "comment" => Truth::told(Some(true)),
        "tcp" | "udp" => Truth::told(ports(name, info, packet)),
        "multiport" => Truth::told(multiport(info, packet)),
        "conntrack" if (1..=3).contains(&revision) => Truth::told(conntrack(info, packet)),
        "state" => Truth::told(state(info)),
        "addrtype" => Truth::told(address_type(revision, info, packet)),
        // It lets so many pass; of one packet nobody can say.
        "limit" => Truth::told(Some(true)),
        _ => Truth::told(None),
    }
}

/// What a target does; `None`: it decides nothing.
pub(super) fn target(name: &str) -> Option<Ended> {
    match name {
        "REJECT" => Some(Ended::Stop(How::Reject)),
        "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" => Some(Ended::Accept),
        _ => None,
    }
}

fn word(info: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(info.get(at..at + 2)?.try_into().ok()?))
}

/// `struct xt_tcp`, `struct xt_udp`: first and last of the source's and of the destination's ports; inversions.
fn ports(name: &str, info: &[u8], packet: &Packet) -> Option<bool> {
    let number = if name == "tcp" { 6 } else { 17 };
    if packet.protocol != number {
        return Some(false);
    }
    let [source_first, source_last, first, last] = [0, 2, 4, 6].map(|at| word(info, at));
    let inversions = *info.get(if name == "tcp" { 11 } else { 8 })?;
    let flags_asked = name == "tcp" && info.get(9).is_some_and(|mask| *mask != 0);
    if (source_first?, source_last?) != (0, u16::MAX) || flags_asked {
        return None;
    }
    let within = (first?..=last?).contains(&packet.port);
    Some(within != (inversions & 2 != 0))
}

/// `struct xt_multiport_v1`: flags (0 source, 1 destination, 2 either), count, ports, which of them begin ranges, inversion.
fn multiport(info: &[u8], packet: &Packet) -> Option<bool> {
    let (flags, count) = (*info.first()?, usize::from(*info.get(1)?));
    if flags != 1 {
        return None;
    }
    let port = |at: usize| word(info, 2 + 2 * at);
    let begins = |at: usize| info.get(32 + at).is_some_and(|begins| *begins != 0);
    let mut found = false;
    let mut at = 0;
    while at < count.min(15) {
        let first = port(at)?;
        let last = if begins(at) { port(at + 1)? } else { first };
        found |= (first..=last).contains(&packet.port);
        at += if begins(at) { 2 } else { 1 };
    }
    Some(found != info.get(47).is_some_and(|invert| *invert != 0))
}

/// `struct xt_conntrack_mtinfo3` and its forerunners: behind eight addresses, two numbers and five halves come the flags.
fn conntrack(info: &[u8], packet: &Packet) -> Option<bool> {
    const FLAGS: usize = 8 * 16 + 2 * 4 + 5 * 2;
    const STATE: u16 = 1;
    const STATE_DNAT: u16 = 1 << 7;
    let (flags, inverted) = (word(info, FLAGS)?, word(info, FLAGS + 2)?);
    if flags != STATE {
        return None;
    }
    let states = word(info, FLAGS + 4)?;
    let is_new = u32::from(states) & NEW != 0;
    let is_dnat = states & STATE_DNAT != 0 && packet.status & DNAT != 0;
    Some((is_new || is_dnat) != (inverted & STATE != 0))
}

/// `struct xt_state_info`
fn state(info: &[u8]) -> Option<bool> {
    let mask = u32::from_ne_bytes(info.get(..4)?.try_into().ok()?);
    Some(mask & NEW != 0)
}

/// `struct xt_addrtype_info` and `_v1`: bits of types of source and destination, inversions.
fn address_type(revision: u32, info: &[u8], packet: &Packet) -> Option<bool> {
    const UNICAST: u16 = 1 << 1;
    const LOCAL: u16 = 1 << 2;
    let flags = u32::from_ne_bytes(info.get(4..8)?.try_into().ok()?);
    let (inverts_source, inverts_destination) =
        if revision == 0 { (flags != 0, info.get(8..12)? != [0; 4]) } else { (flags & 1 != 0, flags & 2 != 0) };
    let mut is = true;
    for (types, local, inverted) in [
        (word(info, 0)?, packet.source_is_local, inverts_source),
        (word(info, 2)?, packet.destination_is_local, inverts_destination),
    ] {
        if types != 0 {
            is &= (types & (if local { LOCAL } else { UNICAST }) != 0) != inverted;
        }
    }
    Some(is)
}
