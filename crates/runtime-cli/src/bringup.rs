//! Bringing a container up: what `create` and `run` share. Everything is checked, then made step by step; what fails is unwound.
//!
//! ```text
//!  Request::read ──► Draft::begin ──► Draft::bear ──► milestones ──► hand over ──► Up
//!  nothing made      state folder,    the process,    hooks run      terminal,
//!                    cgroups          state.json                     pidfd, pid file
//! ```

mod draft;
mod request;

use crate::ends::Mode;
use crate::error::{Error, Result};
use crate::foreground::Foreground;
use crate::notify::{self, Notify};
use crate::store::Container;
use crate::words::Global;
use crate::words::options::{Create, Restore};
use crate::{hooks, pid_file, seal};
use draft::Draft;
use oci::state::Status;
use request::Request;
use std::os::fd::{AsFd, OwnedFd};
use sys::signalfd::Signals;

/// A container that is up: it waits at its gate, or its program runs.
#[derive(Debug)]
pub struct Up {
    pub container: Container,
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// For a process in the foreground.
    pub foreground: Option<Foreground>,
    pub notify: Option<Notify>,
    pub signals: Signals,
}

/// Makes the container that `options` ask for.
pub fn bring_up(global: &Global, options: &Create, mode: Mode) -> Result<Up> {
    let zygote = seal::zygote()?;
    let mut request = Request::read(global, options, mode)?;
    zygote.prepare(request.spec()).map_err(|e| Error::because("cannot have a network namespace made", &e))?;
    let ends = request.ends()?;
    let signals = Signals::take().map_err(|e| Error::because("cannot take signals", &e))?;
    let mut draft = Draft::begin(&mut request)?;
    let notify = match (notify::host(), mode) {
        (Some(host), Mode::Detached | Mode::Foreground) => Some(Notify::open(draft.folder(), host)?),
        _ => None,
    };
    let (pid, pidfd, master) = draft.bear(zygote, &request, ends.streams(), &signals)?;
    let foreground = ends.hand_over("standard", pidfd.as_fd(), master)?;
    pid_file::write(options.pid_file.as_deref(), pid)?;
    if mode != Mode::Create
        && let Some(hooks) = &request.spec().hooks
    {
        hooks::run("poststart", &hooks.poststart, &request.state(Status::Running, pid), Some(&signals))?;
    }
    Ok(Up { container: draft.keep()?, pid, pidfd, foreground, notify, signals })
}

/// Makes the container of a checkpoint.
pub fn restore(global: &Global, options: &Restore, mode: Mode) -> Result<Up> {
    let wanted = Create {
        id: options.id.clone(),
        bundle: options.bundle.clone(),
        console_socket: options.console_socket.clone(),
        pid_file: options.pid_file.clone(),
        no_pivot: options.no_pivot,
        ..Create::default()
    };
    let mut request = Request::read(global, &wanted, mode)?;
    let ends = request.ends()?;
    let signals = Signals::take().map_err(|e| Error::because("cannot take signals", &e))?;
    let mut draft = Draft::begin(&mut request)?;
    let (pid, pidfd, master) = draft.restore(&request, options, ends.streams())?;
    let foreground = ends.hand_over("standard", pidfd.as_fd(), master)?;
    pid_file::write(options.pid_file.as_deref(), pid)?;
    Ok(Up { container: draft.keep()?, pid, pidfd, foreground, notify: None, signals })
}
