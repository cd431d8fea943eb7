//! `GET /containers/{id}/egress`: what a container may reach outside, what it was not let to, and what it used.

use crate::app::App;
use crate::status::{self, Answer, Refusal};
use crate::times;
use crate::translate::egress::shown;
use axum::extract::{Path, State};
use engine::EgressView;
use http::StatusCode;
use network::egress::Tried;
use serde_json::{Value, json};
use std::time::SystemTime;

pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let view = app.blocking(move |engine| Ok::<_, Refusal>(engine.egress(&id)?)).await?;
    Ok(status::json(StatusCode::OK, &body(&view)))
}

fn body(view: &EgressView) -> Value {
    let usage = &view.usage;
    let names = usage
        .refused_names
        .iter()
        .map(|(name, count, last)| json!({ "Name": name, "Count": count, "LastSeen": time(*last) }));
    let pins =
        usage.pins.iter().map(|pin| json!({ "Name": pin.name, "Address": pin.address, "Seconds": pin.left.as_secs() }));
    let learns = view.policy.as_ref().is_some_and(|policy| policy.learn);
    json!({
        "Policy": view.policy.as_ref().map(shown),
        "Denied": usage.refusals(),
        "DeniedDestinations": usage.refused.iter().map(tried).collect::<Vec<_>>(),
        "DeniedNames": names.collect::<Vec<_>>(),
        "Open": pins.collect::<Vec<_>>(),
        "Used": usage.learned.iter().map(tried).collect::<Vec<_>>(),
        "Lesson": learns.then(|| usage.lesson()),
    })
}

fn tried(tried: &Tried) -> Value {
    let protocol = match tried.protocol {
        1 | 58 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    };
    json!({
        "Address": tried.address,
        "Protocol": protocol,
        "Port": tried.port,
        "Name": tried.name,
        "Packets": tried.packets,
        "LastSeen": time(tried.last),
    })
}

fn time(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    times::nano(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
