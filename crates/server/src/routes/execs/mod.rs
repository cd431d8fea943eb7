//! Execs: more processes in running containers.

mod create;
mod inspect;
mod resize;
mod start;

use crate::app::App;
use axum::Router;
use axum::routing::{get, post};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/containers/{id}/exec", post(create::post))
        .route("/exec/{id}/start", post(start::post))
        .route("/exec/{id}/resize", post(resize::post))
        .route("/exec/{id}/json", get(inspect::get))
}
