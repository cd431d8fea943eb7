//! A registry: OCI distribution 1.1 over the local images, a folder, or another registry behind a cache.
//!
//! ```text
//!   connection (serve) ─► who may (access) ─► what is asked (target) ─► routes/*  ─► Storage
//!                                                                                    ├─ folder   a folder of its own
//!                                                                                    ├─ engine   the engine's images
//!                                                                                    └─ proxy    another registry, kept
//! ```
//!
//! [`storage::Storage`] is what a driver must do; `tests/conformance.rs` says it in cases, and runs over all of them.
//! Storage blocks and is called on threads that may; bodies are streams that never hold such a thread while a slow
//! client makes it wait.
//!
//! - *repository*: a name such as `library/busybox`, with manifests, tags and the blobs that belong to them.
//! - *manifest*: a document that names blobs or other manifests; by its digest, or by a tag that points at the digest.
//! - *upload*: a blob that is on its way in.
//! - *referrer*: a manifest that has another one as its subject.
#![forbid(unsafe_code)]

mod access;
mod address;
mod answer;
mod blob_body;
mod blobs;
mod document;
mod engine;
mod fault;
mod flags;
mod folder;
mod htpasswd;
mod name;
mod proxy;
mod routes;
mod run;
mod serve;
mod stall;
mod storage;
mod target;
mod tls;

#[cfg(test)]
mod tests;

pub use run::main;
