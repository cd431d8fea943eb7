//! `POST /grpc` and `POST /session`: the doors of BuildKit's clients (`docker buildx`, `docker compose build`). Both become bare
//! connections: on the first the engine answers, on the second the client does.

use super::asked;
use crate::app::{App, WeakApp};
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::version;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use build::request::Entitlements;
use buildkit::{Error, House, Identity, Service};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// The protocol that a client may ask for.
const PROTOCOL: &str = "h2c";

pub async fn grpc(State(app): State<App>, request: axum::extract::Request) -> Answer {
    let service = app.build_service();
    switched(request, "no upgrade proto in request", move |io, _| async move { service.serve(io).await })
}

pub async fn session(State(app): State<App>, request: axum::extract::Request) -> Answer {
    let service = app.build_service();
    switched(request, "no upgrade proto in request", move |io, headers| async move {
        service.session(io, &headers).await;
    })
}

/// Answers with 101 and gives the bare connection away. What the client has sent by then comes first.
fn switched<F, W>(request: axum::extract::Request, refusal: &str, work: W) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
    W: FnOnce(TokioIo<Upgraded>, HeaderMap) -> F + Send + 'static,
{
    let (mut parts, _) = request.into_parts();
    let asked = parts.headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if asked.is_empty() {
        return Err(Refusal::invalid(refusal));
    }
    if !asked.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case(PROTOCOL)) {
        return Err(Refusal::invalid(format!("protocol {asked} not supported")));
    }
    let upgrade = upgrade_of(&mut parts)?;
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => work(TokioIo::new(upgraded), parts.headers).await,
            Err(error) => tracing::debug!(%error, "a connection was not handed over"),
        }
    });
    Ok(answer())
}

fn upgrade_of(parts: &mut Parts) -> Result<OnUpgrade, Refusal> {
    let none = || Refusal::invalid("this connection cannot be upgraded: it speaks HTTP/2 already");
    parts.extensions.remove::<OnUpgrade>().ok_or_else(none)
}

fn answer() -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

/// The engine, as the protocol sees it.
struct Behind(WeakApp);

/// The protocol's service before an engine.
pub fn service(app: &App) -> Service {
    let folder = app.engine.settings().data_root.join("build");
    Service::new(Arc::new(Behind(app.downgrade())), &folder)
}

impl Behind {
    fn app(&self) -> Result<App, Error> {
        self.0.upgrade().ok_or_else(|| Error::Gone("the engine is about to end".to_owned()))
    }
}

impl House for Behind {
    fn builder(&self) -> buildkit::Result<build::Builder> {
        Ok(self.app()?.builder()?)
    }

    fn steps(&self) -> buildkit::Result<container::Config> {
        let steps = asked::steps(&self.app()?, version::MAX, &Query::default());
        steps.map_err(|refusal| Error::Invalid(refusal.message))
    }

    fn rights(&self) -> buildkit::Result<Entitlements> {
        Ok(self.app()?.options().rights)
    }

    fn identity(&self) -> buildkit::Result<Identity> {
        let info = self.app()?.engine.info();
        Ok(Identity { id: info.id, hostname: info.hostname, gateway: Some(info.gateway.into()) })
    }
}
