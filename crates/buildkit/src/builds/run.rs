//! A build from the client's first word to the answer.

use super::output::{self, Exporting};
use super::{Asked, Builds, Frontend, Job, Returned, Solution};
use crate::frontend::{self, CacheEntry};
use crate::{Error, status};
use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::moby::buildkit::v1::{SolveRequest, SolveResponse};
use std::collections::HashMap;
use std::sync::Arc;
use tonic::Status;

/// Ends a build, whatever becomes of the call that asked for it.
struct Going {
    builds: Arc<Builds>,
    job: Arc<Job>,
    outcome: Option<Result<HashMap<String, String>, rpc::Status>>,
}

impl Drop for Going {
    fn drop(&mut self) {
        self.job.cancel.cancel();
        self.job.board.close();
        let gone = || Err(status::of(&Error::Cancelled, &status::Place::default()));
        let outcome = self.outcome.take().unwrap_or_else(gone);
        self.builds.history.ended(&self.job, outcome);
        self.builds.end(&self.job);
        // With the last of what was made files are deleted: nothing for a thread of the runtime.
        let made = self.job.release();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(made))),
            Err(_) => drop(made),
        }
    }
}

impl Builds {
    /// `Control.Solve`: builds, or lets a client build by and by, and puts the result where it is to go.
    pub async fn run(self: &Arc<Self>, request: SolveRequest) -> Result<SolveResponse, Status> {
        if request.r#ref.is_empty() {
            return Err(Status::invalid_argument("a build needs a name"));
        }
        if request.enable_session_exporter {
            return Err(Status::unimplemented("exporters of the session are not supported"));
        }
        // What cannot be done in the end is not begun.
        let possible = output::outputs(&request).and_then(|_| output::caches(&request));
        possible.and_then(|_| self.check_rights(&request)).map_err(|error| status::plain(&error))?;
        let job = Arc::new(Job::new(request));
        self.begin(&job).map_err(|error| status::plain(&error))?;
        self.history.begun(&job);
        let mut going = Going { builds: self.clone(), job: job.clone(), outcome: None };
        let done = self.done(&job).await;
        going.outcome = Some(done.clone().map_err(|status| status::parsed(&status)));
        let made = job.release();
        let _ = tokio::task::spawn_blocking(move || drop((made, going))).await;
        done.map(|exporter_response| SolveResponse { exporter_response })
    }

    /// Rights that the engine's configuration keeps from everybody are refused.
    fn check_rights(&self, request: &SolveRequest) -> crate::Result<()> {
        let asked = frontend::entitlements(&request.entitlements)?;
        asked.beyond(&self.house.rights()?).map_or(Ok(()), |right| {
            Err(Error::Denied(format!("granting entitlement {right} is not allowed by build daemon configuration")))
        })
    }

    async fn done(self: &Arc<Self>, job: &Arc<Job>) -> Result<HashMap<String, String>, Status> {
        let session = self.session(job).await.map_err(|error| status::plain(&error))?;
        let work = async {
            let ids = self.ids(job).await?;
            let (builds, job, session) = (self.clone(), job.clone(), session.clone());
            let work = tokio::task::spawn_blocking(move || {
                let cancel = job.cancel.child();
                Exporting { builds: &builds, job: &job, session: &session, cancel: &cancel }.all(&ids)
            });
            let done = work.await.unwrap_or_else(|_| Err(Error::Internal("the engine's log tells more".to_owned())));
            done.map_err(|error| status::plain(&error))
        };
        tokio::select! {
            done = work => done,
            () = session.ended().cancelled() => {
                Err(status::plain(&Error::Gone(format!("no active session for {}: context canceled", job.request.session))))
            }
        }
    }

    /// The ids of what is to go to the outputs.
    async fn ids(self: &Arc<Self>, job: &Arc<Job>) -> Result<Vec<String>, Status> {
        let request = &job.request;
        let has_definition = request.definition.as_ref().is_some_and(|definition| !definition.def.is_empty());
        if request.frontend.is_empty() && !has_definition {
            return match job.returned().await.map_err(|error| status::plain(&error))? {
                Returned::Made(ids) => Ok(ids),
                Returned::Failed(failure) => Err(status::grpc(&failure)),
            };
        }
        let frontend = Frontend::of(&request.frontend, request.definition.as_ref(), &request.frontend_attrs);
        let imports = request.cache.iter().flat_map(|cache| &cache.imports);
        let import = |entry: &bollard_buildkit_proto::moby::buildkit::v1::CacheOptionsEntry| CacheEntry {
            kind: entry.r#type.clone(),
            attributes: entry.attrs.clone().into_iter().collect(),
        };
        let asked = Asked {
            frontend: frontend.map_err(|error| status::plain(&error))?,
            attributes: request.frontend_attrs.clone().into_iter().collect(),
            inputs: request.frontend_inputs.clone().into_iter().collect(),
            imports: imports.map(import).collect(),
        };
        Ok(match self.solve(job, asked, job.cancel.child()).await? {
            Solution::Answers(_) => Vec::new(),
            Solution::One { id, .. } => vec![id],
            Solution::Several(all) => all.into_iter().map(|(_, id, _)| id).collect(),
        })
    }
}
