//! Hooks that run beside the container, in this process's namespaces.

use crate::error::{Error, Result};
use crate::{birth, log};
use oci::runtime::Hook;
use oci::state::State;
use runtime::Interruption;
use std::os::fd::AsFd;
use sys::signalfd::Signals;

/// Runs the hooks of `point` in their order, until one fails. `signals`: what this process has taken; one that would end it ends
/// the hook.
pub fn run(point: &str, hooks: &[Hook], state: &State, signals: Option<&Signals>) -> Result<()> {
    if !hooks.is_empty() {
        log::debug(&format!("running {} hook(s) of {point}", hooks.len()));
    }
    let came = || signals.is_some_and(|signals| birth::check_signals(signals).is_err());
    let interruption = signals.map(|signals| Interruption { fd: signals.as_fd(), came: &came });
    runtime::run_hooks(point, hooks, state, interruption.as_ref()).map_err(|e| Error::of(&e))
}
