//! The client of registries: OCI distribution 1.1 and Docker's schema 2, over HTTP.
//!
//! Methods block; each call can be made from many threads at once, but not from a thread that drives async tasks
//! (tokio's `spawn_blocking` threads are fine).
//!
//! ```text
//! Client ── repository() ──► Repository ── manifest, blob, push_blob, tags ... ──► Session (one endpoint, one asker)
//!    │ set()                     │                                                    │ scheme, token, repetition
//!    ▼                           ▼                                                    ▼
//!  Setup: settings, tokens    hosts: mirrors first, then the registry          Transport: one request, one answer
//! ```
//!
//! - *endpoint*: a place that speaks the protocol for a registry: the registry itself or a mirror.
//! - *asker*: whose credentials are shown. Mirrors never see a registry's credentials.
//! - *challenge*: what a 401 asks for; *realm*: the token server that it names.
#![forbid(unsafe_code)]

mod blob;
mod certs;
mod challenge;
mod client;
mod credentials;
mod error;
mod fetch;
mod hosts;
mod hosts_file;
pub mod keyring;
mod listing;
mod login;
mod manifest;
mod names;
mod repository;
mod search;
mod session;
mod settings;
mod setup;
pub mod tls;
mod token;
mod transport;
mod upload;
mod workers;

pub use client::{Cancel, Client};
pub use credentials::Credentials;
pub use error::Error;
pub use login::Login;
pub use manifest::Document;
pub use names::{NameError, lookup};
pub use repository::Repository;
pub use search::Hit;
pub use settings::Settings;

#[cfg(test)]
mod tests;
