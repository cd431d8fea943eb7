//! The content store: blobs named by digest, in a valid OCI image layout on disk (image-spec 1.1, image-layout.md).
//!
//! ```text
//!   oci-layout  index.json  blobs/sha256/HEX   ingest/...
//! ```
#![forbid(unsafe_code)]
