//! The output of containers: written once, read back by time, tail or follow.
//!
//! - [`Target`]: where a container's output goes.
//! - [`pump`]: moves output from pipes into logs and loses nothing when its process is killed: the engine runs one,
//!   the keeper runs the same one while no engine is there.
//! - [`read`]: a log from the end, since a time, followed across rotation.
//! - [`compress()`]: full files made small, apart from the pump, which must not wait for it.
//!
//! An *entry* is one line of a log file: a JSON object as Docker's `json-file` driver writes, or the shorter form of
//! [`Driver::Local`].
#![forbid(unsafe_code)]

mod compressed;
mod entry;
mod file;
mod files;
mod format;
mod journal;
pub mod pump;
pub mod read;
mod short;
mod target;
mod time;

pub use compressed::compress;
pub use target::{Driver, Target};
