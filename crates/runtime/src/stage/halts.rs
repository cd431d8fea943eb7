//! Where a keeper's process stops on its way: for hooks outside of it, then for its own.
//!
//! A vendor's programs run with rights that the container's must not get at. So they see nothing of the image before they look
//! for it: their environment is the hook's alone (CVE-2025-23266), and their folder the host's root (CVE-2024-0132).

use super::course::run_hooks;
use super::init::named;
use crate::create::hear;
use crate::failure::at;
use crate::wire::{self, Word};
use crate::{Failure, Plan, Step};
use oci::runtime::{Hook, Hooks};
use oci::state::{State, Status};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Hooks that run last of all, from within the container's root.
#[derive(Debug)]
pub(super) struct Last {
    hooks: Vec<Hook>,
    state: State,
}

/// Namespaces and mounts are there, and the host's files still visible.
pub(super) fn stop(plan: &Plan, fds: &[OwnedFd]) -> Result<Option<Last>, Failure> {
    let Some(halts) = &plan.halts else { return Ok(None) };
    let broken = |e: serde_json::Error| Failure::new(Step::Prepare, Errno::INVAL, format!("cannot read hooks: {e}"));
    let hooks: Hooks = serde_json::from_str(&halts.hooks).map_err(broken)?;
    let state: State = serde_json::from_str(&halts.state).map_err(broken)?;
    if let Some(index) = halts.outside {
        await_outside(named(fds, index)?)?;
    }
    if !hooks.create_container.is_empty() {
        rustix::process::chdir("/").map_err(at(Step::Root, "/"))?;
        run_hooks("createContainer", &hooks.create_container, &state, Status::Creating)?;
    }
    Ok(Some(Last { hooks: hooks.start_container, state }))
}

impl Last {
    pub(super) fn run(&self) -> Result<(), Failure> {
        run_hooks("startContainer", &self.hooks, &self.state, Status::Created)
    }
}

/// A number of ours means nothing outside: the pidfd tells which process this is.
fn await_outside(socket: BorrowedFd<'_>) -> Result<(), Failure> {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(at(Step::Park, "pidfd"))?;
    wire::say(socket, wire::HOOKS, &[own.as_fd()]).map_err(at(Step::Park, "socket"))?;
    match hear(socket)? {
        Word::Said(wire::PROCEED, _) => Ok(()),
        Word::Failed(failure) => Err(failure),
        _ => Err(Failure::new(Step::Park, Errno::PIPE, "an engine that ended")),
    }
}
