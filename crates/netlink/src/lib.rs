//! Links, addresses, routes, nftables and conntrack over netlink(7), without `ip`, `nft` or `iptables` programs.
//!
//! ```text
//! Batch (messages of attributes) --Socket::run--> kernel --first refusal--> Error
//!                                --Socket::ask--> kernel --replies--------> Reader
//! ```
//!
//! - A [`Batch`] is a list of requests that goes to the kernel in one system call. [`link`], [`address`] and [`route`]
//!   add requests to it; nftables requests go through a [`nft::Transaction`], which is all or nothing.
//! - A [`Socket`] belongs to the network namespace it was opened in, for good: see [`netns::within`].
//! - Every length that becomes 16 bits wide is checked (CVE-2021-43784 was a cast here).
//!
//! The encoder is our own: batches over rtnetlink, sockets of another namespace, veth peers, masquerade and conntrack
//! filters are what we need, and the generated bindings at hand have none of them.
#![forbid(unsafe_code)]

pub mod address;
mod batch;
pub mod conntrack;
mod error;
pub mod link;
pub mod moving;
pub mod netns;
pub mod nflog;
pub mod nft;
mod reader;
pub mod route;
mod socket;

pub use batch::{Attributes, Batch};
pub use error::Error;
pub use reader::Reader;
pub use socket::Socket;
