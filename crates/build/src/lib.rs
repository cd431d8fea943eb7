//! Builds: a Dockerfile and a client's files become an image.
//!
//! ```text
//!   Request ─► dockerfile ─► plan (graph) ─► stages side by side (solve) ─► steps (ops) ─► image (export)
//!   Sources ─► context ────────────────────────────────────────┘   │
//!                                            cache: what steps came to, by what they were made of
//! ```
//!
//! - A *stage* is a stack of layers and a configuration ([`state`]); a *step* may add to both.
//! - A `RUN` is a container that stands on the layers so far; what it wrote becomes the next layer as it lies on the disk. A
//!   `COPY` writes into an overlay of its own. No tar is made until somebody asks for one.
//! - The *key* of a step is the digest of the layers below, of what the instruction means and of the contents that it reads. So a
//!   step that comes to the same layer as before leads to the same steps after it, and times of files do not count.
//! - [`Sources`] has the client's files, secrets and keys, [`progress`] tells what happens: both know nothing of the door that a
//!   build came through.
//!
//! Where to start: `builder.rs` is the way in, `solve.rs` the walk through stages and steps, `ops/` has a file for each sort of step.
#![forbid(unsafe_code)]

mod builder;
mod cache;
pub mod context;
mod error;
mod export;
mod graph;
mod mounts;
mod ops;
pub mod progress;
pub mod request;
mod solve;
mod state;

pub use builder::{Builder, Built};
pub use cache::{Kept, Prune, Pruned, Record, RecordKind};
pub use context::{Folder, Sources};
pub use error::{Error, Result};
pub use request::{Keys, Request};
