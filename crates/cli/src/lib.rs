//! The command line: docker's words and flags, over the same API that docker uses.
//!
//! ```text
//!   words ──► grammar (what was typed) ──► plan (what is meant) ──► verbs ──► api::client ──► engine
//!                                                                     └──► show (tables, JSON), stream (stdio, terminal)
//! ```
//!
//! - [`main`]: finds the verb, reads its flags, runs it, maps the result to an exit code.
//! - [`daemonize`]: the step between a command that found no engine and the engine.
#![forbid(unsafe_code)]

mod complete;
mod connect;
mod contexts;
mod credentials;
mod failure;
mod grammar;
mod launch;
mod manual;
mod names;
mod plan;
mod platform;
mod session;
mod show;
mod ssh;
mod stream;
mod verbs;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use failure::Failure;

/// Runs `dhow ARGS...` (without argv 0).
pub fn main(args: Vec<OsString>) -> ExitCode {
    let result = words::dispatch(&args);
    stream::terminal::restore();
    let code = match result {
        Ok(code) => code,
        Err(failure) => {
            report(&failure);
            failure.code()
        }
    };
    // Threads that still wait for stdin end with the process.
    ExitCode::from(code)
}

/// `dhow daemonize ARGS...`: leaves the terminal behind and becomes `dhow engine ARGS... --ready-fd N`.
pub fn daemonize(args: Vec<OsString>) -> ExitCode {
    launch::daemonize(&args)
}

/// `dhow __complete WORDS...`: what the last word may become, for the scripts of `dhow completion`. `engine` has the flags of
/// `dhow engine`, which this crate does not know.
pub fn complete(args: &[OsString], engine: fn() -> clap::Command) -> ExitCode {
    complete::main(args, engine)
}

/// `dhow manual DIR`: the pages of the manual, for packages. `settings` are those of `daemon.json`: name, kind and what each does.
pub fn manual(args: &[OsString], engine: fn() -> clap::Command, settings: &[Setting]) -> ExitCode {
    manual::main(args, engine, settings)
}

pub use manual::Setting;

fn report(failure: &Failure) {
    match failure {
        Failure::Shown(text) => drop(show::print(text)),
        Failure::Code(_) | Failure::OutputClosed => {}
        other => show::complain(&other.to_string()),
    }
}
