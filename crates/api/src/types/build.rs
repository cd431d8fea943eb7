//! A build whose files lie on the engine's own machine: what `POST /build/local` takes and tells. Not Docker's.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is built; the rest is asked as of `POST /build`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalBuild {
    /// The folder of the files, an absolute path; none when only a Dockerfile is built.
    pub context: Option<String>,
    /// Its text.
    pub dockerfile: String,
    /// What it is called where something is wrong with it.
    pub name: String,
    /// The text of its ignore file.
    pub ignore: Option<String>,
    /// Named contexts: an absolute path, `docker-image://NAME` or `target:STAGE`.
    pub contexts: BTreeMap<String, String>,
    /// In base64.
    pub secrets: BTreeMap<String, String>,
    /// The sockets of agents, absolute paths.
    pub ssh: BTreeMap<String, String>,
    /// Stages whose steps are not taken from the cache.
    pub no_cache_filter: Vec<String>,
    /// `network.host`, `security.insecure`
    pub allow: Vec<String>,
}

/// A step as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildStep {
    pub stage: usize,
    pub stage_name: Option<String>,
    /// The place among the counted steps of its stage, and how many these are.
    pub place: Option<(usize, usize)>,
    pub title: String,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildEvent {
    Planned(Vec<BuildStep>),
    Added {
        step: usize,
        info: BuildStep,
    },
    Started(usize),
    Titled {
        step: usize,
        title: String,
    },
    Output {
        step: usize,
        error: bool,
        text: String,
    },
    Pulling {
        step: usize,
        text: String,
    },
    Done {
        step: usize,
        cached: bool,
    },
    Failed {
        step: usize,
        why: String,
    },
    Warning {
        line: Option<usize>,
        text: String,
    },
    /// The last line of a build that failed; `excerpt` shows its place in the Dockerfile.
    Error {
        message: String,
        excerpt: Option<String>,
    },
    /// The last line of one that did not.
    Built {
        image: String,
        names: Vec<String>,
    },
}
