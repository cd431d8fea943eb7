//! `Control`: builds are begun, watched and remembered, the cache is looked at and made smaller.

pub(crate) mod content;
pub(crate) mod history;
mod tunnel;
mod usage;
pub(crate) mod workers;

use crate::builds::Builds;
use crate::progress::Board;
use crate::status;
use bollard_buildkit_proto::moby::buildkit::v1::control_server::Control;
use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryEvent, BuildHistoryRequest, BytesMessage, DiskUsageRequest, DiskUsageResponse, InfoRequest,
    InfoResponse, ListWorkersRequest, ListWorkersResponse, PruneRequest, SolveRequest, SolveResponse, StatusRequest,
    StatusResponse, UpdateBuildHistoryRequest, UpdateBuildHistoryResponse, UsageRecord,
};
use futures_util::stream::BoxStream;
use std::sync::Arc;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Debug, Clone)]
pub struct Controller {
    builds: Arc<Builds>,
}

impl Controller {
    pub fn new(builds: Arc<Builds>) -> Controller {
        Controller { builds }
    }
}

/// Clients show times against the engine's clock.
fn timed<T>(answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    let now = jiff::Timestamp::now().to_string();
    if let Ok(value) = now.parse::<AsciiMetadataValue>() {
        response.metadata_mut().insert("buildkit-currenttimestamp-sentinel", value);
    }
    response
}

/// What is told of a build, from its beginning to its end.
fn told(board: Arc<Board>) -> BoxStream<'static, Result<StatusResponse, Status>> {
    let news = board.news();
    Box::pin(futures_util::stream::unfold((board, news, 0), |(board, mut news, from)| async move {
        loop {
            // Looked at before the board is: what comes between is not missed.
            news.borrow_and_update();
            let (answer, next) = board.since(from)?;
            if next > from {
                return Some((Ok(answer), (board, news, next)));
            }
            news.changed().await.ok()?;
        }
    }))
}

#[tonic::async_trait]
impl Control for Controller {
    async fn solve(&self, request: Request<SolveRequest>) -> Result<Response<SolveResponse>, Status> {
        self.builds.run(request.into_inner()).await.map(Response::new)
    }

    type StatusStream = BoxStream<'static, Result<StatusResponse, Status>>;

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<Self::StatusStream>, Status> {
        let name = request.into_inner().r#ref;
        match self.builds.board(&name).await {
            Ok(board) => Ok(timed(told(board))),
            Err(error) => match self.builds.history.told(&name) {
                Some(answers) => Ok(timed(Box::pin(tokio_stream::iter(answers.into_iter().map(Ok))))),
                None => Err(status::plain(&error)),
            },
        }
    }

    type SessionStream = BoxStream<'static, Result<BytesMessage, Status>>;

    async fn session(
        &self,
        request: Request<tonic::Streaming<BytesMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let headers = request.metadata().clone().into_headers();
        Ok(Response::new(tunnel::begin(&self.builds.sessions, headers, request.into_inner())))
    }

    async fn list_workers(
        &self,
        _request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let record = vec![workers::record(&*self.builds.house).map_err(|error| status::plain(&error))?];
        Ok(Response::new(ListWorkersResponse { record }))
    }

    async fn info(&self, _request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        Ok(Response::new(InfoResponse { buildkit_version: Some(workers::version()) }))
    }

    async fn disk_usage(&self, request: Request<DiskUsageRequest>) -> Result<Response<DiskUsageResponse>, Status> {
        usage::list(&self.builds, request.into_inner()).await.map(Response::new)
    }

    type PruneStream = tokio_stream::Iter<std::vec::IntoIter<Result<UsageRecord, Status>>>;

    async fn prune(&self, request: Request<PruneRequest>) -> Result<Response<Self::PruneStream>, Status> {
        let gone = usage::prune(&self.builds, request.into_inner()).await?;
        Ok(Response::new(tokio_stream::iter(gone.into_iter().map(Ok).collect::<Vec<_>>())))
    }

    type ListenBuildHistoryStream = BoxStream<'static, Result<BuildHistoryEvent, Status>>;

    async fn listen_build_history(
        &self,
        request: Request<BuildHistoryRequest>,
    ) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        Ok(timed(self.builds.history.listen(request.into_inner())))
    }

    async fn update_build_history(
        &self,
        request: Request<UpdateBuildHistoryRequest>,
    ) -> Result<Response<UpdateBuildHistoryResponse>, Status> {
        self.builds.history.update(&request.into_inner()).map_err(|error| status::plain(&error))?;
        Ok(Response::new(UpdateBuildHistoryResponse {}))
    }
}
