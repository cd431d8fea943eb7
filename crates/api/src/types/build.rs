//! A build of this program's own command line: what `POST /build/local` takes and tells. Not Docker's.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The type of a request whose description is followed by files: see [`LocalBuild::sent`].
pub const WITH_FILES: &str = "application/x-tar";

/// What is built; the rest is asked as of `POST /build`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalBuild {
    /// What `POST /build/cancel?id=` calls it.
    pub id: String,
    /// Where the files are: an absolute path on the engine's machine, the address of an archive or a repository; none when only a
    /// Dockerfile is built, or when they are sent.
    pub context: Option<String>,
    /// Device and inode of that folder as the client sees it: an engine elsewhere has another one of the same name.
    pub seen: Option<(u64, u64)>,
    /// Its text; none: it lies in the context, as `name`.
    pub dockerfile: Option<String>,
    /// What it is called where something is wrong with it.
    pub name: String,
    /// The text of its ignore file; none: as the context has it.
    pub ignore: Option<String>,
    /// Named contexts: an absolute path, `docker-image://NAME`, `oci-layout://PATH`, `target:STAGE`, or an address.
    pub contexts: BTreeMap<String, String>,
    /// Contexts whose files follow this description, a tar for each, in this order; the main one is `context`. The description ends
    /// with a line end; then pieces come, each behind its length (4 bytes, big end first). A tar ends with a piece of length 0.
    pub sent: Vec<String>,
    /// In base64.
    pub secrets: BTreeMap<String, String>,
    /// The sockets of agents, absolute paths.
    pub ssh: BTreeMap<String, String>,
    /// Stages whose steps are not taken from the cache.
    pub no_cache_filter: Vec<String>,
    /// `network.host`, `security.insecure`
    pub allow: Vec<String>,
    /// Where the result goes; nowhere but into the store, if there is none.
    pub outputs: Vec<BuildOption>,
    /// What is to be said of the result: `provenance`, `sbom`.
    pub attests: Vec<BuildOption>,
    pub cache_from: Vec<BuildOption>,
    pub cache_to: Vec<BuildOption>,
    /// What is asked instead of a build: `lint`, `outline`, `targets`.
    pub call: Option<String>,
    /// A `RUN` that fails is kept for a shell.
    pub debug: Option<DebugShell>,
    /// Tell why steps are not taken from the cache.
    pub why: bool,
}

/// `type=...,key=value`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildOption {
    pub kind: String,
    pub attributes: BTreeMap<String, String>,
}

/// How the shell in a failed step talks with its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebugShell {
    Terminal,
    Streams,
}

/// A step as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildStep {
    pub stage: usize,
    pub stage_name: Option<String>,
    /// Of a build for several platforms.
    pub platform: Option<String>,
    /// The place among the counted steps of its stage, and how many these are.
    pub place: Option<(usize, usize)>,
    pub title: String,
}

/// A remark about the Dockerfile, or about the build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildWarning {
    /// The name of the rule that it is about.
    pub rule: Option<String>,
    pub url: Option<String>,
    pub first_line: Option<usize>,
    pub last_line: Option<usize>,
    pub text: String,
    /// What the rule is for.
    pub detail: String,
    /// The lines with those around them.
    pub excerpt: String,
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
    /// Bytes of something under way, that which `what` names (a layer, a file).
    Bytes {
        step: usize,
        what: String,
        done: u64,
        total: Option<u64>,
    },
    Done {
        step: usize,
        cached: bool,
    },
    /// A part of what comes after the steps, by its name: it begins, and is done.
    Task {
        name: String,
        done: bool,
    },
    /// `cancelled`: because something else did, or the client went.
    Failed {
        step: usize,
        why: String,
        cancelled: bool,
    },
    /// Why a step was not taken from the cache.
    Why {
        step: usize,
        reason: String,
    },
    Warning(BuildWarning),
    /// `length` bytes of the output of this number follow the line.
    Data {
        output: usize,
        length: usize,
    },
    /// The output has come whole.
    Whole {
        output: usize,
    },
    /// A step failed, and this container stands where it stood. It is started by who attaches to it; the build goes on when it is
    /// gone.
    Shell {
        container: String,
        message: String,
    },
    /// The last line of what was asked instead of a build.
    Answer {
        json: String,
        text: String,
        status: u8,
    },
    /// The last line of a build that failed; `excerpt` shows its place in the Dockerfile.
    Error {
        message: String,
        excerpt: Option<String>,
        hint: Option<String>,
    },
    /// The last line of one that did not. `response` is what the outputs tell, as BuildKit's exporters do.
    Built {
        image: String,
        names: Vec<String>,
        response: BTreeMap<String, String>,
    },
}
