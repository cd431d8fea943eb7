//! Containers.

mod archive;
mod attach;
mod changes;
mod checkpoints;
mod commit;
pub(super) mod create;
mod egress;
mod export;
mod inspect;
mod list;
mod logs;
mod pause;
mod platform;
mod prune;
mod remove;
mod rename;
mod start;
mod stats;
mod stop;
mod top;
mod update;
mod wait;

use crate::app::App;
use axum::Router;
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
        .route("/containers/{id}/attach/ws", get(attach::websocket))
        .route("/containers/{id}/resize", post(attach::resize))
        .route("/containers/{id}/update", post(update::post))
        .route("/containers/{id}/egress", get(egress::get))
        .route("/containers/{id}/rename", post(rename::post))
        .route("/containers/{id}/changes", get(changes::get))
        .route("/containers/{id}/export", get(export::get))
        .route("/containers/{id}/archive", get(archive::get).head(archive::head).put(archive::put))
        .route("/containers/{id}", delete(remove::delete))
        .route("/containers/{id}/{alias}", delete(remove::delete_link))
        .route("/commit", post(commit::post))
        .route("/containers/{id}/checkpoints", get(checkpoints::get).post(checkpoints::post))
        .route("/containers/{id}/checkpoints/{checkpoint}", delete(checkpoints::delete))
}
