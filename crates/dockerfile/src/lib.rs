//! Dockerfiles: what one says, what its words mean where they stand, what may be wrong with it. Text in, values out: no files, no network.
//!
//! ```text
//!   text ──parse──► Dockerfile ──Globals──► Scope ──step──► Resolved      (for every stage, in the order of a build)
//!    │ lines: comments, continuations, heredocs     expand: $words, `ARG` and `ENV` as they are at that step
//!    │ words: flags, pairs, JSON arrays
//!    └ instruction: a typed value for each
//! ```
//!
//! - [`parse`]: the whole file, or an [`Error`] that knows its line and shows the text around it.
//! - [`Scope`]: variables, stage by stage and step by step.
//! - [`ignore`] reads `.dockerignore`.
//! - [`lint`]: what `--check` says.
//! - [`graph`]: which stages a target needs.
//! - [`outline`]: the targets, arguments, secrets and agents that a file asks for.
//!
//! The language is that of BuildKit's frontend `docker/dockerfile:1`, and so are the texts of errors and warnings.
#![forbid(unsafe_code)]

mod arguments;
mod csv;
mod directive;
mod duration;
mod env;
mod error;
pub mod expand;
mod fault;
mod flags;
pub mod graph;
mod healthcheck;
mod heredoc;
pub mod history;
pub mod ignore;
mod instruction;
mod lines;
pub mod lint;
mod model;
pub mod mount;
mod onbuild;
pub mod outline;
mod parse;
mod path;
mod pattern;
mod platform;
pub mod ports;
mod quote;
mod run;
mod scope;
mod sources;
mod suggest;
mod words;

pub use arguments::{Base, BuildArguments, Globals, unused};
pub use csv::fields as csv_fields;
pub use directive::syntax;
pub use env::Env;
pub use error::{Error, excerpt};
pub use fault::Fault;
pub use model::*;
pub use mount::{Mount, MountFlag, MountKind};
pub use onbuild::parse_trigger;
pub use parse::parse;
pub use path::workdir;
pub use run::Invocation;
pub use scope::{Resolved, Scope};
