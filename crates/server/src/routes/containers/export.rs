//! `GET /containers/{id}/export`: a container's whole root as a tar.

use crate::app::App;
use crate::status::{Answer, Refusal};
use crate::stream::begun;
use axum::extract::{Path, State};

pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let work = move |engine: &engine::Engine, sink: &mut begun::Sink| engine.export(&id, sink).map_err(Refusal::from);
    begun::archive(&app, "application/octet-stream", work).await
}
