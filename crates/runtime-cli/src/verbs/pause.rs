//! `pause`: all processes of a container stand still.

use crate::error::{Error, Result};
use crate::log;
use crate::words::Global;
use base::{Kind, Kinded};
use oci::state::Status;

pub fn run(global: &Global, id: &str) -> Result<()> {
    let container = global.store().lock(id)?;
    if !matches!(container.status(), Status::Running | Status::Created) {
        return Err(Error::new("container not running"));
    }
    container.cgroup()?.freeze().map_err(|e| {
        hint(global, "pause", &e);
        Error::of(&e)
    })
}

/// Where a right is missing, it is most often that of a user over cgroups.
pub(super) fn hint(global: &Global, verb: &str, error: &cgroup::Error) {
    if error.kind() == Kind::Denied {
        log::warn(&format!("{} {verb} failure might be caused by lack of full access to cgroups", global.name));
    }
}
