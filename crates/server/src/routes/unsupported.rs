//! Parts of the API that this engine does not have yet: each says so, so that no client waits or guesses.

use crate::app::App;
use crate::status::Refusal;
use axum::Router;
use axum::routing::any;

pub fn routes() -> Router<App> {
    Router::new()
        // Clients that find nothing here fall back to what they did before BuildKit.
        .route("/grpc", any(super::page_not_found))
        .route("/session", any(super::page_not_found))
}

/// 501
pub fn not_yet(what: &str) -> Refusal {
    Refusal::unsupported(format!("{what} is not supported by this engine yet"))
}
