//! The output of containers: written once, read back by time, tail or follow.
//!
//! - [`Target`]: where a container's output goes.
//! - [`pump`]: moves output from pipes into logs and loses nothing when its process is killed: the engine runs one,
//!   the keeper runs the same one while no engine is there.
//! - [`read`]: a log from the end, since a time, followed across rotation.
//!
//! An *entry* is one JSON object on one line of a log file, the `json-file` format of Docker.
#![forbid(unsafe_code)]

mod entry;
mod file;
mod journal;
pub mod pump;
pub mod read;
mod target;
mod time;

pub use target::{Driver, Target};
