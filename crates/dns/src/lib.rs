//! The name server of containers: what 127.0.0.11 answers in each of them.
//!
//! ```text
//!  Sockets::open ──> Server::serve ──> Guard::look (other networks, other servers) ──> drop
//!  in the container's      │
//!  network namespace       ├─ a name of its networks ──> answered from `Names`, never asked outside
//!                          └─ any other ──> the cache, or the name servers outside
//! ```
//!
//! One server serves all containers of an engine as tasks of one runtime: no thread and no process belongs to a container.
//!
//! - *names*: who is on which network with which addresses; kept by the engine, read at every query ([`Names`]).
//! - *view*: what one container may see: its networks, its links, and whom its other questions go to ([`View`]).
//! - *gate*: of a container with an egress policy, who judges names before they are asked for and answers before they are sent ([`Gate`]).
//! - *outside*: the name servers of the host, or those of `--dns`; none for a container without a way out (module `outside`).
//!
//! A name that exists is answered for every type of record, if need be with nothing: an "it does not exist" for AAAA makes
//! some resolvers give up on the address they have. Start reading at [`Server`]; `lookup` has the order of the search.
#![forbid(unsafe_code)]

mod client;
#[cfg(feature = "fixture")]
pub mod fixture;
mod gate;
mod gated;
mod listen;
mod lookup;
mod names;
mod outside;
mod reply;
mod server;
mod sockets;
#[cfg(test)]
mod tests;
mod view;

pub use gate::{Gate, Gatekeeper};
pub use names::{Endpoint, Names};
pub use server::{Guard, Server};
pub use sockets::Sockets;
pub use view::{Dotless, Outside, View};
