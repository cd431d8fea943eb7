//! Hooks that run beside the container, in this process's namespaces.

use crate::error::{Error, Result};
use oci::runtime::Hook;
use oci::state::State;

/// Runs the hooks of `point` in their order, until one fails.
pub fn run(point: &str, hooks: &[Hook], state: &State) -> Result<()> {
    runtime::run_hooks(point, hooks, state).map_err(|e| Error::of(&e))
}
