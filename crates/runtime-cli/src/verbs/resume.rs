//! `resume`: the processes of a paused container go on.

use crate::error::{Error, Result};
use crate::words::Global;
use oci::state::Status;

pub fn run(global: &Global, id: &str) -> Result<()> {
    let container = global.store().lock(id)?;
    if container.status() != Status::Paused {
        return Err(Error::new("container not paused"));
    }
    container.cgroup()?.thaw().map_err(|e| {
        super::pause::hint(global, "resume", &e);
        Error::of(&e)
    })
}
