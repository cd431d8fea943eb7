//! The Docker Engine API over HTTP: routes translate what was typed into what is meant, and back into Docker's words.
//!
//! ```text
//!   listen ─► serve ─► version, body ─► routes/<noun>/<verb> ─► translate ─► engine
//!               ▲                              │
//!               └──── status, words ◄──────────┴──── present ◄──────────────────┘
//! ```
//!
//! - `routes/`: one file for each verb of each noun; the list of all paths is in their `mod.rs`.
//! - `translate/`: a create request becomes a [`container::Config`], checked in Docker's words.
//! - `present/`: what the engine knows, in Docker's shapes.
//! - `stream/`: hijacked connections, frames, bodies that go on.
//! - `status` and `words`: errors; the only place with Docker's exact texts.
//! - `run`: the process `dhow engine`: signals and the end. `keys` is the table of all settings, `flags` and `config_file` read them,
//!   `options` has them typed, `defaults` are those that containers get, `reload` takes some up on SIGHUP.
//! - `metrics` (Prometheus), `traces` (OTLP) and `diary` (the log): what the engine tells about itself.
#![forbid(unsafe_code)]

mod again;
mod app;
mod auth;
mod config_file;
mod conn;
mod crowd;
mod defaults;
mod diary;
mod filters;
mod flags;
mod keys;
mod listen;
mod metrics;
mod notify;
mod options;
mod pattern;
mod pid_file;
mod present;
mod query;
mod registries;
mod reload;
mod request_line;
mod routes;
mod run;
mod serve;
mod signals;
mod spelling;
mod status;
mod stream;
mod times;
mod tls;
mod traces;
mod translate;
mod upkeep;
mod version;
mod words;

pub use flags::command;
pub use keys::settings;
pub use run::main;
