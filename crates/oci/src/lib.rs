//! The types of the OCI specifications, as plain values: parse and validate, nothing else.
//!
//! - [`runtime`]: runtime-spec 1.3 `config.json` (github.com/opencontainers/runtime-spec, config.md and config-linux.md).
//! - [`state`]: what hooks and `state` say of a container (runtime.md).
//! - [`image`]: image-spec 1.1 descriptor, manifest, index and image configuration.
#![forbid(unsafe_code)]

pub mod image;
pub mod runtime;
pub mod state;
