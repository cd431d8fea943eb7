//! What is asked of name servers outside.

use super::stage::{Fake, Stage, a, on, reply, request, resolv_conf, texts, with_payload};
use crate::{Dotless, Outside, View};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// One address for every name.
fn always(last: u8, ttl: u32) -> impl Fn(&Message, bool) -> Option<Message> + Send + Sync + 'static {
    move |question, _| {
        let name = &question.queries[0].name;
        Some(reply(question, vec![a(name, ttl, Ipv4Addr::new(192, 0, 2, last))]))
    }
}

fn code(code: ResponseCode) -> impl Fn(&Message, bool) -> Option<Message> + Send + Sync + 'static {
    move |question, _| {
        let mut answer = reply(question, Vec::new());
        answer.metadata.response_code = code;
        Some(answer)
    }
}

fn silent(_: &Message, _: bool) -> Option<Message> {
    None
}

#[tokio::test]
async fn unknown_names_are_asked_outside_and_remembered() {
    let (fake, port) = Fake::at(FIRST, 0, always(1, 60)).await;
    let stage = Stage::new(on(&["blue"]), &[FIRST], port);
    assert_eq!(stage.addresses("Example.org.").await, ["192.0.2.1"]);
    let again = stage.ask("eXample.org.", RecordType::A).await;
    assert!(again.answers[0].name.eq_case(&Name::from_ascii("eXample.org.").unwrap()));
    assert_eq!(fake.count(), 1);
    assert_eq!(texts(&stage.ask_by_tcp("example.org.", RecordType::A).await), ["192.0.2.1"]);
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn answers_without_a_lifetime_are_asked_for_each_time() {
    let (fake, port) = Fake::at(FIRST, 0, always(1, 0)).await;
    let stage = Stage::new(on(&[]), &[FIRST], port);
    for _ in 0..3 {
        assert_eq!(stage.addresses("example.org.").await, ["192.0.2.1"]);
    }
    assert_eq!(fake.count(), 3);
}

#[tokio::test]
async fn all_records_and_sections_pass() {
    let (_fake, port) = Fake::at(FIRST, 0, |question, _| {
        let name = &question.queries[0].name;
        let other: Name = "other.example.".parse().unwrap();
        let mut answer = reply(question, vec![Record::from_rdata(name.clone(), 5, RData::CNAME(CNAME(other.clone())))]);
        answer.add_answer(Record::from_rdata(other, 5, RData::TXT(TXT::new(vec!["a text".to_owned()]))));
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 1);
        answer.add_authority(Record::from_rdata(Name::root(), 5, RData::SOA(soa)));
        answer.metadata.authentic_data = true;
        Some(answer)
    })
    .await;
    let stage = Stage::new(on(&[]), &[FIRST], port);
    let answer = stage.ask("example.org.", RecordType::TXT).await;
    assert_eq!(texts(&answer), ["a text", "other.example."]);
    assert_eq!(answer.authorities.len(), 1);
    assert!(answer.metadata.authentic_data);
}

#[tokio::test]
async fn ids_outside_are_not_those_inside() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let say = always(1, 0);
    let (_fake, port) = Fake::at(FIRST, 0, move |question, tcp| {
        note.lock().unwrap().push(question.metadata.id);
        say(question, tcp)
    })
    .await;
    let stage = Stage::new(on(&[]), &[FIRST], port);
    for _ in 0..20 {
        let mut request = request("example.org.", RecordType::A);
        request.metadata.id = 7;
        stage.send(&request).await;
    }
    let mut ids = seen.lock().unwrap().clone();
    ids.dedup();
    assert!(ids.len() > 10, "{ids:?}");
}

#[tokio::test]
async fn a_forged_answer_is_passed_over() {
    let (_fake, port) = Fake::at(FIRST, 0, |question, _| {
        let mut forged = reply(question, vec![a(&question.queries[0].name, 60, Ipv4Addr::new(6, 6, 6, 6))]);
        forged.metadata.id = forged.metadata.id.wrapping_add(1);
        Some(forged)
    })
    .await;
    let (_other, _) = Fake::at(SECOND, port, always(2, 60)).await;
    let stage = Stage::new(on(&[]), &[FIRST, SECOND], port);
    assert_eq!(stage.addresses("example.org.").await, ["192.0.2.2"]);
}

#[tokio::test]
async fn a_silent_or_failing_server_is_followed_by_the_next_and_comes_last_then() {
    let (first, port) = Fake::at(FIRST, 0, code(ResponseCode::ServFail)).await;
    let (second, _) = Fake::at(SECOND, port, always(2, 0)).await;
    let stage = Stage::new(on(&[]), &[FIRST, SECOND], port);
    assert_eq!(stage.addresses("example.org.").await, ["192.0.2.2"]);
    drop((first, second));
    let (first, port) = Fake::at(FIRST, 0, silent).await;
    let (_second, _) = Fake::at(SECOND, port, always(2, 0)).await;
    let stage = Stage::new(on(&[]), &[FIRST, SECOND], port);
    assert_eq!(stage.addresses("example.org.").await, ["192.0.2.2"]);
    assert!(first.count() >= 1);
}

#[tokio::test]
async fn nobody_there_is_a_failure_of_the_server() {
    let (fake, port) = Fake::at(FIRST, 0, silent).await;
    drop(fake);
    let stage = Stage::new(on(&[]), &[FIRST], port);
    assert_eq!(stage.ask("example.org.", RecordType::A).await.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn what_one_server_does_not_know_another_may() {
    let (_first, port) = Fake::at(FIRST, 0, code(ResponseCode::NXDomain)).await;
    let (_second, _) = Fake::at(SECOND, port, always(2, 0)).await;
    let stage = Stage::new(on(&[]), &[FIRST, SECOND], port);
    assert_eq!(stage.addresses("office.example.").await, ["192.0.2.2"]);
    let alone = Stage::new(on(&[]), &[FIRST], port);
    assert_eq!(alone.ask("none.example.", RecordType::A).await.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn an_authority_that_knows_no_such_name_is_believed() {
    let (_first, port) = Fake::at(FIRST, 0, |question, _| {
        let mut answer = reply(question, Vec::new());
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.metadata.authoritative = true;
        Some(answer)
    })
    .await;
    let (second, _) = Fake::at(SECOND, port, always(2, 0)).await;
    let stage = Stage::new(on(&[]), &[FIRST, SECOND], port);
    assert_eq!(stage.ask("none.example.", RecordType::A).await.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn a_cut_answer_is_fetched_by_tcp() {
    let (fake, port) = Fake::at(FIRST, 0, |question, by_tcp| {
        let name = &question.queries[0].name;
        let count = if by_tcp { 40 } else { 1 };
        let records = (0..count).map(|last| a(name, 60, Ipv4Addr::new(192, 0, 2, last))).collect();
        let mut answer = reply(question, records);
        answer.metadata.truncation = !by_tcp;
        Some(answer)
    })
    .await;
    let stage = Stage::new(on(&[]), &[FIRST], port);
    let answer = stage.send(&with_payload(request("long.example.", RecordType::A), 4096)).await;
    assert_eq!(answer.answers.len(), 40);
    assert_eq!(fake.asked_by_tcp.load(Ordering::Relaxed), 1);
    let short = stage.ask("long.example.", RecordType::A).await;
    assert!(short.metadata.truncation && short.answers.len() < 40);
    assert_eq!(fake.asked_by_tcp.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_that_knows_no_edns_is_asked_without() {
    let (_fake, port) = Fake::at(FIRST, 0, |question, by_tcp| {
        let refuse = code(ResponseCode::FormErr);
        if question.edns.is_some() { refuse(question, by_tcp) } else { always(1, 60)(question, by_tcp) }
    })
    .await;
    let stage = Stage::new(on(&[]), &[FIRST], port);
    assert_eq!(stage.addresses("example.org.").await, ["192.0.2.1"]);
}

#[tokio::test]
async fn the_same_question_is_outside_once_at_a_time() {
    let (fake, port) = Fake::at(FIRST, 0, silent).await;
    let (second, _) = Fake::at(SECOND, port, always(2, 0)).await;
    let stage = Arc::new(Stage::new(on(&[]), &[FIRST, SECOND], port));
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let stage = stage.clone();
        askers.spawn(async move { stage.addresses("example.org.").await });
    }
    while let Some(found) = askers.join_next().await {
        assert_eq!(found.unwrap(), ["192.0.2.2"]);
    }
    assert!(fake.count() + second.count() < 10, "{} and {}", fake.count(), second.count());
}

#[tokio::test]
async fn names_without_a_dot_are_kept_on_demand() {
    let (fake, port) = Fake::at(FIRST, 0, always(1, 60)).await;
    let stage = Stage::new(View { dotless: Dotless::Kept, ..on(&[]) }, &[FIRST], port);
    let kept = stage.ask("name.", RecordType::A).await;
    assert_eq!((kept.metadata.response_code, kept.answers.len(), fake.count()), (ResponseCode::NoError, 0, 0));
    assert_eq!(stage.addresses("name.example.").await, ["192.0.2.1"]);
}

#[tokio::test]
async fn a_closed_container_asks_nobody_until_it_is_opened() {
    let (fake, port) = Fake::at(FIRST, 0, always(1, 60)).await;
    let stage = Stage::new(View { outside: Outside::Closed, ..on(&["blue"]) }, &[FIRST], port);
    for sort in [RecordType::A, RecordType::TXT, RecordType::PTR, RecordType::NS] {
        let answer = stage.ask("secret.example.", sort).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    }
    assert_eq!(fake.count(), 0);
    stage.guard.look(on(&["blue"]));
    assert_eq!(stage.addresses("secret.example.").await, ["192.0.2.1"]);
}

#[tokio::test]
async fn other_servers_in_the_file_are_asked_and_old_answers_forgotten() {
    let (_first, port) = Fake::at(FIRST, 0, always(1, 600)).await;
    let (_second, _) = Fake::at(SECOND, port, always(2, 600)).await;
    let stage = Stage::new(on(&[]), &[FIRST], port);
    assert_eq!(stage.addresses("example.org.").await, ["192.0.2.1"]);
    resolv_conf(&stage.folder, &[SECOND]);
    let followed = async { while stage.addresses("example.org.").await != ["192.0.2.2"] {} };
    tokio::time::timeout(super::stage::DEADLINE, followed).await.unwrap();
}

#[tokio::test]
async fn own_servers_are_asked_from_the_containers_namespace_and_share_nothing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (_host, port) = Fake::at(FIRST, 0, always(1, 60)).await;
    let (own, _) = Fake::at(SECOND, port, always(2, 60)).await;
    let stage = Stage::new(on(&[]), &[FIRST], port);
    assert_eq!(stage.addresses("example.org.").await, ["192.0.2.1"]);
    stage.guard.look(View { outside: Outside::Own(vec![SECOND]), ..on(&[]) });
    assert_eq!(stage.addresses("example.org.").await, ["192.0.2.2"]);
    assert_eq!(own.count(), 1);
}
