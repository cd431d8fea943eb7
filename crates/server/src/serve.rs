//! One HTTP connection: the version is taken off the path, the body is read, the router answers, every answer gets its headers.

use crate::conn::Conn;
use crate::crowd::Crowd;
use crate::metrics::Meter;
use crate::routes;
use crate::spelling;
use crate::status::Refusal;
use crate::stream::body;
use crate::stream::gone::Watch;
use crate::version;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tower::ServiceExt;
use tracing::Instrument;

/// How long after its first request a client is watched: most are answered and gone by then.
const SOON: Duration = Duration::from_millis(20);

/// What one client may take of the engine before it has said anything of use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long the header of a request may take, also the first one: whoever sends it letter by letter (slowloris) is cut off.
    /// Also how long an idle connection is kept.
    pub header: Duration,
    /// Bytes of a request's header.
    pub header_bytes: usize,
    /// Requests of one HTTP/2 connection at once.
    pub streams: u32,
    /// Bytes of an HTTP/2 request's header (CVE-2023-44487 and the CONTINUATION floods of 2024 are why there are limits).
    pub header_list: u32,
    /// HTTP/2 streams that were opened and reset before anybody saw them.
    pub resets: usize,
}

impl Default for Limits {
    /// The times and numbers of Go's server, as dockerd sets it up.
    fn default() -> Limits {
        Limits {
            header: Duration::from_secs(300),
            header_bytes: 1 << 20,
            streams: 250,
            header_list: 1 << 18,
            resets: 20,
        }
    }
}

/// What all connections share.
#[derive(Clone)]
pub struct Door {
    pub router: Router,
    pub limits: Limits,
    pub meter: Arc<Meter>,
    pub crowd: Arc<Crowd>,
    /// Told with every answer.
    pub experimental: bool,
}

/// Serves one connection until it is closed or hijacked.
pub async fn connection(conn: Conn, door: Door) {
    let limits = door.limits;
    let _guest = door.crowd.enter();
    let asker = Watch::of(&conn);
    let (spoke, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let heard = (spoke.clone(), asked.clone());
    let service = hyper::service::service_fn(move |request| {
        if !heard.0.swap(true, Ordering::Relaxed) {
            heard.1.notify_one();
        }
        let door = door.clone();
        async move { Ok::<_, Infallible>(answer(request, door).await) }
    });
    let builder = builder(limits);
    let served = builder.serve_connection_with_upgrades(TokioIo::new(conn), service);
    let ended = tokio::select! {
        ended = served => ended,
        // With the connection ends what it asked for.
        () = left(asker, &asked) => return tracing::trace!("a client has gone before its answer"),
        () = silent(limits, &spoke) => return tracing::debug!("a connection without a request is closed"),
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection ended early");
    }
}

/// Returns when nothing was asked for too long: before the first bytes it is not even known which HTTP it is, and no timer of it
/// runs.
async fn silent(limits: Limits, spoke: &AtomicBool) {
    tokio::time::sleep(limits.header).await;
    if spoke.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// Returns when a client that waits for an answer has gone.
async fn left(asker: std::io::Result<Watch>, asked: &Notify) {
    asked.notified().await;
    tokio::time::sleep(SOON).await;
    let gone = async { asker?.gone().await };
    if let Err(error) = gone.await {
        tracing::warn!(%error, "a client cannot be watched");
        std::future::pending().await
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Names of headers as Go writes them, for those who read them with grep.
    builder
        .http1()
        .title_case_headers(true)
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list)
        .max_pending_accept_reset_streams(limits.resets)
        .keep_alive_interval(limits.header)
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

async fn answer(request: Request<Incoming>, door: Door) -> Response {
    let started = std::time::Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let span = tracing::info_span!(
        target: "dhow::trace", "request",
        otel.name = %format_args!("{method} {}", uri.path()), otel.parent = parent,
        http.route = uri.path(), http.status = tracing::field::Empty,
    );
    let _under_way = door.meter.begin();
    let mut response = async {
        match prepare(request).await {
            Ok(request) => match door.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Err(refusal) => refusal.into_response(),
        }
    }
    .instrument(span.clone())
    .await;
    add_headers(&mut response, door.experimental);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    span.record("http.status", status);
    door.meter.answered(&method, uri.path(), status, took);
    tracing::debug!(status, ?took, "{method} {uri}");
    response
}

/// Takes the version off the path, and reads the body of every request that is not a stream.
///
/// A body that nobody reads makes the server close the connection under a client that still writes, which then fails
/// with a broken pipe and never sees the answer.
async fn prepare(request: Request<Incoming>) -> Result<Request<Body>, Refusal> {
    let (mut parts, incoming) = request.into_parts();
    let (version, rest) = version::split(parts.uri.path())?;
    let streams = routes::reads_a_stream(&parts.method, rest);
    parts.uri = without_version(&parts.uri, rest)?;
    parts.extensions.insert(version);
    let body = Body::new(incoming);
    if streams {
        return Ok(Request::from_parts(parts, body));
    }
    let mut whole = body::collect(body).await.map_err(Refusal::invalid)?;
    if !whole.is_empty() && routes::takes_json(&parts.method, parts.uri.path()) {
        check_is_json(&parts.headers)?;
        check_is_object(&whole)?;
        whole = spelling::corrected(whole);
    }
    Ok(Request::from_parts(parts, Body::from(whole)))
}

/// As Docker. A web page may have a browser send a form or a text to any address, and nobody is asked; JSON it may not.
fn check_is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap_or("?"));
    match kind.split(';').next().unwrap_or_default().trim() {
        "" => Err(Refusal::invalid(format!("malformed Content-Type header ({kind}): mime: no media type"))),
        bare if bare.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(Refusal::invalid(format!("unsupported Content-Type header ({kind}): must be 'application/json'"))),
    }
}

/// A list would be read as the fields of an object in their order.
fn check_is_object(body: &[u8]) -> Result<(), Refusal> {
    match body.trim_ascii_start().first() {
        Some(b'[') => Err(Refusal::invalid("invalid JSON: json: cannot unmarshal array into Go value")),
        _ => Ok(()),
    }
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

fn add_headers(response: &mut Response, experimental: bool) {
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    put("api-version", api::types::MAX_VERSION);
    put("docker-experimental", if experimental { "true" } else { "false" });
    put("ostype", "linux");
    headers.insert(header::SERVER, HeaderValue::from_static(concat!("Dhow/", env!("CARGO_PKG_VERSION"), " (linux)")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    /// A client, and a server that waits for a tenth of a second.
    fn impatient() -> (UnixStream, tokio::task::JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let limits = Limits { header: Duration::from_millis(100), ..Limits::default() };
        let router = Router::new().route("/_ping", axum::routing::get(|| async { "OK" }));
        let door = Door { router, limits, meter: Arc::default(), crowd: Arc::default(), experimental: false };
        (theirs, tokio::spawn(connection(ours.into(), door)))
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_or_dawdles_is_cut_off() {
        for words in ["", "PRI * HT", "GET /_ping HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
            let (mut client, server) = impatient();
            client.write_all(words.as_bytes()).await.expect("sent");
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(10), client.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "{words:?}");
            server.await.expect("served");
        }
    }

    #[tokio::test]
    async fn a_client_that_asks_in_time_is_answered_over_and_over() {
        let (mut client, _server) = impatient();
        for _ in 0..3 {
            client.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
            let mut buffer = [0; 1024];
            let count = client.read(&mut buffer).await.expect("read");
            assert!(buffer[..count].starts_with(b"HTTP/1.1 200"));
        }
    }

    #[test]
    fn what_a_browser_sends_unasked_is_no_request() {
        let check = |kind: Option<&str>| {
            let value = kind.map(|kind| (header::CONTENT_TYPE, kind.parse().expect("a header")));
            check_is_json(&value.into_iter().collect()).map_err(|refusal| refusal.message)
        };
        assert_eq!(check(Some("application/json")), Ok(()));
        assert_eq!(check(Some("Application/JSON; charset=utf-8")), Ok(()));
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json+x", "multipart/form-data; x"]
        {
            let refused = check(Some(kind)).expect_err("no JSON");
            assert_eq!(refused, format!("unsupported Content-Type header ({kind}): must be 'application/json'"));
        }
        assert_eq!(check(None), Err("malformed Content-Type header (): mime: no media type".to_owned()));
    }

    #[test]
    fn the_query_stays_when_the_version_goes() {
        let uri: Uri = "/v1.41/containers/json?all=1".parse().expect("a uri");
        let rest = version::split(uri.path()).map(|(_, rest)| rest.to_owned()).expect("a version");
        assert_eq!(without_version(&uri, &rest).expect("a uri"), "/containers/json?all=1");
        let uri: Uri = "/_ping".parse().expect("a uri");
        assert_eq!(without_version(&uri, "/_ping").expect("a uri"), "/_ping");
    }
}
