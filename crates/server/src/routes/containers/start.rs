//! `POST /containers/{id}/start`

use super::checkpoints::which;
use crate::app::App;
use crate::present::network::stable_id;
use crate::query::Query;
use crate::status::{Answer, Refusal, no_content};
use crate::words;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use bytes::Bytes;
use engine::{Change, Engine};
use http::StatusCode;

/// A body longer than this is more than an empty JSON object.
const EMPTY_BODY: usize = 7;

pub async fn post(State(app): State<App>, Path(id): Path<String>, query: Query, body: Bytes) -> Answer {
    if body.len() > EMPTY_BODY {
        let text = "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24";
        return Err(Refusal::invalid(text));
    }
    let checkpoint = query.text("checkpoint").map(|name| which(name.to_owned(), query.text("checkpoint-dir")));
    let start = move |engine: &Engine| {
        let started = match &checkpoint {
            Some(checkpoint) => engine.restore(&id, checkpoint),
            None => engine.start(&id),
        };
        started.map_err(|error| why_not(engine, &id, error))
    };
    Ok(changed(app.blocking(start).await?))
}

fn why_not(engine: &Engine, id: &str, error: engine::Error) -> Refusal {
    match engine.inspect(id) {
        Ok(snapshot) => {
            let endpoint = stable_id(&[&snapshot.container.id.to_string(), "bridge"]);
            words::of_start(error, &snapshot.name, &endpoint)
        }
        Err(_) => error.into(),
    }
}

/// 204, or 304 when nothing had to be done.
pub fn changed(change: Change) -> axum::response::Response {
    match change {
        Change::Done => no_content(),
        Change::Already => StatusCode::NOT_MODIFIED.into_response(),
    }
}
