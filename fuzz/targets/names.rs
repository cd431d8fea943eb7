//! Questions of containers and answers of name servers, as hostile ones may send them: a byte for the length of the question,
//! the question, the answer.
#![no_main]

use dns::{Endpoint, Names, View};
use libfuzzer_sys::fuzz_target;

/// `web.` of type A, with EDNS.
const QUESTION: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03web\x00\x00\x01\x00\x01\
                          \x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
/// One address for it.
const ANSWER: &[u8] = b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03web\x00\x00\x01\x00\x01\
                        \xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x02";
/// The name of an address.
const BACK: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x012\x010\x010\x0210\x07in-addr\x04arpa\x00\x00\x0c\x00\x01";

fn seeds() -> Vec<Vec<u8>> {
    let seed = |question: &[u8]| {
        let length = u8::try_from(question.len()).expect("a short question");
        [&[length], question, ANSWER].concat()
    };
    vec![seed(QUESTION), seed(BACK)]
}

fuzz_target!(init: fuzz::plant(&seeds()), |data: &[u8]| {
    let Some((&length, rest)) = data.split_first() else { return };
    let (question, answer) = rest.split_at(usize::from(length).min(rest.len()));
    let names = Names::default();
    let addresses = vec!["10.0.0.2".parse().expect("an address"), "fd00::2".parse().expect("an address")];
    names.join("id", "blue", Endpoint { container: "c".into(), names: vec!["web".into()], addresses });
    let view = View { networks: vec!["id".into()], ..View::default() };
    if let Some(said) = dns::fixture::answer(&names, view, question) {
        assert!(said.len() >= 12 && said.len() <= 65_535 && said[..2] == question[..2]);
    }
    if let Some(said) = dns::fixture::passed_on(question, answer) {
        assert!(said.len() <= 65_535);
    }
});
