//! Builds.

mod asked;
mod cache;
mod classic;
mod context;
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
}

pub use cache::rows;
