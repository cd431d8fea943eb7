//! Plugins of the Container Network Interface (specification 1.1.0 and what came before it, back to 0.3.0): programs that put a network
//! namespace on a network and take it off.
//!
//! ```text
//! List::read ──> Runtime::verify ──> add ──> check ──> delete
//!                VERSION, STATUS     each plugin in turn, │ each in turn, the last first
//!                                    the result so far on └ with what `add` said, which is kept on disk
//!                                    its standard input
//! ```
//!
//! - *list*: a network's configuration: its name and its plugins in order ([`List`]).
//! - *attachment*: one link of one network namespace on it ([`Attachment`]), known by the container's id and the link's name.
//! - *result*: the links, addresses, routes and name servers that came of it ([`Outcome`]).
//! - *cache*: list and result of each attachment, so that it can be taken back whatever became of the configuration ([`Cache`]).
//!
//! Plugins are given a time; those that hang are killed with all they started.
#![forbid(unsafe_code)]

mod cache;
mod error;
mod list;
mod outcome;
mod program;
mod runtime;

pub use cache::{Cache, Cached};
pub use error::Error;
pub use list::List;
pub use outcome::{Address, Dns, Interface, Outcome, Route};
pub use runtime::{Attachment, Bandwidth, PortMapping, Runtime};
