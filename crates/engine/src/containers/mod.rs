//! Use cases of containers, a file each.

mod attach;
mod changes;
mod create;
mod exited;
mod export;
mod inspect;
mod mounts;
mod neighbour;
mod pause;
mod remove;
mod rename;
mod size;
mod start;
mod stop;
mod top;
mod wait;

pub use create::Created;
pub(crate) use exited::MOST_DRAINING;
pub use inspect::Snapshot;
pub use remove::Removal;
pub use size::Sizes;
pub(crate) use size::folder_bytes;
pub(crate) use start::failure_code;
pub use stop::{Change, StopRequest};
pub use top::{Process, Processes};
pub use wait::{WaitCondition, WaitResult};
