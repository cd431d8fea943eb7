//! One HTTP connection: the version is taken off the path, the body is read, the router answers, every answer gets its headers.

use crate::conn::Conn;
use crate::routes;
use crate::status::Refusal;
use crate::stream::body;
use crate::version;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use tower::ServiceExt;

/// Serves one connection until it is closed or hijacked.
pub async fn connection(conn: Conn, router: Router) {
    let service = hyper::service::service_fn(move |request| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(answer(request, router).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    // Names of headers as Go writes them, for those who read them with grep.
    builder.http1().title_case_headers(true);
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(conn), service).await {
        tracing::trace!(%error, "a connection ended early");
    }
}

async fn answer(request: Request<Incoming>, router: Router) -> Response {
    let started = std::time::Instant::now();
    let line = format!("{} {}", request.method(), request.uri());
    let mut response = match prepare(request).await {
        Ok(request) => match router.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(refusal) => refusal.into_response(),
    };
    add_headers(&mut response);
    tracing::debug!(status = response.status().as_u16(), took = ?started.elapsed(), "{line}");
    response
}

/// Takes the version off the path, and reads the body of every request that is not a stream.
///
/// A body that nobody reads makes the server close the connection under a client that still writes, which then fails
/// with a broken pipe and never sees the answer.
async fn prepare(request: Request<Incoming>) -> Result<Request<Body>, Refusal> {
    let (mut parts, incoming) = request.into_parts();
    let (version, rest) = version::split(parts.uri.path())?;
    let streams = parts.method == Method::POST && routes::reads_a_stream(rest);
    parts.uri = without_version(&parts.uri, rest)?;
    parts.extensions.insert(version);
    let body = Body::new(incoming);
    let body = if streams { body } else { Body::from(body::collect(body).await.map_err(Refusal::invalid)?) };
    Ok(Request::from_parts(parts, body))
}

fn without_version(uri: &Uri, path: &str) -> Result<Uri, Refusal> {
    if path.len() == uri.path().len() {
        return Ok(uri.clone());
    }
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    text.parse().map_err(|_| Refusal::invalid("invalid request path"))
}

fn add_headers(response: &mut Response) {
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    put("api-version", api::types::MAX_VERSION);
    put("docker-experimental", "false");
    put("ostype", "linux");
    headers.insert(header::SERVER, HeaderValue::from_static(concat!("Dhow/", env!("CARGO_PKG_VERSION"), " (linux)")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_stays_when_the_version_goes() {
        let uri: Uri = "/v1.41/containers/json?all=1".parse().expect("a uri");
        let rest = version::split(uri.path()).map(|(_, rest)| rest.to_owned()).expect("a version");
        assert_eq!(without_version(&uri, &rest).expect("a uri"), "/containers/json?all=1");
        let uri: Uri = "/_ping".parse().expect("a uri");
        assert_eq!(without_version(&uri, "/_ping").expect("a uri"), "/_ping");
    }
}
