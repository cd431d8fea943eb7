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
//! - `run`: the process `dhow engine`: flags, `daemon.json`, signals.
#![forbid(unsafe_code)]

mod app;
mod auth;
mod config_file;
mod conn;
mod diary;
mod filters;
mod flags;
mod listen;
mod notify;
mod pattern;
mod present;
mod query;
mod registries;
mod routes;
mod run;
mod serve;
mod status;
mod stream;
mod times;
mod translate;
mod version;
mod words;

pub use run::main;
