//! Parts of the API that this engine does not have yet: each says so, so that no client waits or guesses.

use crate::app::App;
use crate::status::{self, Refusal};
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::StatusCode;
use serde_json::json;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/build", post(|| says("building images")))
        .route("/build/prune", post(nothing_pruned))
        .route("/build/cancel", post(|| says("building images")))
        .route("/plugins", get(no_plugins))
        .route("/plugins/{*rest}", any(|| says("using plugins")))
        // Clients that find nothing here fall back to what they did before BuildKit.
        .route("/grpc", any(super::page_not_found))
        .route("/session", any(super::page_not_found))
}

async fn no_plugins() -> Response {
    status::json(StatusCode::OK, &json!([]))
}

/// There is no build cache. `docker system prune` asks for its end, and fails on any error.
async fn nothing_pruned() -> Response {
    status::json(StatusCode::OK, &json!({"CachesDeleted": null, "SpaceReclaimed": 0}))
}

async fn says(what: &'static str) -> Response {
    not_yet(what).into_response()
}

/// 501
pub fn not_yet(what: &str) -> Refusal {
    Refusal::unsupported(format!("{what} is not supported by this engine yet"))
}
