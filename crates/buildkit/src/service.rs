//! The protocol on a connection: an HTTP/2 server for the calls of one client.

use crate::builds::Builds;
use crate::control::Controller;
use crate::control::content::Content;
use crate::gateway::Gateway;
use crate::house::House;
use crate::session::Sessions;
use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard_buildkit_proto::moby::buildkit::v1::control_server::ControlServer;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_server::LlbBridgeServer;
use http::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// Bytes of one message, as BuildKit has it.
const LARGEST: usize = 16 << 20;
/// Calls of one client at once; each build has a few, and compose builds many.
const CALLS: u32 = 1000;
/// Bytes of a call's header (the CONTINUATION floods of 2024 are why there is a limit); attributes of builds are not in it.
const HEADER: u32 = 1 << 18;
/// Calls that were opened and reset before anybody saw them (CVE-2023-44487).
const RESETS: usize = 100;
/// A client that says nothing for so long is asked for a sign.
const QUIET: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(60);

/// The door. Clones share it.
#[derive(Debug, Clone)]
pub struct Service {
    sessions: Sessions,
    routes: Routes,
}

/// Answers that all is well: clients ask before they use a connection.
#[derive(Debug, Clone, Copy)]
struct Well;

#[tonic::async_trait]
impl Health for Well {
    async fn check(&self, _request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _request: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let well = HealthCheckResponse { status: ServingStatus::Serving.into() };
        Ok(Response::new(HealthListResponse { statuses: HashMap::from([(String::new(), well)]) }))
    }

    type WatchStream = tokio_stream::Once<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let well = HealthCheckResponse { status: ServingStatus::Serving.into() };
        Ok(Response::new(tokio_stream::once(Ok(well))))
    }
}

impl Service {
    /// The door of an engine; in `folder` it remembers what was built.
    pub fn new(house: Arc<dyn House>, folder: &Path) -> Service {
        let sessions = Sessions::default();
        let builds = Arc::new(Builds::new(house, sessions.clone(), folder));
        let control = ControlServer::new(Controller::new(builds.clone()))
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(LARGEST);
        let gateway = LlbBridgeServer::new(Gateway::new(builds.clone()))
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(2 * LARGEST);
        let content = Content::new(builds.history.blobs());
        let routes =
            Routes::new(control).add_service(gateway).add_service(content).add_service(HealthServer::new(Well));
        Service { sessions, routes: routes.prepare() }
    }

    /// Answers the calls of a client, until it goes.
    pub async fn serve<I>(&self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(CALLS)
            .max_header_list_size(HEADER)
            .max_pending_accept_reset_streams(RESETS)
            .keep_alive_interval(QUIET)
            .keep_alive_timeout(PATIENCE);
        let service = TowerToHyperService::new(self.routes.clone());
        if let Err(error) = http2.serve_connection(TokioIo::new(io), service).await {
            tracing::debug!("a builder's client: {error}");
        }
    }

    /// Takes a connection over which a client answers what builds ask, until it ends.
    pub async fn session<I>(&self, io: I, headers: &HeaderMap)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Err(error) = self.sessions.serve(io, headers).await {
            tracing::debug!("a session was refused: {error}");
        }
    }
}
