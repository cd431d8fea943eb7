//! `GET /containers/{id}/stats`: one JSON object a second.

use crate::app::App;
use crate::present::stats::{self, Subject};
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::stream::body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use engine::{Look, Looks};
use http::{StatusCode, header};
use std::sync::Arc;

pub async fn get(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let (stream, one_shot) = (query.flag_or("stream", true), query.flag("one-shot"));
    if stream && one_shot {
        return Err(Refusal::invalid("cannot have stream=true and one-shot=true"));
    }
    let subject = subject(&app, id.clone()).await?;
    if stream {
        let looks = app.blocking(move |engine| engine.looks(&id)).await?;
        return Ok(streamed(subject, looks));
    }
    let own = id.clone();
    let first = app.blocking(move |engine| engine.look(&own)).await?;
    if one_shot || first.is_none() {
        return Ok(status::json(StatusCode::OK, &stats::of(&subject, first.as_deref(), None)));
    }
    // Two looks, so that a client can tell the use of processors.
    let looks = app.blocking(move |engine| engine.looks(&id)).await?;
    let (before, now) = two(looks).await;
    Ok(status::json(StatusCode::OK, &stats::of(&subject, now.as_deref(), before.as_deref())))
}

async fn subject(app: &App, id: String) -> Result<Subject, Refusal> {
    app.blocking(move |engine| {
        let snapshot = engine.inspect(&id)?;
        let version = engine.cgroup_version();
        Ok::<_, Refusal>(Subject { id: snapshot.container.id.to_string(), name: snapshot.name, version })
    })
    .await
}

type Seen = Option<Arc<Look>>;

/// What is known, and the next look.
async fn two(mut looks: Looks) -> (Seen, Seen) {
    let before = looks.borrow_and_update().clone();
    match looks.changed().await {
        Ok(()) => (before, looks.borrow_and_update().clone()),
        // Removed meanwhile.
        Err(_) => (None, None),
    }
}

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
