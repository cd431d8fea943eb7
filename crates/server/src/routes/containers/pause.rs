//! `POST /containers/{id}/pause` and `/unpause`

use crate::app::App;
use crate::status::{Answer, no_content};
use axum::extract::{Path, State};

pub async fn pause(State(app): State<App>, Path(id): Path<String>) -> Answer {
    app.blocking(move |engine| engine.pause(&id)).await?;
    Ok(no_content())
}

pub async fn unpause(State(app): State<App>, Path(id): Path<String>) -> Answer {
    app.blocking(move |engine| engine.unpause(&id)).await?;
    Ok(no_content())
}
