//! `POST /containers/{id}/update`: other limits, another restart policy.

use super::create::Host;
use crate::app::App;
use crate::status::{self, Answer, Refusal};
use crate::translate::{Changed, changed};
use crate::version::ApiVersion;
use api::types::UpdateRequest;
use axum::extract::{Path, State};
use bytes::Bytes;
use engine::Engine;
use http::StatusCode;
use serde_json::json;

pub async fn post(State(app): State<App>, version: ApiVersion, Path(id): Path<String>, body: Bytes) -> Answer {
    let warnings = app.blocking(move |engine| update(engine, &id, version, &body)).await?;
    // Docker's answer has no list where there is nothing to say.
    let warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
    Ok(status::json(StatusCode::OK, &json!({ "Warnings": warnings })))
}

fn update(engine: &Engine, id: &str, version: ApiVersion, body: &[u8]) -> Result<Vec<String>, Refusal> {
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
    let Changed { request, warnings } = changed(asked, &Host(engine))?;
    engine.update(id, |container| request.apply(container))?;
    Ok(warnings)
}
