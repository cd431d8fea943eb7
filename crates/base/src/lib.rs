//! Ground: the plain values every other room speaks in. Knows nothing of containers.
//!
//! - [`Kind`]: what sort of failure an error is; doors map it to a status or an exit code.
//! - [`Id`]: 64 hex digits that name a container, an exec or a network.
//! - [`Digest`]: the name of a blob.
//! - [`Undo`]: the way back of a change that can fail half-way.
//! - [`atomic`]: files that are either the old one or the new one.
//! - [`signal`]: signals by the names people type.
//! - [`size`]: bytes as people type them.
//! - [`tree`]: trees of files, removed or measured.
#![forbid(unsafe_code)]

pub mod atomic;
mod digest;
mod id;
mod kind;
pub mod signal;
pub mod size;
pub mod tree;
mod undo;

pub use digest::{Digest, DigestError};
pub use id::{Id, IdError};
pub use kind::{Kind, Kinded, chain};
pub use undo::Undo;
