//! The OCI runtime's command line: `dhow runtime`, a drop-in for runc.
//!
//! ```text
//!  create ──► created ──start──► running ◄──pause/resume──► paused
//!    │           │                  │ exec, update, events, ps, kill
//!    └── run = create + start       ▼ the program ends
//!                                stopped ──delete──► gone
//! ```
//!
//! Each call is a short process; what is between two calls lies in the *state folder* (`<root>/<id>/`, see `store`). The work is
//! done by the `runtime` crate, which the engine's keeper uses as well.
//!
//! Where to start: `words` (what was typed) → `verbs/<verb>.rs` → `store`. Texts and exit codes are runc's: they are API.
#![forbid(unsafe_code)]

mod error;
mod store;
mod verbs;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command; `name` is what the program was called as (`runc`, `dhow-runtime`), for texts.
pub fn main(name: &str, args: Vec<OsString>) -> ExitCode {
    words::run(name, args)
}
