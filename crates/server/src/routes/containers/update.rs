//! `POST /containers/{id}/update`: other limits, another restart policy.

use super::create::Host;
use crate::app::App;
use crate::status::{self, Answer, Refusal};
use crate::translate::egress::merged;
use crate::translate::{self, Changed, changed};
use crate::version::ApiVersion;
use api::types::UpdateRequest;
use axum::extract::{Path, State};
use bytes::Bytes;
use container::EgressRequest;
use engine::Engine;
use http::StatusCode;
use serde_json::json;
use std::net::IpAddr;

pub async fn post(State(app): State<App>, version: ApiVersion, Path(id): Path<String>, body: Bytes) -> Answer {
    let usual = app.options().defaults.publish_at();
    let warnings = app.blocking(move |engine| update(engine, &id, (version, usual), &body)).await?;
    // Docker's answer has no list where there is nothing to say.
    let warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
    Ok(status::json(StatusCode::OK, &json!({ "Warnings": warnings })))
}

fn update(
    engine: &Engine,
    id: &str,
    (version, publish_at): (ApiVersion, Option<IpAddr>),
    body: &[u8],
) -> Result<Vec<String>, Refusal> {
    let invalid = |error: serde_json::Error| Refusal::invalid(format!("invalid JSON: {error}"));
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::invalid("invalid JSON: got EOF while reading request body"));
    }
    let mut asked: UpdateRequest = serde_json::from_slice(body).map_err(invalid)?;
    if !version.has(40) {
        asked.pids_limit = None;
    }
    if version.has(42) {
        asked.kernel_memory = 0;
    }
    let ports = translate::republishing(&asked, publish_at)?;
    let egress = asked.egress.take();
    let Changed { request, warnings } = changed(asked, &Host(engine))?;
    engine.update(id, |container| request.apply(container))?;
    if let Some(change) = ports {
        engine.republish(id, &change, translate::show_ports)?;
    }
    if let Some(asked) = egress {
        // A word that is none has changed nothing, whatever the container has.
        merged(&asked, EgressRequest::default())?;
        engine.change_egress(id, |has| merged(&asked, has.clone()).unwrap_or(has))?;
    }
    Ok(warnings)
}
