//! The use cases: what people do with containers and images, each a file, introducing the nouns to each other.
//!
//! Doors (`server`) call [`Engine`]; it speaks in plain values and its own error kinds, never in HTTP. Methods block on the
//! kernel and the disk: call them from a blocking thread. Those that wait for a container are `async`.
//!
//! Where to start: [`containers::start`](self) is the walk from a record to a process; `exited.rs` is the way back.
#![forbid(unsafe_code)]

mod containers;
mod error;
mod events;
mod exec;
mod images;
mod network;
mod settings;
mod streams;
mod system;

pub use containers::{
    Change, Created, Process, Processes, Removal, Snapshot, StopRequest, WaitCondition, WaitResult,
};
pub use error::Error;
pub use events::{Event, EventKind, Subscription};
pub use exec::{ExecCreate, ExecSnapshot, ExecStart};
pub use settings::Settings;
pub use streams::{Attach, Attachment, Chunk, Input, LogFollow};
pub use system::{Counts, Engine, Info};

/// `Result` with the engine's error.
pub type Result<T> = std::result::Result<T, Error>;
