//! `delete`: a container that has stopped is removed, with all that was made for it.

use crate::error::{Error, Result};
use crate::signalling::{self, SIGKILL, Sent, Whom};
use crate::store::{Container, Held};
use crate::words::Global;
use crate::words::options::Delete;
use oci::state::Status;
use std::time::Duration;

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(global: &Global, options: &Delete) -> Result<()> {
    let container = match global.store().hold(&options.id)? {
        Some(Held::Container(container)) => *container,
        Some(Held::Remains(remains)) => {
            remains.remove()?;
            return absent(options);
        }
        None => return absent(options),
    };
    match container.status() {
        // Without a pid namespace of its own, processes may have outlived the first one.
        _ if options.force => kill(&container)?,
        Status::Stopped => {}
        Status::Created | Status::Creating => kill(&container)?,
        status => {
            let (id, status) = (&options.id, status.as_str());
            return Err(Error::new(format!("cannot delete container {id} that is not stopped: {status}")));
        }
    }
    destroy(container)
}

fn absent(options: &Delete) -> Result<()> {
    if options.force { Ok(()) } else { Err(Error::new("container does not exist")) }
}

fn kill(container: &Container) -> Result<()> {
    let init = container.init()?;
    if signalling::send(container, init.as_ref(), SIGKILL, Whom::Init)? == Sent::NotRunning {
        return Ok(());
    }
    match init {
        Some(init) if !signalling::ended(&init, PATIENCE)? => Err(Error::new("container init still running")),
        _ => Ok(()),
    }
}

/// Removes what belongs to a container whose first process has ended, then runs its poststop hooks.
pub fn destroy(container: Container) -> Result<()> {
    let group = container.cgroup()?;
    if !container.saved.own_pid_namespace {
        // Who is left here would keep the group. Errors are those of the removal, a moment later.
        let _ = group.signal(SIGKILL);
    }
    group.remove().map_err(|e| Error::because("unable to remove container's cgroup", &e))?;
    crate::rdt::remove(&container.saved)?;
    let state = container.state_as(Status::Stopped);
    let hooks = container.saved.hooks.poststop.clone();
    container.remove()?;
    crate::hooks::run("poststop", &hooks, &state, None)
}
