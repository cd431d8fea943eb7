//! What a gate lets through, in both directions.

use super::stage::{Fake, Stage, a, on, reply, texts};
use crate::{Gate, Gatekeeper, View};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Admits names below `good.`, opens no address that ends in 66, and writes down what it hears.
#[derive(Debug, Default)]
struct Porter {
    heard: Mutex<Vec<String>>,
}

impl Gate for Porter {
    fn admits(&self, name: &str) -> bool {
        name.ends_with(".good")
    }

    fn admits_address(&self, address: IpAddr) -> bool {
        address == IpAddr::from([192, 0, 2, 1])
    }

    fn opens(&self, name: &str, found: &[(IpAddr, Duration)]) -> Vec<IpAddr> {
        let mut heard = self.heard.lock().unwrap();
        heard.extend(found.iter().map(|(address, holds)| format!("{name} {address} {}", holds.as_secs())));
        let is_open = |address: &IpAddr| !address.to_string().ends_with("66");
        found.iter().map(|(address, _)| *address).filter(is_open).collect()
    }

    fn longest(&self) -> Duration {
        Duration::from_secs(100)
    }
}

/// An alias and two addresses of it, and one of somebody else.
fn say(question: &Message, _: bool) -> Option<Message> {
    let (asked, alias) = (question.queries[0].name.clone(), Name::from_ascii("alias.bad.").unwrap());
    let link = Record::from_rdata(asked, 9000, RData::CNAME(CNAME(alias.clone())));
    let own = [1, 66].map(|last| a(&alias, 9000, Ipv4Addr::new(192, 0, 2, last)));
    let stranger = a(&Name::from_ascii("stranger.").unwrap(), 9000, Ipv4Addr::new(192, 0, 2, 9));
    Some(reply(question, [vec![link], own.to_vec(), vec![stranger]].concat()))
}

async fn scene() -> (Fake, Stage, Arc<Porter>) {
    let (fake, port) = Fake::at(HERE, 0, say).await;
    let porter = Arc::new(Porter::default());
    let view = View { gate: Some(Gatekeeper(porter.clone())), ..on(&["blue"]) };
    (fake, Stage::new(view, &[HERE], port), porter)
}

#[tokio::test]
async fn names_that_are_not_admitted_are_not_asked_outside() {
    let (fake, stage, porter) = scene().await;
    stage.join("blue", &["web"], &["10.0.0.2"]);
    for (name, sort) in
        [("x.bad.", RecordType::A), ("x.bad.", RecordType::TXT), ("9.2.0.192.in-addr.arpa.", RecordType::PTR)]
    {
        assert_eq!(stage.ask(name, sort).await.metadata.response_code, ResponseCode::NXDomain, "{name}");
    }
    assert_eq!((fake.count(), porter.heard.lock().unwrap().len()), (0, 0));
    assert_eq!(stage.addresses("web.").await, ["10.0.0.2"], "its own networks are no matter of the gate's");
    stage.ask("1.2.0.192.in-addr.arpa.", RecordType::PTR).await;
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn the_gate_hears_of_addresses_each_time_and_takes_out_what_it_does_not_open() {
    let (fake, stage, porter) = scene().await;
    for _ in 0..2 {
        let answer = stage.ask("X.good.", RecordType::A).await;
        assert_eq!(texts(&answer), ["192.0.2.1", "alias.bad."]);
        assert!(answer.answers.iter().all(|record| record.ttl <= 100), "no longer than the gate keeps it open");
    }
    assert_eq!(texts(&stage.ask_by_tcp("x.good.", RecordType::A).await), ["192.0.2.1", "alias.bad."]);
    let heard = porter.heard.lock().unwrap().clone();
    assert_eq!(fake.count(), 1);
    assert_eq!(heard.len(), 6, "remembered answers, too: {heard:?}");
    assert!(heard.iter().all(|line| line.starts_with("x.good 192.0.2.1 ") || line.starts_with("x.good 192.0.2.66 ")));
}
