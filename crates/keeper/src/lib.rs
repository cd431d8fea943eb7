//! The keeper: one small single-threaded process that is the parent of every container of an engine.
//!
//! It holds what must outlive the engine: the processes, their stdio and their exit codes. When the engine's control
//! socket closes it takes over reading their output into the logs, until an engine connects again.
//!
//! ```text
//!   park ──► Parked ──launch──► Starting ──execve──► Running ──exit──► Exited ──release──► (gone)
//!                                   └──failed──► (gone, the failure is the answer)
//! ```
//!
//! - [`client`]: the engine's end.
//! - [`serve`]: the process itself (`dhow keeper`, never typed by people).
//! - [`message`]: what they say to each other; `wire` carries it.
//! - `spawn`: starts the process from a copy of the binary that no container can write to.
#![forbid(unsafe_code)]

pub mod client;
pub mod message;
pub mod serve;
mod spawn;
mod wire;
