//! Black-box tests of the dhow binary: each on an engine of its own, in a network and a mount namespace of its own.
//!
//! A [`Stage`] is one engine on temporary roots. Dropped, it ends the engine and checks that nothing is left: no process, no
//! cgroup, no file below its roots that could not be deleted. Tests need root, busybox (static), unshare(1) and nsenter(1).
#![forbid(unsafe_code)]

mod door;
mod events;
mod image;
mod name_client;
mod name_server;
mod neighbour;
mod registry;
mod stage;
mod wire;

pub use door::{Another, Certificates};
pub use events::Events;
pub use image::{busybox_archive, busybox_root, layered_archive, oci_archive};
pub use name_client::{Asked, NameClient};
pub use name_server::NameServer;
pub use neighbour::{ASK, Neighbour};
pub use registry::{Maker, Registry};
pub use stage::{Output, Stage, again, binary, eventually, within};
pub use wire::{Frame, Wire, status};
