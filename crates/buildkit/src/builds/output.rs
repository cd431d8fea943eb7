//! Results on their way to where the client wants them.

use super::job::Attested;
use super::{Builds, Job, Made};
use crate::progress::{Activity, Ended};
use crate::session::{self, Session};
use crate::{Error, Result};
use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptionsEntry, Exporter, SolveRequest};
use build::progress::{Event, TaskState, Watch};
use build::{Exported, Output, OutputKind, Solved};
use image::push::LayerState;
use registry::Cancel;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The fields of a line of comma-separated values; none of an empty one.
pub(super) fn fields(text: &str) -> Result<Vec<String>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    dockerfile::csv_fields(text).map_err(Error::Invalid)
}

/// Where the results go. A client may say it in two ways.
pub(super) fn outputs(request: &SolveRequest) -> Result<Vec<Output>> {
    let mut exporters = request.exporters.clone();
    if exporters.is_empty() && !request.exporter_deprecated.is_empty() {
        let attrs = request.exporter_attrs_deprecated.clone();
        exporters.push(Exporter { r#type: request.exporter_deprecated.clone(), attrs });
    }
    let epoch = request.frontend_attrs.get("build-arg:SOURCE_DATE_EPOCH").filter(|text| !text.is_empty());
    let output = |exporter: Exporter| {
        let kind: OutputKind = exporter.r#type.parse()?;
        let mut attributes: BTreeMap<String, String> = exporter.attrs.into_iter().collect();
        if let Some(epoch) = epoch {
            attributes.entry("source-date-epoch".to_owned()).or_insert_with(|| epoch.clone());
        }
        Ok(Output { kind, attributes })
    };
    exporters.into_iter().map(output).collect()
}

/// Caches that the build is to leave for others; those inside of the image are not among them.
pub(super) fn caches(request: &SolveRequest) -> Result<Vec<build::cache::Export>> {
    let Some(cache) = &request.cache else { return Ok(Vec::new()) };
    let mut entries = cache.exports.clone();
    if !cache.export_ref_deprecated.is_empty() {
        let mut attrs = cache.export_attrs_deprecated.clone();
        attrs.insert("ref".to_owned(), cache.export_ref_deprecated.clone());
        entries.push(CacheOptionsEntry { r#type: "registry".to_owned(), attrs });
    }
    let export = |entry: CacheOptionsEntry| {
        let attributes = entry.attrs.into_iter().collect();
        Ok(build::cache::Export { kind: entry.r#type.parse()?, attributes })
    };
    entries.into_iter().map(export).collect()
}

/// What all is made of.
pub(super) struct Exporting<'a> {
    pub builds: &'a Builds,
    pub job: &'a Job,
    pub session: &'a Arc<Session>,
    pub cancel: &'a Cancel,
}

impl Exporting<'_> {
    /// Everything goes where it is to go; the answer for the client.
    pub fn all(&self, ids: &[String]) -> Result<HashMap<String, String>> {
        let outputs = outputs(&self.job.request)?;
        let caches = caches(&self.job.request)?;
        let Some(solved) = self.solved(ids)? else {
            // Of a question about the Dockerfile, or of files that the client has read by now.
            if outputs.is_empty() {
                return Ok(HashMap::new());
            }
            return Err(Error::Invalid("the build has no result that could be exported".to_owned()));
        };
        self.remember(&solved);
        let mut response = HashMap::new();
        for (index, output) in outputs.iter().enumerate() {
            response.extend(self.output(&solved, index, output)?.response);
        }
        for export in &caches {
            response.extend(self.cache(&solved, export)?);
        }
        Ok(response)
    }

    /// How the results were made: the history shows it.
    fn remember(&self, solved: &Solved) {
        for (index, product) in solved.results().iter().enumerate() {
            match solved.provenance(index) {
                Ok((kind, predicate)) => {
                    let platform = crate::gateway::platform_id(&product.platform);
                    self.job.attest(Attested { platform, kind, predicate });
                }
                Err(error) => tracing::warn!("build {}: {}", self.job.name, base::chain(&error)),
            }
        }
    }

    fn solved(&self, ids: &[String]) -> Result<Option<Arc<Solved>>> {
        let mut found: Option<Arc<Solved>> = None;
        for id in ids {
            let Made::Image { solved, .. } = &*self.job.made(id)? else { return Ok(None) };
            match &found {
                Some(known) if !Arc::ptr_eq(known, solved) => {
                    return Err(Error::Unsupported("results of different builds cannot be one output".to_owned()));
                }
                _ => found = Some(solved.clone()),
            }
        }
        Ok(found)
    }

    fn output(&self, solved: &Solved, index: usize, output: &Output) -> Result<Exported> {
        let builder = self.builds.house.builder()?;
        let keys = session::keys(self.session, self.cancel);
        let sink = session::sink(self.session, index, self.cancel);
        if output.kind == OutputKind::Nothing {
            return Ok(Exported::default());
        }
        let activity = self.job.board.activity(title(output.kind));
        if output.kind == OutputKind::Image {
            activity.part("exporting layers", 0);
        }
        let done = builder.export(solved, output, (&sink, &keys), &Telling(&activity), self.cancel);
        match done {
            Ok(exported) => {
                told(&activity, &exported);
                activity.end(Ended::Done);
                Ok(exported)
            }
            Err(error) => {
                activity.end(Ended::Failed(base::chain(&error)));
                Err(error.into())
            }
        }
    }

    fn cache(&self, solved: &Solved, export: &build::cache::Export) -> Result<BTreeMap<String, String>> {
        if export.kind == build::cache::ExchangeKind::Inline {
            return Ok(BTreeMap::new());
        }
        let builder = self.builds.house.builder()?;
        let keys = session::keys(self.session, self.cancel);
        let stores = session::stores(self.session, self.cancel);
        let activity = self.job.board.activity(&export.title());
        let done = builder.export_cache(solved, export, (&stores, &keys), &Telling(&activity), self.cancel);
        let done = activity.finish(done);
        match done {
            Err(error) if export.may_fail()? && !error.is_cancelled() => {
                tracing::warn!("{}: {}", export.title(), base::chain(&error));
                Ok(BTreeMap::new())
            }
            done => Ok(done?),
        }
    }
}

fn title(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Image => "exporting to image",
        OutputKind::Docker => "exporting to docker image format",
        OutputKind::Oci => "exporting to oci image format",
        OutputKind::Local => "exporting to client directory",
        OutputKind::Tar => "exporting to client tarball",
        OutputKind::Nothing => "exporting cache only",
    }
}

/// What an export came to, in BuildKit's words.
fn told(activity: &Activity, exported: &Exported) {
    if let Some(image) = &exported.image {
        activity.part(&format!("writing image {image}"), 0);
    }
}

/// Tells an export.
struct Telling<'a>(&'a Activity);

impl Telling<'_> {
    fn pushing(&self, id: &str, state: &LayerState) {
        let what = format!("pushing layer sha256:{id}");
        match state {
            LayerState::Pushing { current, total } => self.0.counted(&what, (*current, *total)),
            LayerState::Pushed => self.0.part(&what, 0),
            LayerState::Preparing | LayerState::Waiting => {}
            LayerState::Exists | LayerState::Mounted { .. } => self.0.part(&what, 0),
        }
    }
}

impl Watch for Telling<'_> {
    fn tell(&self, event: Event) {
        match event {
            Event::Export { task, state: TaskState::Begun } => self.0.bytes(&task, 0),
            Event::Export { task, state: TaskState::Done } => self.0.part(&task, 0),
            Event::Pushing { id, state } => self.pushing(&id, &state),
            Event::Bytes { done, .. } => self.0.bytes("sending", done),
            _ => {}
        }
    }
}
