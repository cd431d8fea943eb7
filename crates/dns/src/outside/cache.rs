//! What name servers said, as long as they said it holds.

use super::Question;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers that are kept; with the usual few hundred bytes each some 2 MB.
const MOST: usize = 4096;
/// Longer ones are asked for each time: a container that asks a server of its own for long ones must not fill the memory.
const MOST_RECORDS: usize = 40;
const MOST_BYTES: usize = 4096;
/// No answer is kept longer than an hour, none that says "no" longer than half a minute: what was just set up is looked for.
const LONGEST: u32 = 3600;
const LONGEST_NO: u32 = 30;

#[derive(Debug, Default)]
pub(super) struct Cache(HashMap<Question, Kept>);

#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    since: Instant,
    until: Instant,
}

impl Cache {
    /// What is kept for a question, and its age in seconds.
    pub(super) fn get(&self, question: &Question, now: Instant) -> Option<(Arc<Message>, u32)> {
        let kept = self.0.get(question).filter(|kept| now < kept.until)?;
        let age = u32::try_from(now.saturating_duration_since(kept.since).as_secs()).unwrap_or(u32::MAX);
        Some((kept.message.clone(), age))
    }

    /// Keeps an answer if it may be kept.
    pub(super) fn put(&mut self, question: Question, message: &Arc<Message>, now: Instant) {
        let Some(seconds) = lifetime(message).filter(|&seconds| seconds > 0 && is_small(message)) else { return };
        if self.0.len() >= MOST {
            self.make_room(now);
        }
        let until = now + Duration::from_secs(seconds.into());
        self.0.insert(question, Kept { message: message.clone(), since: now, until });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is over goes; when too little is, an eighth goes as it comes (a hash map's order is as good as random).
    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, kept| now < kept.until);
        if self.0.len() > MOST - MOST / 8 {
            let going: Vec<Question> = self.0.keys().take(MOST / 8).cloned().collect();
            for question in going {
                self.0.remove(&question);
            }
        }
    }
}

fn is_small(message: &Message) -> bool {
    message.all_sections().take(MOST_RECORDS + 1).count() <= MOST_RECORDS
        && message.to_vec().is_ok_and(|bytes| bytes.len() <= MOST_BYTES)
}

/// The seconds that an answer may be kept; `None` for what is not to be kept (RFC 2308 for those that say "no").
fn lifetime(message: &Message) -> Option<u32> {
    if message.metadata.truncation {
        return None;
    }
    let shortest = message.all_sections().map(|record| record.ttl).min();
    match message.metadata.response_code {
        ResponseCode::NoError if !message.answers.is_empty() => shortest.map(|ttl| ttl.min(LONGEST)),
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let said = message.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
                _ => None,
            })?;
            Some(said.min(shortest.unwrap_or(said)).min(LONGEST_NO))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{OpCode, Query};
    use hickory_proto::rr::rdata::{A, SOA};
    use hickory_proto::rr::{Name, Record, RecordType};

    fn question(name: &str) -> Question {
        let query = Query::query(Name::from_ascii(name).unwrap(), RecordType::A);
        Question { query, dnssec_ok: false, checking_disabled: false }
    }

    fn address(ttl: u32) -> Arc<Message> {
        let mut message = Message::response(1, OpCode::Query);
        message.add_answer(Record::from_rdata(Name::from_ascii("x.").unwrap(), ttl, RData::A(A::new(10, 0, 0, 1))));
        Arc::new(message)
    }

    fn no_such_name(ttl: u32) -> Arc<Message> {
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.response_code = ResponseCode::NXDomain;
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 100_000);
        message.add_authority(Record::from_rdata(Name::root(), ttl, RData::SOA(soa)));
        Arc::new(message)
    }

    #[test]
    fn an_answer_lives_as_long_as_it_says_and_names_have_no_case() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(question("Name.Example."), &address(20), now);
        let later = now + Duration::from_secs(7);
        assert_eq!(cache.get(&question("name.example."), later).map(|(_, age)| age), Some(7));
        assert!(cache.get(&question("name.example."), now + Duration::from_secs(20)).is_none());
    }

    #[test]
    fn a_no_lives_half_a_minute_at_most_and_only_with_an_soa() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(question("no.example."), &no_such_name(600), now);
        assert!(cache.get(&question("no.example."), now + Duration::from_secs(29)).is_some());
        assert!(cache.get(&question("no.example."), now + Duration::from_secs(30)).is_none());
        let mut bare = Message::response(1, OpCode::Query);
        bare.metadata.response_code = ResponseCode::NXDomain;
        cache.put(question("bare.example."), &Arc::new(bare), now);
        assert!(cache.get(&question("bare.example."), now).is_none());
    }

    #[test]
    fn failures_truncated_and_momentary_answers_are_not_kept() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let mut cut = Message::clone(&address(60));
        cut.metadata.truncation = true;
        let mut failed = Message::response(1, OpCode::Query);
        failed.metadata.response_code = ResponseCode::ServFail;
        for message in [Arc::new(cut), Arc::new(failed), address(0)] {
            cache.put(question("x."), &message, now);
            assert!(cache.get(&question("x."), now).is_none());
        }
    }

    #[test]
    fn long_answers_are_not_kept() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let mut long = Message::clone(&address(60));
        let record = long.answers[0].clone();
        long.answers.resize(MOST_RECORDS, record.clone());
        cache.put(question("fits."), &Arc::new(long.clone()), now);
        assert!(cache.get(&question("fits."), now).is_some());
        long.answers.push(record);
        cache.put(question("long."), &Arc::new(long), now);
        assert!(cache.get(&question("long."), now).is_none());
    }

    #[test]
    fn a_full_cache_stays_within_its_bound() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for number in 0..MOST * 2 {
            cache.put(question(&format!("n{number}.example.")), &address(60), now);
            assert!(cache.0.len() <= MOST);
        }
        assert!(cache.0.len() > MOST / 2);
    }
}
