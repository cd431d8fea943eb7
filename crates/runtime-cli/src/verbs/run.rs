//! `run`: create and start in one; in the foreground also wait and delete.

use crate::bringup::{self, Up};
use crate::ends::Mode;
use crate::error::Result;
use crate::store::Container;
use crate::words::Global;
use crate::words::options::Run;
use crate::{log, verbs, wording};
use std::os::fd::AsFd;
use std::process;

/// Returns the exit code of the program, 0 when it was detached.
pub fn run(global: &Global, options: &Run) -> Result<u8> {
    let mode = if options.detach { Mode::Detached } else { Mode::Foreground };
    if mode == Mode::Foreground && !options.no_subreaper {
        become_subreaper();
    }
    let up = match bringup::bring_up(global, &options.create, mode) {
        Err(e) if e.code == wording::REFUSED => {
            log::say(&e.message);
            return Ok(e.code);
        }
        up => up?,
    };
    stay(up, if options.keep { After::Keep } else { After::Delete })
}

/// What becomes of a container in the foreground when its program has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Delete,
    Keep,
}

/// Stays with a process in the foreground; otherwise only until it says that it is ready, if somebody wants to know.
pub fn stay(up: Up, after: After) -> Result<u8> {
    let Up { container, pid, pidfd, foreground, notify, signals } = up;
    let Some(foreground) = foreground else {
        if let Some(notify) = notify {
            notify.wait(pidfd.as_fd(), u32::try_from(pid).unwrap_or(0))?;
        }
        return Ok(0);
    };
    let code = foreground.attend(pid, &signals, notify);
    if after == After::Delete
        && let Err(e) = delete(container)
    {
        log::warn(&e.message);
    }
    code
}

/// Somebody else may do the same at this moment.
fn delete(container: Container) -> Result<()> {
    container.hold()?.map_or(Ok(()), verbs::delete::destroy)
}

/// Orphans of a container without a pid namespace of its own come to this process, which waits for them.
pub fn become_subreaper() {
    let this = rustix::process::Pid::from_raw(i32::try_from(process::id()).unwrap_or(0));
    if let Err(e) = rustix::process::set_child_subreaper(this) {
        log::warn(&format!("cannot become the parent of orphans: {}", std::io::Error::from(e)));
    }
}
