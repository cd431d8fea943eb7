//! What happens in a build, as a stream of plain values: each door writes it in its own words.

use crate::cache::Reason;
use base::{Digest, Id};
use bytes::Bytes;
use dockerfile::Lines;
use dockerfile::lint;
use engine::{PullStep, Stream};
use image::push::LayerState;
use oci::image::Platform;

/// A step of a build, by its place among all of them.
pub type StepNumber = usize;

/// One step as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepInfo {
    /// Its stage by number, and by name where it has one.
    pub stage: usize,
    pub stage_name: Option<String>,
    /// What its stage is for, when a build is for several.
    pub platform: Option<Platform>,
    /// The place among the steps of its stage that are counted (`[2/5]`), from 1, and how many these are; `None` of one that only
    /// changes the configuration.
    pub place: Option<(usize, usize)>,
    /// The instruction on one line, expanded.
    pub title: String,
    /// As it is written.
    pub code: String,
    pub lines: Lines,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// All steps that are needed, before the first of them.
    Planned(Vec<StepInfo>),
    /// A step that the image of a stage brought (`ONBUILD`): one more than was planned.
    Triggered {
        step: StepNumber,
        info: StepInfo,
    },
    Started(StepNumber),
    /// Its title once its variables are known.
    Titled {
        step: StepNumber,
        title: String,
    },
    /// It runs in this container.
    Container {
        step: StepNumber,
        id: Id,
    },
    Output {
        step: StepNumber,
        stream: Stream,
        bytes: Bytes,
    },
    Pulling {
        step: StepNumber,
        pull: PullStep,
    },
    /// Bytes of what is fetched or copied, and of how many if that is known.
    Bytes {
        step: StepNumber,
        done: u64,
        total: Option<u64>,
    },
    Done {
        step: StepNumber,
        cached: Cached,
        image: Digest,
    },
    Failed {
        step: StepNumber,
        why: String,
    },
    /// Why a step was not in the cache; before it is done.
    WhyNot {
        step: StepNumber,
        reason: Reason,
    },
    /// Part of an export, or of what goes before the steps, called as BuildKit calls it (`exporting layers`).
    Export {
        task: String,
        state: TaskState,
    },
    /// A layer goes to a registry; `id`: 12 digits of its diffID.
    Pushing {
        id: String,
        state: LayerState,
    },
    /// What a check of the Dockerfile says.
    Lint(lint::Warning),
    /// Anything else that goes on, but not as it should.
    Warning {
        lines: Option<Lines>,
        text: String,
    },
}

/// How far a part of an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    Begun,
    Done,
}

/// Where the result of a step came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached {
    Yes,
    No,
}

/// Who watches a build. Called from several threads.
pub trait Watch: Sync {
    fn tell(&self, event: Event);
}

impl<F: Fn(Event) + Sync> Watch for F {
    fn tell(&self, event: Event) {
        self(event);
    }
}
