//! What is asked of a build, done: a Dockerfile built, a question about it answered, a source fetched.

use super::{Builds, Job, Made, PATIENCE};
use crate::frontend::{self, Attributes, CacheEntry, FrontendOptions, Input};
use crate::gateway::{Definition, missing_capability};
use crate::progress::{Ended, Narrator, transfers};
use crate::session::{self, Session};
use crate::status::{self, Place};
use crate::{Error, Result};
use base::Id;
use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::pb;
use build::context::Checkout;
use build::request::{Attest, AttestKind, Inline};
use build::{Builder, Inquiry, Request};
use oci::image::Platform;
use registry::Cancel;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tonic::Status;

/// What a client asks.
#[derive(Debug)]
pub struct Asked {
    pub frontend: Frontend,
    pub attributes: Attributes,
    /// Definitions that the attributes name.
    pub inputs: BTreeMap<String, pb::Definition>,
    pub imports: Vec<CacheEntry>,
}

/// Whom it is asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frontend {
    Dockerfile,
    /// Nobody: the definition itself.
    None(Definition),
}

/// What came of it.
#[derive(Debug)]
pub enum Solution {
    /// The answers to a question about the Dockerfile, by name.
    Answers(HashMap<String, Vec<u8>>),
    One {
        id: String,
        made: Arc<Made>,
    },
    Several(Vec<(Platform, String, Arc<Made>)>),
}

impl Frontend {
    pub fn of(
        name: &str,
        definition: Option<&pb::Definition>,
        attributes: &HashMap<String, String>,
    ) -> Result<Frontend> {
        let source = attributes.get("source").map(String::as_str).unwrap_or_default();
        match name {
            "" => Ok(Frontend::None(definition.map_or(Ok(Definition::Nothing), Definition::parse)?)),
            "dockerfile.v0" => Ok(Frontend::Dockerfile),
            "gateway.v0" if speaks_dockerfile(source) => Ok(Frontend::Dockerfile),
            "gateway.v0" => Err(foreign(source)),
            other => Err(Error::Invalid(format!("frontend {other} not found"))),
        }
    }
}

/// Whether a frontend's image speaks what is built in: `docker/dockerfile`, also from a mirror.
fn speaks_dockerfile(source: &str) -> bool {
    image::Reference::parse(source).is_ok_and(|reference| {
        let name = reference.name();
        matches!(name.rsplit('/').next(), Some("dockerfile" | "dockerfile-upstream"))
    })
}

/// A Dockerfile may say in its first line that it is written in another language.
fn speaks_as_written(source: &pb::SourceInfo) -> std::result::Result<(), Failure> {
    let Some(syntax) = dockerfile::syntax(&source.data) else { return Ok(()) };
    let frontend = syntax.split_whitespace().next().unwrap_or_default();
    if speaks_dockerfile(frontend) {
        return Ok(());
    }
    Err(foreign(frontend).into())
}

fn foreign(source: &str) -> Error {
    Error::Unsupported(format!(
        "the frontend {source:?} is not supported: this engine reads Dockerfiles itself (remove the syntax line, or BUILDKIT_SYNTAX)"
    ))
}

/// A failure and where it happened.
pub(super) struct Failure(Box<(Error, Place)>);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(Box::new((error.into(), Place::default())))
    }
}

impl Failure {
    fn status(&self) -> rpc::Status {
        status::of(&self.0.0, &self.0.1)
    }
}

impl Builds {
    /// Does what is asked. It ends when `cancel` says so.
    pub async fn solve(
        self: &Arc<Self>,
        job: &Arc<Job>,
        asked: Asked,
        cancel: Cancel,
    ) -> std::result::Result<Solution, Status> {
        let session = self.session(job).await.map_err(|error| status::plain(&error))?;
        let (builds, own) = (self.clone(), job.clone());
        let ended = cancel.clone();
        let work = tokio::task::spawn_blocking(move || match asked.frontend.clone() {
            Frontend::Dockerfile => builds.dockerfile(&own, &session, asked, &cancel),
            Frontend::None(definition) => Ok(builds.one(&own, builds.source(&own, &definition, &cancel)?)),
        });
        let done = tokio::select! {
            done = work => done,
            // What works on it sees it, too, and ends.
            () = ended.cancelled() => return Err(status::plain(&Error::Cancelled)),
        };
        let done = done.unwrap_or_else(|_| {
            Err(Error::Internal("the builder failed; the engine's log tells more".to_owned()).into())
        });
        done.map_err(|failure| {
            tracing::debug!("build {}: {}", job.name, failure.0.0);
            status::grpc(&failure.status())
        })
    }

    pub(crate) async fn session(&self, job: &Job) -> Result<Arc<Session>> {
        self.sessions.get(&job.request.session, PATIENCE).await
    }

    fn one(&self, job: &Job, made: Made) -> Solution {
        if matches!(made, Made::Nothing) {
            return Solution::One { id: String::new(), made: Arc::new(made) };
        }
        let (id, made) = self.named(job, made);
        Solution::One { id, made }
    }

    /// What was made gets an id.
    fn named(&self, job: &Job, made: Made) -> (String, Arc<Made>) {
        let (id, made) = (Id::random().to_string(), Arc::new(made));
        self.keep(&id, &made);
        job.keep(&id, made.clone());
        (id, made)
    }

    /// What a definition stands for.
    fn source(&self, job: &Job, definition: &Definition, cancel: &Cancel) -> Result<Made> {
        let builder = self.house.builder()?;
        let gone = |id: &str| Error::NotFound(format!("no such result: {id}"));
        match definition {
            Definition::Nothing => Ok(Made::Nothing),
            Definition::Result(id) => self.made(id).map(|made| Made::clone(&made)).ok_or_else(|| gone(id)),
            Definition::Repository { address, checksum, keeps_git } => {
                let activity = job.board.activity(&format!("[internal] load git source {address}"));
                let wanted = Checkout { checksum: checksum.as_deref(), keeps_git: *keeps_git };
                let folder = activity.finish(builder.repository(address, &wanted, cancel))?;
                let none = || Error::Invalid(format!("invalid git address {address}"));
                folder.map(|folder| Made::Folder(Arc::new(folder))).ok_or_else(none)
            }
            Definition::File { address, name } => {
                let activity = job.board.activity(&format!("[internal] load {address}"));
                let folder = activity.finish(super::fetched::file(&builder, address, name, cancel))?;
                Ok(Made::Folder(Arc::new(folder)))
            }
            Definition::Archive { address } => {
                let activity = job.board.activity(&format!("[internal] load {address}"));
                let folder = activity.finish(super::fetched::archive(&builder, address, cancel))?;
                Ok(Made::Folder(Arc::new(folder)))
            }
        }
    }

    fn inputs(
        &self,
        job: &Job,
        definitions: &BTreeMap<String, pb::Definition>,
        cancel: &Cancel,
    ) -> Result<BTreeMap<String, Input>> {
        let mut inputs = BTreeMap::new();
        for (name, definition) in definitions {
            let input = match self.source(job, &Definition::parse(definition)?, cancel)? {
                Made::Image { solved, .. } => Input::Result(solved),
                Made::Folder(folder) => Input::Folder(folder),
                Made::Nothing => continue,
            };
            inputs.insert(name.clone(), input);
        }
        Ok(inputs)
    }

    fn dockerfile(
        &self,
        job: &Arc<Job>,
        session: &Arc<Session>,
        asked: Asked,
        cancel: &Cancel,
    ) -> std::result::Result<Solution, Failure> {
        let attributes = &asked.attributes;
        job.remember(attributes.clone().into_iter().collect());
        if let Some(name) = missing_capability(attributes.get("frontend.caps").map(String::as_str).unwrap_or_default())
        {
            return Err(Error::UnknownCapability(name.to_owned()).into());
        }
        let builder = self.house.builder()?;
        let inputs = self.inputs(job, &asked.inputs, cancel)?;
        let options = FrontendOptions::parse(attributes, inputs)?;
        let mut request = frontend::request(attributes, &job.request.entitlements, self.house.steps()?)?;
        caches(&mut request, attributes, &asked, job)?;
        request.attest = attests(attributes)?;
        let tell = transfers(&job.board);
        let sources = session::sources((&builder, session), &options, attributes, tell, cancel);
        let loading = job.board.activity(&format!("[internal] load build definition from {}", options.filename));
        let definition = loading.digest().to_owned();
        let found = match sources.dockerfile() {
            Ok(found) => found,
            Err(error) => {
                loading.end(Ended::Failed(base::chain(&error)));
                return Err(error.into());
            }
        };
        loading.part("transferring dockerfile:", found.text.len() as u64);
        loading.end(Ended::Done);
        // It came together with the Dockerfile.
        job.board.activity("[internal] load .dockerignore").end(Ended::Done);
        request.dockerfile.clone_from(&found.text);
        let language = "Dockerfile".to_owned();
        let source = pb::SourceInfo { filename: found.name, data: found.text, language, definition: None };
        speaks_as_written(&source)?;
        let keys = session::keys(session, cancel);
        if let Some(question) = attributes.get("requestid") {
            return answers(&builder, question, (&request, &source.filename), (&sources, &keys), cancel);
        }
        let narrator = Narrator::new(&job.board, &definition, source);
        let solved = builder.solve(&request, (&sources, &keys), &narrator, cancel);
        let solved = solved.map_err(|error| placed(error, &narrator))?;
        self.results(job, Arc::new(solved), attributes)
    }

    fn results(
        &self,
        job: &Job,
        solved: Arc<build::Solved>,
        attributes: &Attributes,
    ) -> std::result::Result<Solution, Failure> {
        let several = solved.results().len() > 1 || frontend::multi_platform(attributes)? == Some(true);
        if !several {
            return Ok(self.one(job, Made::Image { solved, index: 0 }));
        }
        let all = solved.results().iter().enumerate().map(|(index, product)| {
            let (id, made) = self.named(job, Made::Image { solved: solved.clone(), index });
            (product.platform.clone(), id, made)
        });
        Ok(Solution::Several(all.collect()))
    }
}

/// A failure with its place in the Dockerfile.
fn placed(error: build::Error, narrator: &Narrator) -> Failure {
    let ranges = error.lines().map(crate::progress::range).into_iter().collect();
    let place = Place { source: Some(narrator.source().clone()), ranges, vertex: narrator.failed() };
    Failure(Box::new((error.into(), place)))
}

/// Which caches the build looks into and what it leaves of itself in its image.
fn caches(request: &mut Request, attributes: &Attributes, asked: &Asked, job: &Job) -> Result<()> {
    let mut imports = frontend::cache_imports(attributes)?;
    for entry in &asked.imports {
        if !imports.contains(entry) {
            imports.push(entry.clone());
        }
    }
    for CacheEntry { kind, attributes } in imports {
        request.cache_from.push(build::cache::Import { kind: kind.parse()?, attributes });
    }
    let exports = job.request.cache.iter().flat_map(|cache| &cache.exports);
    if exports.into_iter().any(|entry| entry.r#type == "inline") {
        request.inline_cache = Inline::Yes;
    }
    Ok(())
}

/// What is to be said of the result: `attest:provenance` = `mode=max,builder-id=x`.
fn attests(attributes: &Attributes) -> Result<Vec<Attest>> {
    let mut attests = Vec::new();
    for (name, value) in frontend::below(attributes, "attest:") {
        let kind = match name.as_str() {
            "provenance" => AttestKind::Provenance,
            "sbom" => AttestKind::Sbom,
            other => return Err(Error::Invalid(format!("unknown attestation type {other:?}"))),
        };
        let mut own = BTreeMap::new();
        for field in super::output::fields(&value)? {
            let (key, value) = field.split_once('=').unwrap_or((&field, ""));
            own.insert(key.to_lowercase(), value.to_owned());
        }
        let off = own.get("disabled").is_some_and(|value| frontend::is_true(value));
        if !off {
            attests.push(Attest { kind, attributes: own });
        }
    }
    Ok(attests)
}

fn answers(
    builder: &Builder,
    question: &str,
    (request, name): (&Request, &str),
    (sources, keys): (&dyn build::Sources, &dyn build::Keys),
    cancel: &Cancel,
) -> std::result::Result<Solution, Failure> {
    let unknown = || Error::UnknownRequest(question.to_owned());
    let inquiry = Inquiry::named(question).ok_or_else(unknown)?;
    let found = build::inquire(builder, inquiry, (request, name), (sources, Some(keys)), cancel)?;
    let mut metadata = HashMap::from([
        ("result.json".to_owned(), found.json.into_bytes()),
        ("result.txt".to_owned(), found.text.into_bytes()),
        ("version".to_owned(), found.version.as_bytes().to_vec()),
    ]);
    if inquiry == Inquiry::Check {
        metadata.insert("result.statuscode".to_owned(), found.status.to_string().into_bytes());
    }
    Ok(Solution::Answers(metadata))
}
