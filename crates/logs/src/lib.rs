//! The output of containers: written once, read back by time, tail or follow.
//!
//! - [`Target`]: where a container's output goes.
//! - [`pump`]: moves output from pipes into logs and loses nothing when its process is killed: the engine runs one,
//!   the keeper runs the same one while no engine is there.
//! - [`read`]: a log from the end, since a time, followed across rotation.
#![forbid(unsafe_code)]

pub mod pump;
pub mod read;
mod target;

pub use target::{Driver, Target};
