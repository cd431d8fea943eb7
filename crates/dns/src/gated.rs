//! Questions and answers of a container with a gate: what may be asked, and what of an answer it gets to hear.

use crate::Gatekeeper;
use crate::lookup::{address_in, text};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

/// Whether this may be asked outside.
pub(crate) fn admits(gate: &Gatekeeper, question: &Query) -> bool {
    if question.query_type == RecordType::PTR
        && let Some(address) = address_in(&question.name)
    {
        return gate.0.admits_address(address);
    }
    text(&question.name).is_some_and(|name| gate.0.admits(&name))
}

/// An answer as it is told: with the addresses that the gate opened, and no others. One of which nothing is left has none; the name is
/// not said not to exist, as it may have addresses of the other family.
pub(crate) async fn pass(gate: Gatekeeper, mut answer: Message) -> Option<Message> {
    let question = answer.queries.first()?;
    let (asked, wanted) = (text(&question.name)?, question.name.clone());
    let found = addresses(&wanted, &answer.answers);
    answer.additionals.clear();
    let longest = u32::try_from(gate.0.longest().as_secs()).unwrap_or(u32::MAX);
    for record in &mut answer.answers {
        record.ttl = record.ttl.min(longest);
    }
    if !answer.answers.iter().any(|record| address_of(record).is_some()) {
        return Some(answer);
    }
    // The kernel has to know before the container does; that may take a moment.
    let opened = tokio::task::spawn_blocking(move || gate.0.opens(&asked, &found)).await.ok()?;
    answer.answers.retain(|record| address_of(record).is_none_or(|address| opened.contains(&address)));
    Some(answer)
}

/// The addresses of a name, by way of its aliases, in whatever order they stand.
fn addresses(asked: &Name, records: &[Record]) -> Vec<(IpAddr, Duration)> {
    let mut names = HashSet::from([asked.to_lowercase()]);
    loop {
        let targets: Vec<Name> = records
            .iter()
            .filter(|record| names.contains(&record.name.to_lowercase()))
            .filter_map(
                |record| if let RData::CNAME(target) = &record.data { Some(target.0.to_lowercase()) } else { None },
            )
            .filter(|target| !names.contains(target))
            .collect();
        if targets.is_empty() {
            break;
        }
        names.extend(targets);
    }
    let own = records.iter().filter(|record| names.contains(&record.name.to_lowercase()));
    own.filter_map(|record| Some((address_of(record)?, Duration::from_secs(record.ttl.into())))).collect()
}

fn address_of(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{A, CNAME};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn addresses_are_followed_by_way_of_aliases_and_others_are_nobodys() {
        let alias = |from: &str, to: &str| Record::from_rdata(name(from), 9, RData::CNAME(CNAME(name(to))));
        let address = |of: &str, last: u8| Record::from_rdata(name(of), 9, RData::A(A([192, 0, 2, last].into())));
        let records = [
            address("b.net.", 2),
            address("stranger.", 3),
            alias("A.org.", "m.net."),
            alias("m.net.", "B.net."),
            alias("b.net.", "a.org."),
        ];
        let found: Vec<_> = addresses(&name("a.ORG."), &records).into_iter().map(|(address, _)| address).collect();
        assert_eq!(found, ["192.0.2.2".parse::<IpAddr>().unwrap()]);
    }
}
