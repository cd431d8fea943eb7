//! What our own names answer.

use super::stage::{Stage, on, request, texts, with_payload};
use crate::{Outside, View};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use proptest::strategy::{Strategy, ValueTree};

/// A container on `blue` and `red` without a way out.
fn closed() -> View {
    View { outside: Outside::Closed, ..on(&["blue", "red"]) }
}

fn stage() -> Stage {
    let stage = Stage::new(closed(), &[], 1);
    stage.join("blue", &["web", "www", "0123456789ab"], &["10.0.0.2"]);
    stage.join("red", &["db", "db.local"], &["10.1.0.3", "fd00::3"]);
    stage.join("green", &["other"], &["10.2.0.4"]);
    stage
}

#[tokio::test]
async fn names_aliases_ids_and_network_forms_lead_to_addresses() {
    let stage = stage();
    for name in ["web.", "www.", "0123456789ab.", "id-of-web.", "WEB.", "web.blue-name.", "Www.Blue-Name."] {
        assert_eq!(stage.addresses(name).await, ["10.0.0.2"], "{name}");
    }
    for name in ["db.", "db.local.", "db.local.red-name."] {
        assert_eq!(stage.addresses(name).await, ["10.1.0.3"], "{name}");
    }
    assert_eq!(texts(&stage.ask("db.", RecordType::AAAA).await), ["fd00::3"]);
    assert_eq!(texts(&stage.ask("db.", RecordType::ANY).await), ["10.1.0.3", "fd00::3"]);
}

#[tokio::test]
async fn a_name_without_such_a_record_exists_all_the_same() {
    let stage = stage();
    for sort in [RecordType::AAAA, RecordType::MX, RecordType::TXT, RecordType::HTTPS, RecordType::SRV] {
        let answer = stage.ask("web.", sort).await;
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0), "{sort}");
    }
}

#[tokio::test]
async fn the_question_comes_back_as_it_was_asked() {
    let stage = stage();
    let answer = stage.ask("wEb.", RecordType::A).await;
    assert!(answer.queries[0].name.eq_case(&Name::from_ascii("wEb.").unwrap()));
    assert!(answer.answers[0].name.eq_case(&Name::from_ascii("wEb.").unwrap()));
    assert!(answer.metadata.recursion_available && answer.metadata.recursion_desired);
}

#[tokio::test]
async fn names_of_other_networks_and_unknown_ones_stay_unknown() {
    let stage = stage();
    for name in ["other.", "other.green-name.", "web.red-name.", "nobody.", "example.org.", "."] {
        assert_eq!(stage.ask(name, RecordType::A).await.metadata.response_code, ResponseCode::ServFail, "{name}");
    }
}

#[tokio::test]
async fn addresses_lead_back_to_the_name_on_the_network() {
    let stage = stage();
    assert_eq!(texts(&stage.ask("2.0.0.10.in-addr.arpa.", RecordType::PTR).await), ["web.blue-name."]);
    let v6 = "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.";
    assert_eq!(texts(&stage.ask(v6, RecordType::PTR).await), ["db.red-name."]);
    for name in ["4.0.2.10.in-addr.arpa.", "0.0.10.in-addr.arpa.", "web."] {
        assert_eq!(stage.ask(name, RecordType::PTR).await.answers.len(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_shared_alias_has_all_addresses_and_each_comes_first_sometimes() {
    let stage = stage();
    for number in 1..=3 {
        stage.join("blue", &[&format!("worker{number}"), "worker"], &[&format!("10.0.1.{number}")]);
    }
    let all = ["10.0.1.1", "10.0.1.2", "10.0.1.3"];
    let mut first = std::collections::BTreeSet::new();
    // 200 tries miss one of three once in 10^35.
    for _ in 0..200 {
        let answer = stage.ask("worker.", RecordType::A).await;
        assert_eq!(texts(&answer), all);
        first.insert(answer.answers[0].data.to_string());
    }
    assert_eq!(first.into_iter().collect::<Vec<_>>(), all);
}

#[tokio::test]
async fn who_leaves_or_is_renamed_is_no_longer_found() {
    let stage = stage();
    stage.server.names().leave("blue", "id-of-web");
    assert!(stage.addresses("web.").await.is_empty());
    assert_eq!(texts(&stage.ask("2.0.0.10.in-addr.arpa.", RecordType::PTR).await).len(), 0);
    let renamed = crate::Endpoint {
        container: "id-of-db".into(),
        names: vec!["postgres".into()],
        addresses: vec!["10.1.0.9".parse().unwrap()],
    };
    stage.server.names().join("red", "red-name", renamed);
    assert!(stage.addresses("db.").await.is_empty());
    assert_eq!(stage.addresses("postgres.").await, ["10.1.0.9"]);
    stage.server.names().forget("red");
    assert!(stage.addresses("postgres.").await.is_empty());
}

#[tokio::test]
async fn links_are_names_for_one_container_alone_and_come_first() {
    let stage = stage();
    let links = [("database".to_owned(), "db".to_owned()), ("web".to_owned(), "db".to_owned())].into();
    stage.guard.look(View { links, ..closed() });
    assert_eq!(stage.addresses("database.").await, ["10.1.0.3"]);
    assert_eq!(stage.addresses("web.").await, ["10.1.0.3"]);
    stage.guard.look(closed());
    assert!(stage.addresses("database.").await.is_empty());
}

#[tokio::test]
async fn another_view_is_seen_at_once() {
    let stage = stage();
    stage.guard.look(View { outside: Outside::Closed, ..on(&["green"]) });
    assert_eq!(stage.addresses("other.").await, ["10.2.0.4"]);
    assert!(stage.addresses("web.").await.is_empty());
}

#[tokio::test]
async fn long_answers_are_cut_for_udp_and_whole_by_tcp() {
    let stage = stage();
    for number in 0..200 {
        stage.join("blue", &[&format!("many{number}"), "many"], &[&format!("10.0.2.{number}")]);
    }
    let plain = stage.ask("many.", RecordType::A).await;
    assert!(plain.metadata.truncation);
    assert!(plain.answers.len() > 20 && plain.to_vec().unwrap().len() <= 512);
    let more = stage.send(&with_payload(request("many.", RecordType::A), 1232)).await;
    assert!(more.metadata.truncation && more.answers.len() > plain.answers.len());
    let all = stage.send(&with_payload(request("many.", RecordType::A), 4096)).await;
    assert!(!all.metadata.truncation && all.edns.is_some());
    assert_eq!(all.answers.len(), 200);
    let by_tcp = stage.ask_by_tcp("many.", RecordType::A).await;
    assert!(!by_tcp.metadata.truncation);
    assert_eq!(by_tcp.answers.len(), 200);
}

#[tokio::test]
async fn what_is_no_plain_question_is_refused_by_its_code() {
    let stage = stage();
    let mut update = request("web.", RecordType::A);
    update.metadata.op_code = OpCode::Update;
    let mut two = request("web.", RecordType::A);
    two.add_query(two.queries[0].clone());
    let none = Message::query();
    let mut new_edns = with_payload(request("web.", RecordType::A), 1232);
    new_edns.edns.as_mut().unwrap().set_version(1);
    for (request, code) in [
        (update, ResponseCode::NotImp),
        (two, ResponseCode::FormErr),
        (none, ResponseCode::FormErr),
        (new_edns, ResponseCode::BADVERS),
    ] {
        let answer = stage.send(&request).await;
        let high = answer.edns.as_ref().map_or(0, |edns| edns.rcode_high());
        let said = ResponseCode::from(high, answer.metadata.response_code.low());
        // BADVERS and BADSIG are one number.
        assert_eq!(u16::from(said), u16::from(code));
    }
    let broken = stage.send_bytes(&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63, 1]).await;
    assert_eq!((broken.metadata.id, broken.metadata.response_code), (0x0707, ResponseCode::FormErr));
}

#[tokio::test]
async fn no_bytes_harm_the_server() {
    let stage = stage();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let noise = proptest::collection::vec(proptest::num::u8::ANY, 0..600);
    let good = request("web.", RecordType::A).to_vec().unwrap();
    for round in 0..2000 {
        let mut bytes = noise.new_tree(&mut runner).unwrap().current();
        if round % 2 == 0 {
            // A good beginning leads further in.
            let kept = (round / 2) % good.len();
            bytes.splice(0..kept.min(bytes.len()), good[..kept].iter().copied());
        }
        socket.send_to(&bytes, stage.udp).await.unwrap();
    }
    assert_eq!(stage.addresses("web.").await, ["10.0.0.2"]);
    assert_eq!(texts(&stage.ask_by_tcp("web.", RecordType::A).await), ["10.0.0.2"]);
}

#[tokio::test]
async fn the_sockets_are_closed_when_the_guard_goes() {
    let stage = stage();
    assert_eq!(stage.addresses("web.").await, ["10.0.0.2"]);
    let (udp, tcp) = (stage.udp, stage.tcp);
    drop(stage.guard);
    let free = async {
        while std::net::UdpSocket::bind(udp).is_err() || std::net::TcpListener::bind(tcp).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::stage::DEADLINE, free).await.unwrap();
}
