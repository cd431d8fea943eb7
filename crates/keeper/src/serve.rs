//! The keeper process itself.
//!
//! One thread, one epoll; nothing in it waits for anything but the epoll. What it knows is [`state::State`].

mod begin;
mod link;
mod reap;
mod requests;
mod restore;
mod setup;
mod state;
mod stdio;
mod takeover;

use crate::spawn::{LISTENING, TAKEN};
use rustix::process::Signal;
use setup::Seat;
use state::State;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// `dhow keeper EXEC_ROOT`: serves until no container and no engine is left.
pub fn main(exec_root: &Path) -> ExitCode {
    match run(exec_root) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{}: {}", exec_root.display(), base::chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(exec_root: &Path) -> io::Result<()> {
    let exec_root = exec_root.canonicalize()?;
    let Some(seat) = Seat::take(&exec_root)? else { return setup::answer(TAKEN) };
    // A container must not lose its keeper to a stray `kill` or to the end of a login session.
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::PIPE] {
        sys::daemon::ignore(signal)?;
    }
    let before = setup::become_daemon()?;
    let mut state = State::new(seat, before)?;
    setup::answer(LISTENING)?;
    state.serve()
}

/// A word for whoever looks into keeper.log. That it cannot be written is no reason to panic, as `eprintln!` would.
fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "dhow keeper: {what}");
}
