//! `start`: knocks at the gate of a created container.

use crate::error::{Error, Result};
use crate::notify::{self, Notify};
use crate::store::{Container, GATE};
use crate::wording::{self, Who};
use crate::words::Global;
use crate::words::options::Start;
use crate::{hooks, log};
use oci::state::Status;
use std::io;
use std::os::fd::AsFd;

pub fn run(global: &Global, options: &Start) -> Result<()> {
    let container = global.store().lock(&options.id)?;
    match container.status() {
        Status::Created => {}
        Status::Stopped => return Err(Error::new("cannot start a container that has stopped")),
        Status::Running => return Err(Error::new("cannot start an already running container")),
        other => return Err(Error::new(format!("cannot start a container in the {} state", other.as_str()))),
    }
    let notify = notify::host().map(|host| Notify::open(&container.folder, host)).transpose()?;
    knock(&container)?;
    container.close_gate()?;
    // Hooks may call this program, and a service may never be ready: it can be deleted all the same.
    container.release();
    poststart(&container)?;
    let pid = u32::try_from(container.saved.init_process_pid).unwrap_or(0);
    match (notify, container.init()?) {
        (Some(notify), Some(init)) => notify.wait(init.as_fd(), pid),
        _ => Ok(()),
    }
}

fn knock(container: &Container) -> Result<()> {
    log::debug(&format!("knocking at the gate of process {}", container.saved.init_process_pid));
    match runtime::create::knock(container.directory(), GATE) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(wording::failed(&failure, Who::Init)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Err(Error::new("cannot start a container that has stopped"))
        }
        Err(e) => Err(Error::because("cannot start the container", &e)),
    }
}

/// A container whose hooks fail is killed.
fn poststart(container: &Container) -> Result<()> {
    let hooks = &container.saved.hooks.poststart;
    if hooks.is_empty() {
        return Ok(());
    }
    hooks::run("poststart", hooks, &container.state_as(Status::Running), None).inspect_err(|_| {
        let killed = container.init().map(|init| init.map(|init| sys::pidfd::send_signal(init, 9)));
        if let Err(e) = killed {
            log::warn(&format!("kill after failed poststart: {}", e.message));
        }
    })
}
