//! Answers as bytes, no longer than the asker takes.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::Record;

/// What is sent over UDP to those who did not say what they take.
const PLAIN: usize = 512;
/// What we say we take over UDP: all that passes `lo` in one piece.
const OUR_PAYLOAD: u16 = 4096;
/// The length of a message over TCP has 16 bits.
const LONGEST: usize = 65_535;

/// How an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Udp,
    Tcp,
}

/// An answer with nothing in it yet: id, question and flags are those of the request.
pub(crate) fn to(request: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata.recursion_desired = request.metadata.recursion_desired;
    reply.metadata.checking_disabled = request.metadata.checking_disabled;
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    reply.queries.clone_from(&request.queries);
    reply.edns = request.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(OUR_PAYLOAD);
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        edns
    });
    reply
}

/// The answer from our own names.
pub(crate) fn with_records(request: &Message, records: Vec<Record>) -> Message {
    let mut reply = to(request, ResponseCode::NoError);
    reply.answers = records;
    reply
}

/// What somebody outside said, to this request: `age` seconds have passed since.
pub(crate) fn passed_on(request: &Message, found: &Message, age: u32) -> Message {
    let mut reply = to(request, found.metadata.response_code);
    reply.metadata.authoritative = found.metadata.authoritative && age == 0;
    reply.metadata.authentic_data = found.metadata.authentic_data;
    reply.metadata.truncation = found.metadata.truncation;
    let asked = request.queries.first().map(|question| &question.name);
    let as_asked = |record: &Record| {
        let mut record = record.clone();
        record.decrement_ttl(age);
        // Who plays with the case of letters (DNS 0x20) compares them.
        if let Some(name) = asked.filter(|&name| *name == record.name) {
            record.name.clone_from(name);
        }
        record
    };
    reply.answers = found.answers.iter().map(as_asked).collect();
    reply.authorities = found.authorities.iter().map(as_asked).collect();
    reply.additionals = found.additionals.iter().map(as_asked).collect();
    reply
}

/// The bytes; what is too long for the way loses records and says so (TC), as many as still fit stay: some resolvers
/// (musl before 1.2.4) take what they get and never ask by TCP.
pub(crate) fn bytes(request: &Message, mut reply: Message, way: Way) -> Option<Vec<u8>> {
    let most = match way {
        Way::Tcp => LONGEST,
        Way::Udp => request.edns.as_ref().map_or(PLAIN, |edns| usize::from(edns.max_payload())).max(PLAIN),
    };
    let whole = reply.to_vec().ok()?;
    if whole.len() <= most {
        return Some(whole);
    }
    reply.metadata.truncation = true;
    reply.authorities.clear();
    reply.additionals.clear();
    let all = std::mem::take(&mut reply.answers);
    let (mut fits, mut too_many) = (0, all.len() + 1);
    while fits + 1 < too_many {
        let middle = fits.midpoint(too_many);
        reply.answers = all[..middle].to_vec();
        if reply.to_vec().is_ok_and(|bytes| bytes.len() <= most) { fits = middle } else { too_many = middle }
    }
    reply.answers = all[..fits].to_vec();
    reply.to_vec().ok()
}

/// The answer to bytes that are no question; `None` when they are not even the beginning of one.
pub(crate) fn to_garbage(bytes: &[u8]) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    let is_answer = *bytes.get(2)? & 0x80 != 0;
    if bytes.len() < 12 || is_answer {
        return None;
    }
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}

/// What is wrong with a request that could be read, if anything.
pub(crate) fn fault(request: &Message) -> Option<ResponseCode> {
    if request.metadata.op_code != OpCode::Query {
        return Some(ResponseCode::NotImp);
    }
    if request.queries.len() != 1 {
        return Some(ResponseCode::FormErr);
    }
    request.edns.as_ref().is_some_and(|edns| edns.version() > 0).then_some(ResponseCode::BADVERS)
}

/// Whether this is a question and no answer: answers are never answered.
pub(crate) fn is_request(message: &Message) -> bool {
    message.metadata.message_type == MessageType::Query
}
