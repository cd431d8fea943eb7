//! The BuildKit protocol: what `docker buildx` and `docker compose build` speak over `/grpc` and `/session`.
//!
//! ```text
//!   /grpc ────► service ─┬─► control ──┐                    ┌─► build::Builder ─► build::Solved
//!                        └─► gateway ──┴─► builds (Job) ────┤
//!   /session ──────────────► session ◄── files, keys, sinks ┘
//!                                   progress ◄── events
//! ```
//!
//! - A client opens a session, on which *it* answers questions, and asks for a build; then it speaks with the builder through the
//!   *gateway* while that build goes on, and says in the end which results are to go to the outputs.
//! - Only Dockerfiles are built: the frontend is built in, definitions of builds (LLB) are understood as far as they are sources.
#![forbid(unsafe_code)]

mod builds;
mod control;
mod error;
#[cfg(feature = "fixture")]
pub mod fixture;
pub mod frontend;
mod gateway;
mod house;
mod progress;
mod service;
pub mod session;
mod status;

pub use error::{Error, Result};
pub use house::{House, Identity};
pub use service::Service;
