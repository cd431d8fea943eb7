//! Parts of the API that this engine does not have yet: each says so, so that no client waits or guesses.

use crate::app::App;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use engine::EventKind;
use http::StatusCode;
use serde_json::json;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/build", post(|| says("building images")))
        .route("/build/prune", post(nothing_pruned))
        .route("/build/cancel", post(nothing_cancelled))
        // Clients that find nothing here fall back to what they did before BuildKit.
        .route("/grpc", any(super::page_not_found))
        .route("/session", any(super::page_not_found))
}

/// There is no build cache. `docker system prune` asks for its end, and fails on any error.
async fn nothing_pruned(State(app): State<App>) -> Response {
    app.engine.tell_prune(EventKind::Builder, 0);
    status::json(StatusCode::OK, &json!({"CachesDeleted": null, "SpaceReclaimed": 0}))
}

/// A build that does not run is as good as cancelled.
async fn nothing_cancelled(query: Query) -> Answer {
    match query.text("id") {
        Some(_) => Ok(StatusCode::OK.into_response()),
        None => Err(Refusal::invalid("build ID not provided")),
    }
}

async fn says(what: &'static str) -> Response {
    not_yet(what).into_response()
}

/// 501
pub fn not_yet(what: &str) -> Refusal {
    Refusal::unsupported(format!("{what} is not supported by this engine yet"))
}
