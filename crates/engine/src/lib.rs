//! The use cases: what people do with containers and images, each a file, introducing the nouns to each other.
//!
//! Doors (`server`) call [`Engine`]; it speaks in plain values and its own error kinds, never in HTTP. Methods block on the
//! kernel and the disk: call them from a blocking thread. Those that wait for a container are `async`.
//!
//! Where to start: `containers/start.rs` is the walk from a record to a process, `containers/exited.rs` the way back,
//! `adopt.rs` what a new engine does with what an earlier one left.
#![forbid(unsafe_code)]

mod adopt;
mod containers;
mod error;
mod events;
mod exec;
mod facts;
mod filters;
mod groups;
mod images;
pub mod logging;
mod networks;
mod overview;
mod platforms;
mod rootless;
mod roots;
mod sampler;
mod sandbox;
mod settings;
mod shelf;
mod streams;
mod system;
mod timers;
mod volumes;
pub mod words;

pub use containers::{Afterwards, Checkpoint};
pub use containers::{
    Change, Created, Listed, Mark, Process, Processes, Removal, Sizes, Snapshot, StopRequest, Update, WaitCondition,
    WaitResult,
};
pub use containers::{FileSink, FileStat, FilesPut, Replacing};
pub use containers::{Step, StepEnd, StepNews};
pub use error::Error;
pub use events::{Event, EventKind, Subscription};
pub use exec::{ExecCreate, ExecSnapshot, ExecStart};
pub use images::{
    Commit, Distribution, ImageHold, Pausing, Pruned, Pull, PullStep, Pulled, Push, PushStep, Registries, Trust,
    VolumeUsage,
};
pub use layer::{Change as FileChange, ChangeKind as FileChangeKind};
pub use networks::{Attached, Member, NetworkRequest, NetworkView, PortView, Republishing, SubnetRequest, Unpublish};
pub use networks::{EgressView, check_egress, check_egress_mode, egress_of};
pub use overview::Seen;
pub use sampler::{Look, Looks, Machine, Traffic};
pub use settings::Settings;
pub use streams::{Attach, Attachment, Chunk, Input, LogFollow, Output, Stream};
pub use system::{Counts, Engine, Info};
pub use volume::Volume;
pub use volumes::{VolumeMake, VolumeSeen, VolumesPruned};

/// `Result` with the engine's error.
pub type Result<T> = std::result::Result<T, Error>;
