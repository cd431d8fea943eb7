//! The way from bytes to bytes without sockets, for those who feed it with anything.

use crate::client::{Client, Sight, Step};
use crate::reply::{self, Way};
use crate::{Names, View};
use hickory_proto::op::Message;

/// The answer to the bytes of a question, from names alone.
pub fn answer(names: &Names, view: View, question: &[u8]) -> Option<Vec<u8>> {
    let client = Client::new(names.clone(), Sight { view, resolver: None });
    match client.take(question, Way::Udp) {
        Step::Answer(answer) => Some(answer),
        Step::Ignore | Step::Ask(_) => None,
    }
}

/// What a container gets to hear for the bytes of a server outside.
pub fn passed_on(question: &[u8], found: &[u8]) -> Option<Vec<u8>> {
    let (question, found) = (Message::from_vec(question).ok()?, Message::from_vec(found).ok()?);
    reply::bytes(&question, reply::passed_on(&question, &found, 1), Way::Udp)
}
