//! Builds.

mod asked;
mod cache;
mod classic;
mod context;
pub mod kit;
mod local;
mod tell;
pub mod words;

use crate::app::App;
use axum::Router;
use axum::routing::post;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/build", post(classic::post))
        .route("/build/local", post(local::post))
        .route("/build/prune", post(cache::prune))
        .route("/build/cancel", post(classic::cancel))
        .route("/grpc", post(kit::grpc))
        .route("/session", post(kit::session))
}

pub use cache::rows;
