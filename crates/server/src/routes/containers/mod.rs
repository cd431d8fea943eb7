//! Containers.

mod attach;
mod changes;
mod commit;
mod create;
mod export;
mod inspect;
mod list;
mod logs;
mod pause;
mod prune;
mod remove;
mod rename;
mod start;
mod stats;
mod stop;
mod top;
mod wait;

use super::unsupported::not_yet;
use crate::app::App;
use crate::status::Answer;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{delete, get, post};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/containers/json", get(list::get))
        .route("/containers/create", post(create::post))
        .route("/containers/prune", post(prune::post))
        .route("/containers/{id}/json", get(inspect::get))
        .route("/containers/{id}/top", get(top::get))
        .route("/containers/{id}/logs", get(logs::get))
        .route("/containers/{id}/stats", get(stats::get))
        .route("/containers/{id}/start", post(start::post))
        .route("/containers/{id}/stop", post(stop::stop))
        .route("/containers/{id}/restart", post(stop::restart))
        .route("/containers/{id}/kill", post(stop::kill))
        .route("/containers/{id}/pause", post(pause::pause))
        .route("/containers/{id}/unpause", post(pause::unpause))
        .route("/containers/{id}/wait", post(wait::post))
        .route("/containers/{id}/attach", post(attach::post))
        .route("/containers/{id}/resize", post(attach::resize))
        .route("/containers/{id}/rename", post(rename::post))
        .route("/containers/{id}/changes", get(changes::get))
        .route("/containers/{id}/export", get(export::get))
        .route("/containers/{id}", delete(remove::delete))
        .route("/commit", post(commit::post))
        .merge(missing())
}

/// What is not there yet: said of a container that exists, so that a wrong name is still "not found".
fn missing() -> Router<App> {
    Router::new()
        .route(
            "/containers/{id}/update",
            post(|app: State<App>, id: Path<String>| says(app, id, "changing limits of a container")),
        )
        .route(
            "/containers/{id}/archive",
            get(|app: State<App>, id: Path<String>| says(app, id, "copying files"))
                .put(|app: State<App>, id: Path<String>| says(app, id, "copying files")),
        )
        .route(
            "/containers/{id}/attach/ws",
            get(|app: State<App>, id: Path<String>| says(app, id, "attaching by websocket")),
        )
        .route(
            "/containers/{id}/checkpoints",
            get(|app: State<App>, id: Path<String>| says(app, id, "making checkpoints")),
        )
}

async fn says(State(app): State<App>, Path(id): Path<String>, what: &'static str) -> Answer {
    app.blocking(move |engine| engine.inspect(&id)).await?;
    Err(not_yet(what))
}
