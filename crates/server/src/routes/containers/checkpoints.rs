//! `/containers/{id}/checkpoints`: made, listed, deleted. Docker's own have to be switched on by `experimental`; these are always there.

use crate::app::App;
use crate::query::Query;
use crate::routes::json_body;
use crate::status::{self, Answer, no_content};
use api::types::{CheckpointCreate, CheckpointSummary};
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use bytes::Bytes;
use engine::{Afterwards, Checkpoint};
use http::StatusCode;
use std::path::PathBuf;

pub async fn post(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    let asked: CheckpointCreate = json_body(&body)?;
    let which = which(asked.checkpoint_id, Some(&asked.checkpoint_dir));
    let afterwards = if asked.exit { Afterwards::Ends } else { Afterwards::GoesOn };
    app.to_the_end(|engine| async move { engine.checkpoint(&id, which, afterwards).await }).await?;
    Ok(StatusCode::CREATED.into_response())
}

pub async fn get(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let folder = query.text("dir").map(PathBuf::from);
    let names = app.blocking(move |engine| engine.checkpoints(&id, folder.as_deref())).await?;
    let all: Vec<_> = names.into_iter().map(|name| CheckpointSummary { name }).collect();
    Ok(status::json(StatusCode::OK, &all))
}

pub async fn delete(State(app): State<App>, Path((id, name)): Path<(String, String)>, query: Query) -> Answer {
    let which = which(name, query.text("dir"));
    app.blocking(move |engine| engine.remove_checkpoint(&id, &which)).await?;
    Ok(no_content())
}

/// An empty folder is none.
pub fn which(name: String, folder: Option<&str>) -> Checkpoint {
    Checkpoint { name, folder: folder.filter(|folder| !folder.is_empty()).map(PathBuf::from) }
}
