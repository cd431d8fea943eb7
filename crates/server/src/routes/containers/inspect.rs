//! `GET /containers/{id}/json`

use crate::app::App;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use api::types::ContainerInspect;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine::{Engine, Snapshot};
use http::{StatusCode, header};

pub async fn get(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    if query.flag("size") {
        return with_sizes(&app, id).await;
    }
    let found = app.engine.find(&id)?;
    if let Some(text) = app.kept().get(&found) {
        return Ok(answer(text));
    }
    let Some(snapshot) = found.glimpse() else {
        return Ok(answer(app.blocking(move |engine| text(engine, &engine.inspect(&id)?)).await?));
    };
    let text = text(&app.engine, &snapshot)?;
    if snapshot.execs.is_empty() {
        app.kept().put(&found, &text);
    }
    Ok(answer(text))
}

fn answer(text: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn text(engine: &Engine, snapshot: &Snapshot) -> Result<Bytes, Refusal> {
    let text = serde_json::to_vec(&shown(engine, snapshot));
    let mut text = text.map_err(|error| Refusal::internal(error.to_string()))?;
    text.push(b'\n');
    // What is kept has no room to spare.
    Ok(text.into_boxed_slice().into())
}

/// Sizes are those of files, which are counted.
async fn with_sizes(app: &App, id: String) -> Answer {
    let answer = app.blocking(move |engine| {
        let snapshot = engine.inspect(&id)?;
        let mut answer = shown(engine, &snapshot);
        (answer.size_rw, answer.size_root_fs) = present::summary::sizes(engine.sizes(&snapshot));
        Ok::<_, Refusal>(answer)
    });
    Ok(status::json(StatusCode::OK, &answer.await?))
}

fn shown(engine: &Engine, snapshot: &Snapshot) -> ContainerInspect {
    let layers = engine.layer_folders(&snapshot.container.image_id);
    ContainerInspect {
        graph_driver: present::inspect::graph_driver(snapshot, &layers),
        ..present::inspect::of(snapshot)
    }
}
