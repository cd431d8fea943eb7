//! `POST /exec/{id}/resize`

use crate::app::App;
use crate::query::Query;
use crate::status::Answer;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::StatusCode;

pub async fn post(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let (rows, columns) = query.size()?;
    app.blocking(move |engine| engine.exec_resize(&id, rows, columns)).await?;
    Ok(StatusCode::OK.into_response())
}
