//! `LLBBridge`: what a client asks of the builder while its build goes on.

mod caps;
mod definition;
mod files;
mod result;

pub(crate) use caps::missing as missing_capability;
pub use definition::{Definition, of_result};
pub(crate) use result::platform_id;

use crate::builds::{Asked, Builds, Frontend, Job, Made, PATIENCE, Returned};
use crate::control::workers;
use crate::frontend::CacheEntry;
use crate::{Error, status};
use bollard_buildkit_proto::moby::buildkit::v1::VertexWarning;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_server::LlbBridge;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    self as wire, EvaluateRequest, EvaluateResponse, ExecMessage, InputsRequest, InputsResponse, NewContainerRequest,
    NewContainerResponse, PingRequest, PongResponse, ReadDirRequest, ReadDirResponse, ReadFileRequest,
    ReadFileResponse, ReleaseContainerRequest, ReleaseContainerResponse, ResolveImageConfigRequest,
    ResolveImageConfigResponse, ResolveSourceMetaRequest, ResolveSourceMetaResponse, ReturnRequest, ReturnResponse,
    StatFileRequest, StatFileResponse, WarnRequest, WarnResponse,
};
use registry::Cancel;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The name under which a client says which build it speaks of.
const BUILD: &str = "buildkit-controlapi-buildid";

/// The service.
#[derive(Debug, Clone)]
pub struct Gateway {
    builds: Arc<Builds>,
}

/// Ends what was asked for when the client does not wait for it any more.
struct Waiting(Cancel);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Gateway {
    pub fn new(builds: Arc<Builds>) -> Gateway {
        Gateway { builds }
    }

    async fn job<T>(&self, request: &Request<T>) -> Result<Arc<Job>, Status> {
        let name = request.metadata().get(BUILD).and_then(|value| value.to_str().ok());
        let name = name.ok_or_else(|| Status::invalid_argument("no buildid found in context"))?;
        self.builds.job(name, PATIENCE).await.map_err(|error| status::plain(&error))
    }

    /// Does something with what a build made, on a thread that may wait.
    async fn with_made<T, R>(
        &self,
        request: &Request<T>,
        id: &str,
        work: impl FnOnce(&Made) -> crate::Result<R> + Send + 'static,
    ) -> Result<Response<R>, Status>
    where
        R: Send + 'static,
    {
        let made = self.job(request).await?.made(id).map_err(|error| status::plain(&error))?;
        let done = tokio::task::spawn_blocking(move || work(&made)).await;
        let done = done.unwrap_or_else(|_| Err(Error::Internal("the engine's log tells more".to_owned())));
        done.map(Response::new).map_err(|error| status::plain(&error))
    }
}

fn unsupported<T>(what: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!("{what} is not supported by this engine")))
}

#[tonic::async_trait]
impl LlbBridge for Gateway {
    async fn ping(&self, _request: Request<PingRequest>) -> Result<Response<PongResponse>, Status> {
        Ok(Response::new(PongResponse {
            frontend_api_caps: caps::frontend(),
            llb_caps: caps::llb(),
            workers: vec![workers::record(&*self.builds.house).map_err(|error| status::plain(&error))?],
        }))
    }

    async fn solve(&self, request: Request<wire::SolveRequest>) -> Result<Response<wire::SolveResponse>, Status> {
        let job = self.job(&request).await?;
        let asked = asked(request.into_inner()).map_err(|error| status::plain(&error))?;
        let cancel = job.cancel.child();
        let _waiting = Waiting(cancel.clone());
        let solved = self.builds.solve(&job, asked, cancel).await?;
        Ok(Response::new(wire::SolveResponse { r#ref: String::new(), result: Some(result::of(&solved)) }))
    }

    async fn r#return(&self, request: Request<ReturnRequest>) -> Result<Response<ReturnResponse>, Status> {
        let job = self.job(&request).await?;
        let ReturnRequest { result, error } = request.into_inner();
        job.r#return(match error {
            Some(error) => Returned::Failed(error),
            None => Returned::Made(result.map(result::ids).unwrap_or_default()),
        });
        Ok(Response::new(ReturnResponse {}))
    }

    async fn evaluate(&self, request: Request<EvaluateRequest>) -> Result<Response<EvaluateResponse>, Status> {
        // All that has an id was built.
        let id = request.get_ref().r#ref.clone();
        self.with_made(&request, &id, |_| Ok(EvaluateResponse {})).await
    }

    async fn read_file(&self, request: Request<ReadFileRequest>) -> Result<Response<ReadFileResponse>, Status> {
        let asked = request.get_ref().clone();
        let id = asked.r#ref.clone();
        self.with_made(&request, &id, move |made| files::read(&*made.folder()?, &asked)).await
    }

    async fn read_dir(&self, request: Request<ReadDirRequest>) -> Result<Response<ReadDirResponse>, Status> {
        let asked = request.get_ref().clone();
        let id = asked.r#ref.clone();
        self.with_made(&request, &id, move |made| files::list(&*made.folder()?, &asked)).await
    }

    async fn stat_file(&self, request: Request<StatFileRequest>) -> Result<Response<StatFileResponse>, Status> {
        let asked = request.get_ref().clone();
        let id = asked.r#ref.clone();
        self.with_made(&request, &id, move |made| files::stat(&*made.folder()?, &asked)).await
    }

    async fn inputs(&self, request: Request<InputsRequest>) -> Result<Response<InputsResponse>, Status> {
        let job = self.job(&request).await?;
        Ok(Response::new(InputsResponse { definitions: job.request.frontend_inputs.clone() }))
    }

    async fn warn(&self, request: Request<WarnRequest>) -> Result<Response<WarnResponse>, Status> {
        let job = self.job(&request).await?;
        let warning = request.into_inner();
        job.board.warn(VertexWarning {
            vertex: warning.digest,
            level: warning.level,
            short: warning.short,
            detail: warning.detail,
            url: warning.url,
            info: warning.info,
            ranges: warning.ranges,
        });
        Ok(Response::new(WarnResponse {}))
    }

    async fn resolve_image_config(
        &self,
        request: Request<ResolveImageConfigRequest>,
    ) -> Result<Response<ResolveImageConfigResponse>, Status> {
        let job = self.job(&request).await?;
        let asked = request.into_inner();
        let cancel = job.cancel.child();
        let _waiting = Waiting(cancel.clone());
        let found = self.builds.image_config(&job, (&asked.r#ref, asked.platform.as_ref()), cancel).await?;
        Ok(Response::new(ResolveImageConfigResponse {
            digest: found.digest,
            config: found.config,
            r#ref: found.reference,
        }))
    }

    async fn resolve_source_meta(
        &self,
        request: Request<ResolveSourceMetaRequest>,
    ) -> Result<Response<ResolveSourceMetaResponse>, Status> {
        let job = self.job(&request).await?;
        let asked = request.into_inner();
        let Some(source) = asked.source else { return Err(Status::invalid_argument("no source was given")) };
        let mut answer = ResolveSourceMetaResponse { source: Some(source.clone()), ..Default::default() };
        let Some(name) = source.identifier.strip_prefix("docker-image://") else { return Ok(Response::new(answer)) };
        let cancel = job.cancel.child();
        let _waiting = Waiting(cancel.clone());
        let found = self.builds.image_config(&job, (name, asked.platform.as_ref()), cancel).await?;
        answer.image = Some(wire::ResolveSourceImageResponse {
            digest: found.digest,
            config: found.config,
            attestation_chain: None,
        });
        Ok(Response::new(answer))
    }

    async fn new_container(
        &self,
        _request: Request<NewContainerRequest>,
    ) -> Result<Response<NewContainerResponse>, Status> {
        unsupported("running programs in a build's result")
    }

    async fn release_container(
        &self,
        _request: Request<ReleaseContainerRequest>,
    ) -> Result<Response<ReleaseContainerResponse>, Status> {
        unsupported("running programs in a build's result")
    }

    type ExecProcessStream = tokio_stream::Empty<Result<ExecMessage, Status>>;

    async fn exec_process(
        &self,
        _request: Request<tonic::Streaming<ExecMessage>>,
    ) -> Result<Response<Self::ExecProcessStream>, Status> {
        unsupported("running programs in a build's result")
    }

    async fn read_file_container(
        &self,
        _request: Request<ReadFileRequest>,
    ) -> Result<Response<ReadFileResponse>, Status> {
        unsupported("reading files of a running step")
    }

    async fn read_dir_container(&self, _request: Request<ReadDirRequest>) -> Result<Response<ReadDirResponse>, Status> {
        unsupported("reading files of a running step")
    }

    async fn stat_file_container(
        &self,
        _request: Request<StatFileRequest>,
    ) -> Result<Response<StatFileResponse>, Status> {
        unsupported("reading files of a running step")
    }
}

fn asked(request: wire::SolveRequest) -> crate::Result<Asked> {
    let frontend = Frontend::of(&request.frontend, request.definition.as_ref(), &request.frontend_opt)?;
    let import = |entry: wire::CacheOptionsEntry| CacheEntry {
        kind: entry.r#type,
        attributes: entry.attrs.into_iter().collect(),
    };
    Ok(Asked {
        frontend,
        attributes: request.frontend_opt.into_iter().collect(),
        inputs: request.frontend_inputs.into_iter().collect(),
        imports: request.cache_imports.into_iter().map(import).collect(),
    })
}
