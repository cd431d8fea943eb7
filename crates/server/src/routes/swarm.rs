//! Clusters of Docker's own kind: this engine is never a member of one.

use crate::app::App;
use crate::status::Refusal;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::StatusCode;

pub fn routes() -> Router<App> {
    let paths = [
        "/swarm",
        "/swarm/update",
        "/swarm/unlockkey",
        "/swarm/unlock",
        "/nodes",
        "/nodes/{*rest}",
        "/services",
        "/services/{*rest}",
        "/tasks",
        "/tasks/{*rest}",
        "/secrets",
        "/secrets/{*rest}",
        "/configs",
        "/configs/{*rest}",
    ];
    let router = paths.iter().fold(Router::new(), |router, path| router.route(path, any(not_a_manager)));
    ["/swarm/init", "/swarm/join"]
        .iter()
        .fold(router, |router, path| router.route(path, any(no_swarm)))
        .route("/swarm/leave", any(not_a_member))
}

async fn not_a_manager() -> Response {
    let text = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn not_a_member() -> Response {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "This node is not part of a swarm").into_response()
}

async fn no_swarm() -> Response {
    Refusal::unsupported("this engine has no swarm mode: use Kubernetes for more than one machine").into_response()
}
