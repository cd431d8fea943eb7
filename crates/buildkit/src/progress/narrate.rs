//! A build's events as vertexes.

use super::stages::{self, Stages};
use super::{Activity, Board, Ended};
use bollard_buildkit_proto::moby::buildkit::v1::VertexWarning;
use bollard_buildkit_proto::pb::{Position, Range, SourceInfo};
use build::progress::{Cached, Event, StepInfo, StepNumber, TaskState, Watch};
use dockerfile::Lines;
use engine::{PullStep, Stream};
use image::Reference;
use image::pull::LayerState;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tells one build.
#[derive(Debug)]
pub struct Narrator {
    board: Arc<Board>,
    /// The vertex of the Dockerfile, which warnings are about.
    definition: String,
    source: SourceInfo,
    /// How many stages the file has.
    count: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stages: Stages,
    steps: HashMap<StepNumber, Told>,
    /// Metadata that is being loaded, by the reference.
    loading: BTreeMap<StepNumber, Activity>,
    tasks: HashMap<String, Activity>,
    failed: Option<String>,
}

/// How a step is told.
#[derive(Debug, Clone)]
struct Told {
    digest: String,
    prefix: String,
    name: String,
    /// The image that it begins with.
    base: Option<String>,
}

impl Narrator {
    pub fn new(board: &Arc<Board>, definition: &str, source: SourceInfo) -> Narrator {
        let count = dockerfile::parse(&source.data).map_or(1, |file| file.stages.len());
        let definition = definition.to_owned();
        Narrator { board: board.clone(), definition, source, count, state: Mutex::default() }
    }

    /// The vertex that failed first.
    pub fn failed(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    pub fn source(&self) -> &SourceInfo {
        &self.source
    }

    /// A warning about lines of the Dockerfile.
    pub fn warn(&self, (short, detail, url): (&str, &str, &str), lines: Option<Lines>) {
        let place = lines.map(|lines| format!(" (line {})", lines.first)).unwrap_or_default();
        self.board.warn(VertexWarning {
            vertex: self.definition.clone(),
            level: 1,
            short: format!("{short}{place}").into_bytes(),
            detail: vec![detail.as_bytes().to_vec()],
            url: url.to_owned(),
            info: Some(self.source.clone()),
            ranges: lines.map(range).into_iter().collect(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, planned: &[StepInfo]) {
        let mut state = self.lock();
        state.stages = Stages::new(self.count, planned);
        for (number, info) in planned.iter().enumerate() {
            let Some(told) = self.named(&state.stages, number, info) else { continue };
            self.board.expect(&told.digest, &told.name);
            state.steps.insert(number, told);
        }
    }

    fn named(&self, stages: &Stages, number: StepNumber, info: &StepInfo) -> Option<Told> {
        let prefix = stages.prefix(info)?;
        let base = stages::base(info).map(whole_name);
        let title = base.as_ref().map_or_else(|| info.title.clone(), |base| format!("FROM {base}"));
        Some(Told {
            digest: self.board.digest(&format!("step {number}")),
            name: format!("{prefix}{title}"),
            prefix,
            base,
        })
    }

    /// What a trigger of the base image does is told when it is done on files.
    fn triggered(&self, step: StepNumber, info: &StepInfo) {
        let word = info.title.split(' ').next().unwrap_or_default().to_uppercase();
        if !matches!(word.as_str(), "RUN" | "COPY" | "ADD" | "WORKDIR") {
            return;
        }
        let prefix = info.stage_name.as_ref().map(|name| format!("[{name}] ")).unwrap_or_default();
        let name = format!("{prefix}{}", info.title);
        let told = Told { digest: self.board.digest(&format!("step {step}")), prefix, name, base: None };
        self.board.expect(&told.digest, &told.name);
        self.lock().steps.insert(step, told);
    }

    fn started(&self, step: StepNumber) {
        let mut state = self.lock();
        let Some(base) = state.steps.get(&step).and_then(|told| told.base.clone()) else { return };
        let activity = self.board.activity(&format!("[internal] load metadata for {base}"));
        state.loading.insert(step, activity);
    }

    /// The image is known by now: what follows is its layers.
    fn loaded(&self, step: StepNumber) {
        let mut state = self.lock();
        let Some(activity) = state.loading.remove(&step) else { return };
        activity.end(Ended::Done);
        if let Some(told) = state.steps.get(&step) {
            self.board.begin(&told.digest, &told.name);
        }
    }

    fn titled(&self, step: StepNumber, title: &str) {
        let mut state = self.lock();
        let Some(told) = state.steps.get_mut(&step) else { return };
        told.name = format!("{}{title}", told.prefix);
        self.board.begin(&told.digest, &told.name);
    }

    /// What goes before the steps.
    fn task(&self, task: &str, state: TaskState) {
        let mut state_of = self.lock();
        match state {
            TaskState::Begun => {
                state_of.tasks.insert(task.to_owned(), self.board.activity(task));
            }
            TaskState::Done => {
                if let Some(activity) = state_of.tasks.remove(task) {
                    activity.end(Ended::Done);
                }
            }
        }
    }

    fn digest_of(&self, step: StepNumber) -> Option<String> {
        self.lock().steps.get(&step).map(|told| told.digest.clone())
    }

    fn pulling(&self, step: StepNumber, pull: &PullStep) {
        self.loaded(step);
        let Some(digest) = self.digest_of(step) else { return };
        match pull {
            PullStep::Begun(reference) => self.board.part(&digest, &format!("resolve {reference}"), 0),
            PullStep::Layer { id, state: LayerState::Downloading { current, total } } => {
                self.board.number(&digest, &format!("sha256:{id}"), (*current, *total));
            }
            PullStep::Layer { id, state: LayerState::Extracting { current, total } } => {
                self.board.number(&digest, &format!("extracting sha256:{id}"), (*current, *total));
            }
            PullStep::Layer { .. } | PullStep::Done(_) => {}
        }
    }

    fn ended(&self, step: StepNumber, ended: Ended) {
        if let Ended::Failed(why) = &ended {
            let mut state = self.lock();
            if let Some(activity) = state.loading.remove(&step) {
                state.failed.get_or_insert_with(|| activity.digest().to_owned());
                return activity.end(Ended::Failed(why.clone()));
            }
        }
        self.loaded(step);
        let Some(digest) = self.digest_of(step) else { return };
        if matches!(&ended, Ended::Failed(why) if why != "context canceled") {
            self.lock().failed.get_or_insert_with(|| digest.clone());
        }
        self.board.end(&digest, ended);
    }
}

impl Watch for Narrator {
    fn tell(&self, event: Event) {
        match event {
            Event::Planned(steps) => self.plan(&steps),
            Event::Triggered { step, info } => self.triggered(step, &info),
            Event::Started(step) => self.started(step),
            Event::Titled { step, title } => self.titled(step, &title),
            Event::Output { step, stream, bytes } => {
                let stream = if stream == Stream::Stderr { 2 } else { 1 };
                if let Some(digest) = self.digest_of(step) {
                    self.board.output(&digest, stream, &bytes);
                }
            }
            Event::Pulling { step, pull } => self.pulling(step, &pull),
            Event::Bytes { step, done, total } => {
                if let Some(digest) = self.digest_of(step) {
                    self.board.number(&digest, "transferring", (done, total.unwrap_or_default()));
                }
            }
            Event::Done { step, cached: Cached::Yes, .. } => self.ended(step, Ended::Cached),
            Event::Done { step, cached: Cached::No, .. } => self.ended(step, Ended::Done),
            Event::Failed { step, why } => self.ended(step, Ended::Failed(failure(why))),
            Event::Lint(warning) => {
                let short = format!("{}: {}", warning.rule.name(), warning.message);
                self.warn((&short, warning.rule.description(), &warning.rule.url()), Some(warning.lines));
            }
            Event::Warning { lines, text } => self.warn((&text, "", ""), lines),
            Event::Export { task, state } => self.task(&task, state),
            _ => {}
        }
    }
}

/// Clients know what was cancelled by these words.
fn failure(why: String) -> String {
    if why == build::Error::Cancelled.to_string() { "context canceled".to_owned() } else { why }
}

/// An image's reference in full, as BuildKit shows it.
fn whole_name(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |reference| reference.or_latest().to_string())
}

/// Lines as a range of a text.
pub fn range(lines: Lines) -> Range {
    let position = |line: usize| Some(Position { line: i32::try_from(line).unwrap_or(i32::MAX), character: 0 });
    Range { start: position(lines.first), end: position(lines.last) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_buildkit_proto::moby::buildkit::v1::Vertex;

    fn info(place: Option<(usize, usize)>, title: &str) -> StepInfo {
        let lines = Lines { first: 1, last: 1 };
        let (title, code) = (title.to_owned(), title.to_owned());
        StepInfo { stage: 0, stage_name: None, platform: None, place, title, code, lines }
    }

    fn told(events: Vec<Event>) -> Vec<Vertex> {
        let board = Board::new("x");
        let source = SourceInfo { data: b"FROM busybox\nRUN a\nENV b=c\n".to_vec(), ..SourceInfo::default() };
        let narrator = Narrator::new(&board, "definition", source);
        let planned = vec![info(Some((1, 2)), "FROM busybox"), info(Some((2, 2)), "RUN $a"), info(None, "ENV b=c")];
        narrator.tell(Event::Planned(planned));
        events.into_iter().for_each(|event| narrator.tell(event));
        drop(narrator);
        board.since(0).expect("told").0.vertexes
    }

    fn done(step: usize, cached: Cached) -> Event {
        Event::Done { step, cached, image: base::Digest::from_bytes([0; 32]) }
    }

    #[test]
    fn steps_are_told_by_names_like_buildkits() {
        let titled = Event::Titled { step: 1, title: "RUN a".to_owned() };
        let events = vec![
            Event::Started(0),
            done(0, Cached::No),
            Event::Started(1),
            titled,
            done(1, Cached::Yes),
            done(2, Cached::No),
        ];
        let vertexes = told(events);
        let ended: Vec<(&str, bool)> = vertexes
            .iter()
            .filter(|vertex| vertex.completed.is_some())
            .map(|vertex| (vertex.name.as_str(), vertex.cached))
            .collect();
        let expected = [
            ("[internal] load metadata for docker.io/library/busybox:latest", false),
            ("[1/2] FROM docker.io/library/busybox:latest", false),
            ("[2/2] RUN a", true),
        ];
        assert_eq!(ended, expected);
    }

    #[test]
    fn an_image_that_is_not_found_fails_while_it_is_looked_for() {
        let failed = Event::Failed { step: 0, why: "not found".to_owned() };
        let vertexes = told(vec![Event::Started(0), failed]);
        let last = vertexes.last().expect("one");
        assert_eq!(
            (last.name.as_str(), last.error.as_str()),
            ("[internal] load metadata for docker.io/library/busybox:latest", "not found")
        );
    }

    #[test]
    fn events_of_unknown_steps_are_nothing() {
        let strange = vec![
            Event::Started(99),
            Event::Titled { step: 99, title: String::new() },
            done(99, Cached::Yes),
            Event::Failed { step: 99, why: String::new() },
        ];
        assert_eq!(told(strange).len(), 2);
    }
}
