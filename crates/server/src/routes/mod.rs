//! The routes of the Docker Engine API: a folder for each noun, a file for each verb.

mod build;
mod by_method;
mod containers;
mod events_filter;
mod execs;
mod images;
mod networks;
mod plugins;
mod swarm;
mod system;
mod unsupported;
mod volumes;

use crate::app::App;
use crate::query::Query;
use crate::status::Refusal;
use crate::version::ApiVersion;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::Method;
use http::request::Parts;
use serde::de::DeserializeOwned;

/// All routes.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(system::routes())
        .merge(containers::routes())
        .merge(execs::routes())
        .merge(images::routes())
        .merge(networks::routes())
        .merge(volumes::routes())
        .merge(plugins::routes())
        .merge(swarm::routes())
        .merge(build::routes())
        .fallback(page_not_found)
        .method_not_allowed_fallback(page_not_found)
        .layer(axum::middleware::from_fn(by_method::answer))
        .with_state(app)
}

/// Whether such a request sends a body that is too long to be read whole.
pub fn reads_a_stream(method: &Method, path: &str) -> bool {
    match *method {
        Method::POST => matches!(path, "/images/load" | "/images/create" | "/build"),
        Method::PUT => path.starts_with("/containers/") && path.ends_with("/archive"),
        _ => false,
    }
}

/// Whether the body of such a request is JSON.
pub fn takes_json(method: &Method, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    *method == Method::POST
        && matches!(
            parts[..],
            ["containers" | "networks" | "volumes", "create"]
                | ["containers", _, "update" | "exec" | "checkpoints"]
                | ["exec", _, "start"]
                | ["networks", _, "connect" | "disconnect"]
                | ["auth" | "commit"]
        )
}

pub use build::kit::service as build_service;
pub use build::words::refused as refused_build;

async fn page_not_found() -> Response {
    Refusal::not_found("page not found").into_response()
}

impl<S: Sync> FromRequestParts<S> for ApiVersion {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<ApiVersion, Refusal> {
        Ok(parts.extensions.get().copied().unwrap_or(crate::version::MAX))
    }
}

/// The JSON body of a request; an empty one is the default.
fn json_body<T: Default + DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| Refusal::invalid(format!("invalid JSON: {error}")))
}

/// Numbers of a console size, as (rows, columns); (0, 0) is none.
fn console_size(asked: Option<(u32, u32)>) -> Option<(u16, u16)> {
    let side = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    asked.filter(|size| *size != (0, 0)).map(|(rows, columns)| (side(rows), side(columns)))
}

/// The signal and the seconds of stop and restart.
fn stop_request(version: ApiVersion, query: &Query) -> Result<engine::StopRequest, Refusal> {
    let signal = query.text("signal").filter(|_| version.has(42)).map(str::to_owned);
    Ok(engine::StopRequest { signal, timeout: query.number("t").map_err(|wrong| Refusal::internal(wrong.message))? })
}
