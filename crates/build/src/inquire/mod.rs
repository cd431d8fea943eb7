//! What may be asked of a Dockerfile instead of a build: what is wrong with it, what it wants to know, what it can make.

mod around;
mod remarks;
mod report;

pub(crate) use around::Around;
pub(crate) use remarks::Remarks;

use crate::builder::Builder;
use crate::context::{MAIN, Sources};
use crate::request::{Keys, Request};
use crate::{Error, Result};
use dockerfile::ignore::Ignore;
use dockerfile::lint::{self, Options};
use dockerfile::{BuildArguments, Dockerfile};
use registry::Cancel;

/// Build arguments that say which checks count.
const OPTIONS: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inquiry {
    /// What is wrong, or probably so.
    Check,
    /// The arguments, secrets and agents that a target uses.
    Outline,
    /// The stages.
    Targets,
    /// What may be asked.
    Describe,
}

impl Inquiry {
    /// By the names that BuildKit gives them, with or without `frontend.`.
    pub fn named(name: &str) -> Option<Inquiry> {
        match name.strip_prefix("frontend.").unwrap_or(name) {
            "lint" | "check" => Some(Inquiry::Check),
            "outline" => Some(Inquiry::Outline),
            "targets" => Some(Inquiry::Targets),
            "subrequests.describe" => Some(Inquiry::Describe),
            _ => None,
        }
    }
}

/// An answer, in BuildKit's two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    pub json: String,
    pub text: String,
    /// Of a check: 1 when something was found.
    pub status: u8,
    /// Of the form.
    pub version: &'static str,
}

/// Answers what is asked of the Dockerfile in `request`, which people know by its `name`. Nothing is built; images that are not here
/// are only asked about where `keys` are given. Not for a thread of the async runtime.
pub fn inquire(
    builder: &Builder,
    inquiry: Inquiry,
    (request, name): (&Request, &str),
    (sources, keys): (&dyn Sources, Option<&dyn Keys>),
    cancel: &Cancel,
) -> Result<Findings> {
    let source = Source { text: &String::from_utf8_lossy(&request.dockerfile), name };
    let arguments = arguments(request);
    let around = Around { house: builder.house(), sources, keys, cancel, ignore: ignored(inquiry, sources)? };
    match inquiry {
        Inquiry::Describe => report::describe(),
        Inquiry::Check => {
            let checked = checked(request, &arguments, &around);
            report::check(&source, &checked)
        }
        Inquiry::Targets => report::targets(&source, &dockerfile::parse(&request.dockerfile)?),
        Inquiry::Outline => {
            let file = dockerfile::parse(&request.dockerfile)?;
            let outline = dockerfile::outline::outline(&file, &arguments, &around);
            report::outline(&source, &outline.map_err(|error| missing_target(error, &arguments))?)
        }
    }
}

/// A Dockerfile as it is shown.
struct Source<'a> {
    text: &'a str,
    name: &'a str,
}

/// What is left out of the context matters for a check alone.
fn ignored(inquiry: Inquiry, sources: &dyn Sources) -> Result<Option<Ignore>> {
    if inquiry != Inquiry::Check {
        return Ok(None);
    }
    if let Some(known) = sources.ignore() {
        return Ok(Some(known));
    }
    let folder = sources.folder(MAIN, &[".dockerignore".to_owned()])?;
    Ok(folder.and_then(|folder| folder.ignore().cloned()))
}

fn missing_target(error: dockerfile::Error, arguments: &BuildArguments) -> Error {
    match (error.fault(), &arguments.stage) {
        (dockerfile::Fault::NoTarget(_), Some(name)) => Error::NoTarget(name.clone()),
        _ => error.into(),
    }
}

fn checked(request: &Request, arguments: &BuildArguments, around: &Around<'_>) -> lint::Report {
    let failed = |error| lint::Report { warnings: Vec::new(), error: Some(error) };
    let file = match dockerfile::parse(&request.dockerfile) {
        Ok(file) => file,
        Err(error) => return failed(error),
    };
    match options(request, &file) {
        Ok(options) => lint::check(&file, arguments, &options, around),
        Err(error) => failed(error),
    }
}

pub(crate) fn options(request: &Request, file: &Dockerfile) -> std::result::Result<Options, dockerfile::Error> {
    Options::of(file, request.arguments.get(OPTIONS).map(String::as_str))
}

/// What words depend on, for the first platform that is wanted.
pub(crate) fn arguments(request: &Request) -> BuildArguments {
    let machine = image::machine_platform();
    BuildArguments {
        values: request.arguments.clone(),
        target: request.platforms.first().cloned().unwrap_or_else(|| machine.clone()),
        build: machine,
        stage: request.target.clone().filter(|target| !target.is_empty()),
    }
}
