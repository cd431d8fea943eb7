//! `GET /containers/{id}/stats`: one JSON object a second.

use crate::app::App;
use crate::present::stats::{self, Sample, Traffic};
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::stream::body;
use crate::times;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use engine::Engine;
use http::{StatusCode, header};
use serde_json::Value;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

pub async fn get(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let (first, sample) = look(&app, id.clone(), Sample::default()).await?;
    if !query.flag_or("stream", true) {
        if query.flag("one-shot") || sample.at == 0 {
            return Ok(status::json(StatusCode::OK, &first));
        }
        // Two looks, so that a client can tell the use of processors.
        tokio::time::sleep(SECOND).await;
        let (second, _) = look(&app, id, sample).await?;
        return Ok(status::json(StatusCode::OK, &second));
    }
    let (send, body) = body::streamed();
    tokio::spawn(async move {
        let (mut answer, mut sample) = (first, sample);
        while send.send(body::line(&answer)).await.is_ok() {
            tokio::select! {
                () = tokio::time::sleep(SECOND) => {}
                () = send.closed() => return,
            }
            match look(&app, id.clone(), sample).await {
                Ok(next) => (answer, sample) = next,
                Err(_) => return,
            }
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// One look, told against the one before.
async fn look(app: &App, id: String, before: Sample) -> Result<(Value, Sample), Refusal> {
    app.blocking(move |engine| {
        let snapshot = engine.inspect(&id)?;
        let Some(usage) = engine.usage(&id)? else {
            return Ok::<_, Refusal>((stats::empty(&snapshot), Sample::default()));
        };
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let (system, processors) = stats::system_time(&stat);
        let traffic = snapshot.endpoint.as_ref().and_then(|end| Traffic::of_host_link(&end.host_link));
        let now = Sample { at: times::now(), usage, system, processors, traffic };
        let answer = stats::of(&snapshot, &now, &before, memory(engine));
        Ok((answer, now))
    })
    .await
}

/// Bytes of the machine: the limit of a container that has none.
fn memory(engine: &Engine) -> u64 {
    engine.info().memory
}
