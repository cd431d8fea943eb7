//! A question, answered from the names of a container's networks.

use crate::{Names, View};
use hickory_proto::op::Query;
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::IpAddr;

/// How long an answer may be kept, in seconds. Docker says 600; containers come and go faster than that, and programs that
/// keep answers (nginx, Java) then go on asking one that is no more.
const TTL: u32 = 5;

/// The records for a question; empty when the name is known and has none of this type, `None` when nobody here knows it.
pub(crate) fn records(names: &Names, view: &View, question: &Query) -> Option<Vec<Record>> {
    if !matches!(question.query_class, DNSClass::IN | DNSClass::ANY) {
        return None;
    }
    if question.query_type == RecordType::PTR
        && let Some(address) = address_in(&question.name)
    {
        let owner = view.networks.iter().find_map(|network| names.within(network, |zone| zone.owner(address)))?;
        let target = Name::from_ascii(format!("{owner}.")).ok()?;
        return Some(vec![record(question, RData::PTR(PTR(target)))]);
    }
    let addresses = addresses(names, view, &text(&question.name)?)?;
    let wanted = addresses.into_iter().filter_map(|address| match (question.query_type, address) {
        (RecordType::A | RecordType::ANY, IpAddr::V4(v4)) => Some(record(question, RData::A(A(v4)))),
        (RecordType::AAAA | RecordType::ANY, IpAddr::V6(v6)) => Some(record(question, RData::AAAA(AAAA(v6)))),
        _ => None,
    });
    let mut wanted: Vec<Record> = wanted.collect();
    rotate(&mut wanted);
    Some(wanted)
}

fn record(question: &Query, data: RData) -> Record {
    Record::from_rdata(question.name.clone(), TTL, data)
}

/// Begins somewhere else each time. At random, not in turn: who asks for A and AAAA in one go would meet every second only.
fn rotate(records: &mut [Record]) {
    if records.len() > 1 {
        let by = usize::from(rand_u16()) % records.len();
        records.rotate_left(by);
    }
}

fn rand_u16() -> u16 {
    let mut bytes = [0; 2];
    // Two bytes are never delivered in part; if they were none, the first would be first.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u16::from_ne_bytes(bytes)
}

/// Names may have dots, and so may networks: `a.b.c` is `a.b.c`, or `a.b` on network `c`, or `a` on network `b.c`.
fn addresses(names: &Names, view: &View, name: &str) -> Option<Vec<IpAddr>> {
    let ways = std::iter::once((name, None))
        .chain(name.rmatch_indices('.').map(|(at, _)| (&name[..at], Some(&name[at + 1..]))));
    for (name, network_name) in ways {
        if let Some(target) =
            view.links.iter().find_map(|(alias, target)| alias.eq_ignore_ascii_case(name).then_some(target))
            && let Some(found) = search(names, view, &target.to_ascii_lowercase(), network_name)
        {
            return Some(found);
        }
        if let Some(found) = search(names, view, name, network_name) {
            return Some(found);
        }
    }
    None
}

fn search(names: &Names, view: &View, name: &str, network_name: Option<&str>) -> Option<Vec<IpAddr>> {
    view.networks.iter().find_map(|network| {
        names.within(network, |zone| match network_name {
            Some(wanted) if wanted != zone.name() => None,
            _ => zone.addresses(name),
        })
    })
}

/// The name in lower case without its last dot; `None` for the root and for what is not text.
pub(crate) fn text(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(std::str::from_utf8(label).ok()?);
    }
    text.make_ascii_lowercase();
    (!text.is_empty()).then_some(text)
}

/// The address that a name below in-addr.arpa or ip6.arpa stands for, when it is a whole one.
pub(crate) fn address_in(name: &Name) -> Option<IpAddr> {
    let network = name.parse_arpa_name().ok()?;
    (network.prefix_len() == network.max_prefix_len()).then(|| network.addr())
}
