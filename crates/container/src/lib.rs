//! The noun *container*: what one is, what it is stored as, and the runtime specification it becomes.
//!
//! ```text
//!              create            start                 exit
//!   (nothing) ───────► Created ────────► Running ─────────────► Exited ──remove──► (nothing)
//!                                        │  ▲  ▲                 │ start / restart policy
//!                                  pause ▼  │  └──── Restarting ◄┘
//!                                       Paused
//! ```
//!
//! - [`Config`]: what the user means (doors translate what was typed into it).
//! - [`Container`]: the record, fixed at creation; [`State`]: what changes.
//! - [`Store`]: the only file that knows how both are kept (SQLite).
//! - [`merge()`]: a configuration with the image's defaults filled in.
//! - [`user`]: `USER` texts looked up in the container's own files.
//! - [`health`]: how its health is asked for, and what the answers make of it.
//! - [`cdi`]: devices of vendors, by the Container Device Interface.
//! - [`spec`]: the runtime specification of a container.
//! - [`name`]: the names people give to containers.
#![forbid(unsafe_code)]

mod asked;
pub mod cdi;
pub mod health;
mod merge;
mod model;
pub mod name;
pub mod spec;
mod store;
mod target;
pub mod user;

pub use asked::Asked;
pub use health::{Health, HealthCheck, HealthStatus};
pub use merge::{MergeError, merge};
pub use model::*;
pub use store::{Store, StoreError};
