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

mod ahead;
mod birth;
mod bringup;
mod bundle;
mod criu;
mod ends;
mod error;
mod foreground;
mod hooks;
mod log;
mod notify;
mod passed;
mod passwd;
mod pid_file;
mod process;
mod rdt;
mod root;
mod seal;
mod shown;
mod signalling;
mod sockets;
mod store;
mod streams;
mod terminal;
mod verbs;
mod wording;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command; `name` is what the program was called as (`runc`, `dhow-runtime`), for texts.
pub fn main(name: &str, args: Vec<OsString>) -> ExitCode {
    words::run(name, args)
}
