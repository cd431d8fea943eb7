//! `GET /containers/{id}/stats`: one JSON object a second.

use crate::app::App;
use crate::present::stats::{self, Subject};
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::stream::body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use engine::{Engine, Look, Looks};
use http::{StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// Between the two looks of `stream=false`: long beside the few milliseconds in which the kernel counts the use of processors.
const BETWEEN: Duration = Duration::from_millis(200);

pub async fn get(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let (stream, one_shot) = (query.flag_or("stream", true), query.flag("one-shot"));
    if stream && one_shot {
        return Err(Refusal::invalid("cannot have stream=true and one-shot=true"));
    }
    if stream {
        let watched = move |engine: &Engine| Ok::<_, Refusal>((subject(engine, &id)?, engine.looks(&id)?));
        let (subject, looks) = app.reading(watched).await?;
        return Ok(streamed(subject, looks));
    }
    let (subject, first) =
        app.reading(move |engine| Ok::<_, Refusal>((subject(engine, &id)?, engine.look(&id)?))).await?;
    if one_shot || first.is_none() {
        return Ok(status::json(StatusCode::OK, &stats::of(&subject, first.as_deref(), None)));
    }
    // Two looks, so that a client can tell the use of processors.
    tokio::time::sleep(BETWEEN).await;
    let id = subject.id.clone();
    // Removed meanwhile, it does not run either.
    let second = app.reading(move |engine| Ok::<_, Refusal>(engine.look(&id).unwrap_or_default())).await?;
    Ok(status::json(StatusCode::OK, &stats::of(&subject, second.as_deref(), first.as_deref())))
}

fn subject(engine: &Engine, id: &str) -> Result<Subject, Refusal> {
    let (id, name) = engine.identity(id)?;
    Ok(Subject { id: id.to_string(), name, version: engine.cgroup_version() })
}

type Seen = Option<Arc<Look>>;

/// Every look until the client goes, or the container is removed.
fn streamed(subject: Subject, mut looks: Looks) -> axum::response::Response {
    let (send, body) = body::streamed();
    tokio::spawn(async move {
        let mut before: Seen = None;
        loop {
            let now = looks.borrow_and_update().clone();
            let line = body::line(&stats::of(&subject, now.as_deref(), before.as_deref()));
            if send.send(line).await.is_err() {
                return;
            }
            before = now;
            let changed = tokio::select! {
                changed = looks.changed() => changed,
                () = send.closed() => return,
            };
            if changed.is_err() {
                return;
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
