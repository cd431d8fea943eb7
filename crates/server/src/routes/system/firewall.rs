//! `GET /system/firewall?port=8080&protocol=tcp`: why a port is reached, or is not. Ours.

use crate::app::App;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::translate;
use axum::extract::State;
use engine::PortView;
use http::StatusCode;
use network::{Explanation, Fate, Firewall, How, Outcome, Place, PortWay, Sender, Stop};
use serde_json::{Value, json};
use std::net::SocketAddr;

pub async fn get(State(app): State<App>, query: Query) -> Answer {
    let asked = match query.get("protocol") {
        "" => query.get("port").to_owned(),
        protocol => format!("{}/{protocol}", query.get("port")),
    };
    let port = translate::port_range(&asked)?;
    let [port] = port[..] else {
        return Err(Refusal::invalid(format!("invalid port: {asked:?}: one port is asked for")));
    };
    let view = app.blocking(move |engine| Ok::<_, Refusal>(engine.explain_port(port.protocol, port.port)?)).await?;
    Ok(status::json(StatusCode::OK, &body(&crate::present::network::port_text(port), &view)))
}

fn body(port: &str, view: &PortView) -> Value {
    let told = &view.explanation;
    let ways = told.ways.iter().zip(&view.containers).map(|(way, container)| {
        let (id, name) = container.as_ref().map(|(id, name)| (id.to_string(), name.clone())).unzip();
        let (reaches, place, stop) = outcome(&way.outcome);
        json!({
            "From": sender(way.sender),
            "At": if way.port.host_port == 0 { SocketAddr::new(way.container, way.port.container_port) } else { SocketAddr::new(way.port.host_ip, way.port.host_port) },
            "Container": { "Id": id, "Name": name, "Address": way.container, "Port": way.port.container_port },
            "Bridge": way.bridge,
            "Rule": rule(&told.table, way),
            "Reaches": reaches,
            "Stage": place,
            "StoppedBy": stop.map(stopped),
            "Advice": advice(told, way),
        })
    });
    json!({
        "Port": port,
        "PublishFirewall": if told.firewall == Firewall::Host { "host" } else { "open" },
        "Ways": ways.collect::<Vec<_>>(),
        "Listener": told.listener,
        "Input": told.input.as_ref().map(|fate| match fate {
            Fate::Passes => json!({ "Reaches": "yes" }),
            Fate::MayStop(stop) => json!({ "Reaches": "maybe", "StoppedBy": stopped(stop) }),
            Fate::Stops(stop) => json!({ "Reaches": "no", "StoppedBy": stopped(stop) }),
        }),
        "LegacyRules": told.has_legacy,
    })
}

fn sender(sender: Sender) -> &'static str {
    match sender {
        Sender::Outside => "outside",
        Sender::Machine => "machine",
        Sender::Container => "container",
    }
}

fn outcome(outcome: &Outcome) -> (&'static str, Option<&'static str>, Option<&Stop>) {
    let named = |place: &Place| {
        Some(match place {
            Place::Arrival => "prerouting",
            Place::Input => "input",
            Place::Forward => "forward",
            Place::Output => "output",
        })
    };
    match outcome {
        Outcome::Reaches => ("yes", None, None),
        Outcome::MayStop(place, stop) => ("maybe", named(place), Some(stop)),
        Outcome::Stops(place, stop) => ("no", named(place), Some(stop)),
        Outcome::LoopbackOnly => ("no", None, None),
    }
}

fn stopped(stop: &Stop) -> Value {
    let how = match stop.how {
        How::Drop => "drop",
        How::Reject => "reject",
        How::Policy => "policy drop",
    };
    json!({
        "Family": stop.family, "Table": stop.table, "Chain": stop.chain, "Handle": stop.handle,
        "Comment": stop.comment, "How": how,
    })
}

/// Where it is written that the port leads there.
fn rule(table: &str, way: &PortWay) -> String {
    let family = if way.container.is_ipv4() { "ip" } else { "ip6" };
    let is_row = way.port.host_port == way.port.container_port;
    let place = match (way.port.host_port, way.port.host_ip.is_unspecified(), is_row) {
        (0, _, _) => "set open",
        (_, true, false) => "map ports",
        (_, false, false) => "map ports_at",
        (_, true, true) => "map rows or ports",
        (_, false, true) => "map rows_at or ports_at",
    };
    format!("table {family} {table}: {place}")
}

/// What can be done about it.
fn advice(told: &Explanation, way: &PortWay) -> Option<String> {
    let port = &way.port;
    let (Outcome::Stops(place, stop) | Outcome::MayStop(place, stop)) = &way.outcome else {
        let text =
            "it is published on an address that only this machine has: publish it on another one (0.0.0.0 is all)";
        return (way.outcome == Outcome::LoopbackOnly).then(|| text.to_owned());
    };
    let number = if *place == Place::Input { port.host_port } else { port.container_port };
    let bridge = &way.bridge;
    Some(match (stop.table.as_str(), stop.chain.as_str()) {
        (table, _) if table == told.table => {
            "a rule of this engine: the network is internal, or the port is not published".to_owned()
        }
        ("firewalld", _) if *place == Place::Input => format!("firewall-cmd --add-port={number}/{}", port.protocol),
        ("firewalld", _) => {
            format!("firewall-cmd --permanent --zone=trusted --add-interface={bridge} && firewall-cmd --reload")
        }
        (_, chain) if chain.starts_with("ufw-") || (chain == "INPUT" && *place == Place::Input) => {
            format!(
                "with ufw: ufw allow {number}/{}; with iptables: iptables -I INPUT -p {} --dport {number} -j ACCEPT",
                port.protocol, port.protocol
            )
        }
        (_, "DOCKER-USER") => format!("iptables -I DOCKER-USER -o {bridge} -j ACCEPT, before the rule that stops it"),
        (_, chain) if chain.starts_with("DOCKER") => {
            format!("a rule of Docker's: iptables -I DOCKER-USER -o {bridge} -j ACCEPT")
        }
        (_, "FORWARD") => format!("iptables -I FORWARD -o {bridge} -j ACCEPT"),
        (table, chain) => format!("let it pass in chain {chain} of table {} {table}", stop.family),
    })
}
