//! What Docker answers by the method alone: `OPTIONS` to every path, `HEAD` to two.

use super::page_not_found;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

pub async fn answer(request: Request, next: Next) -> Response {
    match *request.method() {
        Method::OPTIONS => StatusCode::OK.into_response(),
        Method::HEAD if !has_head(request.uri().path()) => page_not_found().await,
        _ => next.run(request).await,
    }
}

/// The router would answer `HEAD` wherever there is a `GET`: of an endless stream it never would.
fn has_head(path: &str) -> bool {
    path == "/_ping" || (path.starts_with("/containers/") && path.ends_with("/archive"))
}

#[cfg(test)]
mod tests {
    use super::has_head;

    #[test]
    fn head_is_for_pings_and_files() {
        assert!(has_head("/_ping") && has_head("/containers/web/archive"));
        assert!(!has_head("/events") && !has_head("/containers/web/json"));
    }
}
