//! Volumes. The engine makes and mounts them; managing them by themselves is not there yet.

use super::unsupported::not_yet;
use crate::app::App;
use crate::status::Answer;
use axum::Router;
use axum::routing::{get, post};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/volumes", get(none))
        .route("/volumes/create", post(none))
        .route("/volumes/prune", post(none))
        .route("/volumes/{name}", get(none).delete(none).put(none))
}

async fn none() -> Answer {
    Err(not_yet("managing volumes by themselves"))
}
