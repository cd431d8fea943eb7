//! A black-box suite for OCI runtimes: bundles, calls of a runtime, and what must be true afterwards.
//!
//! The same cases run on ours and on runc, so that the suite itself is checked on the reference. A [`Case`] is one bundle with a
//! state folder of its own; dropped, it deletes its container and fails the test when anything is left: a process, a cgroup, a
//! mount, a state folder. Tests need root, busybox (static) and runc.
//!
//! `DHOW_BINARY` names another dhow than the one cargo built.
#![forbid(unsafe_code)]

mod bundle;
mod case;
mod left;
mod terminal;

pub use bundle::{Bundle, base_config};
pub use case::{Case, Output, Runtime};
pub use it::{binary, busybox_archive, within};
pub use left::cgroup_folders;
pub use terminal::Console;
