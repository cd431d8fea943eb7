//! The Docker Engine API on the wire: its types, as doors read and write them, and a client.
//!
//! - [`types`]: requests (lenient: unknown fields ignored, `null` is the default) and answers (Docker's exact spellings).
//! - [`human`]: how long ago something was, as people are told.
//! - [`client`]: HTTP/1.1 over a unix socket, with upgraded (hijacked) streams.
#![forbid(unsafe_code)]

pub mod client;
pub mod human;
pub mod types;
