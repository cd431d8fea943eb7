//! A build in the words of Docker's classic builder.

use crate::routes::images::pull;
use crate::stream::begun::Teller;
use api::types::Progress;
use build::progress::{Cached, Event, StepInfo, Watch};
use engine::Stream;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that a quiet build keeps for the case that it fails.
const MOST_KEPT: usize = 4 << 20;

/// Writes the stream of one build.
pub struct Tale<'a> {
    teller: &'a Teller,
    /// Nothing but the image's id is told.
    quiet: bool,
    /// What a quiet build has not told.
    kept: Mutex<Kept>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the step's number: its place in the stream.
    places: HashMap<usize, usize>,
    titles: HashMap<usize, String>,
    /// The steps that a stage begins with.
    first: HashSet<usize>,
    total: usize,
    told: usize,
    container: HashMap<usize, String>,
}

/// The end of what could have been told.
#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Kept {
    fn add(&mut self, text: String) {
        self.bytes += text.len();
        self.lines.push_back(text);
        while self.bytes > MOST_KEPT {
            let Some(first) = self.lines.pop_front() else { return };
            self.bytes -= first.len();
        }
    }
}

impl<'a> Tale<'a> {
    pub fn new(teller: &'a Teller, quiet: bool) -> Tale<'a> {
        Tale { teller, quiet, kept: Mutex::default(), state: Mutex::default() }
    }

    fn stream(&self, text: impl Into<String>) {
        let text = text.into();
        if self.quiet {
            lock(&self.kept).add(text);
        } else {
            self.teller.pour(&line(text));
        }
    }

    /// What a quiet build did not say, now that something went wrong.
    pub fn confess(&self) {
        lock(&self.kept).lines.drain(..).for_each(|text| self.teller.tell(&line(text)));
    }

    fn title(&self, state: &mut State, step: usize) {
        if state.places.contains_key(&step) {
            return;
        }
        state.told += 1;
        let place = state.told;
        state.places.insert(step, place);
        let title = state.titles.get(&step).cloned().unwrap_or_default();
        self.stream(format!("Step {place}/{} : {title}", state.total));
        self.stream("\n");
    }

    fn done(&self, state: &mut State, step: usize, cached: Cached, image: &base::Digest) {
        self.title(state, step);
        if cached == Cached::Yes && !state.container.contains_key(&step) {
            self.stream(" ---> Using cache\n");
        }
        if let Some(id) = state.container.remove(&step) {
            self.stream(format!("Removing intermediate container {id}\n"));
        }
        self.stream(format!(" ---> {}\n", image.short()));
    }

    fn output(&self, stream: Stream, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        match stream {
            Stream::Stdout => self.stream(text),
            // As Docker: what goes wrong is red.
            Stream::Stderr => self.stream(format!("\u{1b}[91m{text}\u{1b}[0m")),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line of a stream.
pub fn line(text: impl Into<String>) -> Progress {
    Progress { stream: Some(text.into()), ..Progress::default() }
}

impl Watch for Tale<'_> {
    fn tell(&self, event: Event) {
        let mut state = lock(&self.state);
        match event {
            Event::Planned(steps) => {
                state.total = steps.len();
                let is_first = |step: &StepInfo| step.place.is_some_and(|(place, _)| place == 1);
                state.first = steps.iter().enumerate().filter(|(_, step)| is_first(step)).map(|(at, _)| at).collect();
                state.titles = steps.into_iter().map(|step| step.code).enumerate().collect();
            }
            Event::Triggered { step, info } => {
                self.stream("# Executing 1 build trigger\n");
                state.total += 1;
                state.titles.insert(step, info.title);
            }
            // A first step is told with its title, which needs no variables of its stage.
            Event::Started(step) => {
                if state.first.contains(&step) {
                    self.title(&mut state, step);
                }
            }
            // As it stands in the file: variables are not told.
            Event::Titled { step, .. } => self.title(&mut state, step),
            Event::Container { step, id } => {
                let id = id.short();
                self.stream(format!(" ---> Running in {id}\n"));
                state.container.insert(step, id);
            }
            Event::Output { stream, bytes, .. } => self.output(stream, &bytes),
            Event::Pulling { pull, .. } if !self.quiet => pull::tell(self.teller, pull),
            Event::Done { step, cached, image } => self.done(&mut state, step, cached, &image),
            Event::Failed { step, .. } => {
                if let Some(id) = state.container.remove(&step) {
                    self.stream(format!("Removing intermediate container {id}\n"));
                }
            }
            Event::Warning { text, .. } => self.stream(format!("[Warning] {text}\n")),
            // The classic builder has no checks.
            Event::Lint(_) => {}
            Event::Pulling { .. }
            | Event::Bytes { .. }
            | Event::WhyNot { .. }
            | Event::Export { .. }
            | Event::Pushing { .. } => {}
        }
    }
}
