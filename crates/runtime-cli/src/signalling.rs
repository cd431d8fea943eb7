//! Signals to a container: to its first process, or to all of them where the kernel does not do that itself.

use crate::error::{Error, Result};
use crate::log;
use crate::store::Container;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

pub const SIGKILL: i32 = 9;

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    Init,
    /// Every process in its cgroup.
    All,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Delivered,
    /// There is nobody to get it.
    NotRunning,
}

/// Sends `signal`. When its first process is not number 1 of a pid namespace, its death is not that of the others: SIGKILL then
/// goes to all.
///
/// `init` is what [`Container::init`] told.
pub fn send(container: &Container, init: Option<&OwnedFd>, signal: i32, whom: Whom) -> Result<Sent> {
    let shared = signal == SIGKILL && !container.saved.own_pid_namespace;
    log::debug(&format!(
        "signal {signal} to {}",
        if whom == Whom::Init && !shared { "the first process" } else { "all" }
    ));
    if whom == Whom::Init && !shared {
        return to_init(container, init, signal);
    }
    let group = container.cgroup()?;
    if init.is_none() && group.pids().is_ok_and(|pids| pids.is_empty()) {
        return Ok(Sent::NotRunning);
    }
    match group.signal(signal) {
        Ok(()) if group.exists() => Ok(Sent::Delivered),
        Ok(()) => to_init(container, init, signal),
        Err(error) if container.saved.rootless => {
            let error = crate::error::words(&error);
            log::warn(&format!("failed to kill all processes, possibly due to lack of cgroup: {error}"));
            to_init(container, init, signal)
        }
        Err(error) => Err(Error::because("unable to kill all processes", &error)),
    }
}

fn to_init(container: &Container, init: Option<&OwnedFd>, signal: i32) -> Result<Sent> {
    let Some(init) = init else { return Ok(Sent::NotRunning) };
    match sys::pidfd::send_signal(init, signal) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(Sent::NotRunning),
        Err(e) => return Err(Error::because("unable to signal init", &e)),
    }
    // On cgroup v1 a frozen process does not even die before it is thawed.
    if signal == SIGKILL
        && let Ok(group) = container.freezer()
        && group.is_frozen().unwrap_or(false)
    {
        let _ = group.thaw();
    }
    Ok(Sent::Delivered)
}

/// Waits until the process of `pidfd` has ended; whether it did in time.
pub fn ended(pidfd: &OwnedFd, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Error::new("a time that is too long"))?;
        let mut end = [PollFd::new(pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut end, Some(&left)) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Error::because("cannot wait for the container to end", &e)),
        }
    }
}
