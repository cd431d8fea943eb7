//! Use cases of containers, a file each.

mod attach;
mod create;
mod exited;
mod inspect;
mod mounts;
mod neighbour;
mod pause;
mod remove;
mod rename;
mod start;
mod stop;
mod top;
mod wait;

pub use create::Created;
pub(crate) use exited::MOST_DRAINING;
pub use inspect::Snapshot;
pub use remove::Removal;
pub(crate) use start::failure_code;
pub use stop::{Change, StopRequest};
pub use top::{Process, Processes};
pub use wait::{WaitCondition, WaitResult};
