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

mod attest;
mod builder;
pub mod cache;
pub mod context;
mod error;
mod export;
mod facts;
mod graph;
mod inquire;
mod lanes;
mod mounts;
mod ops;
mod output;
pub mod progress;
mod recall;
pub mod request;
mod solve;
mod solved;
mod squash;
mod state;

pub use builder::Builder;
pub use cache::{Kept, Prune, Pruned, Record, RecordKind, Upkeep};
pub use context::{Folder, Sources};
pub use error::{Error, Result};
pub use inquire::{Findings, Inquiry, inquire};
pub use output::{Archive, Exported, NoSink, Output, OutputKind, Part, Sink};
pub use request::{Attest, AttestKind, Keys, Request};
pub use solved::{Product, Solved};
