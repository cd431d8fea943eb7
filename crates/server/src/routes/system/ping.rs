//! `GET` and `HEAD /_ping`: whether an engine is there and what it can do, in headers.

use axum::response::{IntoResponse, Response};
use http::header;

/// `Builder-Version: 2` is BuildKit: a client that has it uses it, one that has not says so and builds as before.
pub async fn get() -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    let own = [("builder-version", "2"), ("swarm", "inactive")];
    (headers, own, "OK").into_response()
}
