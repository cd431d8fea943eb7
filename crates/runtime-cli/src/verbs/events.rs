//! `events`: lines of JSON about what a container uses, and about the out-of-memory killer.

mod rdt;
mod wire;

use crate::error::{Error, Result};
use crate::log;
use crate::shown::line;
use crate::store::Container;
use crate::words::options::Events;
use crate::words::{Global, say};
use cgroup::{Oom, OomWatch, Placed};
use oci::state::Status;
use rdt::Rdt;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::time::{Duration, Instant};
use wire::{Event, Stats};

pub fn run(global: &Global, options: &Events) -> Result<()> {
    let container = global.store().open(&options.id)?;
    if container.status() == Status::Stopped {
        return Err(Error::new(format!("container with id {} is not running", options.id)));
    }
    let group = container.cgroup()?;
    if options.stats {
        return tell(&container, &group);
    }
    if container.saved.rootless {
        log::warn("getting OOM notifications may fail if you don't have the full access to cgroups");
    }
    let watch = group.watch_memory().map_err(|e| Error::because("cannot watch for the out-of-memory killer", &e))?;
    watch_on(&container, &group, watch, options.interval)
}

/// Until the group is gone.
fn watch_on(container: &Container, group: &Placed, mut watch: OomWatch, interval: Duration) -> Result<()> {
    let mut next = Instant::now() + interval;
    loop {
        if readable(&watch, next.saturating_duration_since(Instant::now()))? {
            match watch.read().map_err(|e| Error::because("cannot watch for the out-of-memory killer", &e))? {
                Oom::Came => say(&line(&Event::oom(&container.saved.id))?)?,
                Oom::Over => return Ok(()),
                Oom::Nothing => {}
            }
        }
        if Instant::now() >= next {
            next += interval;
            if !still_there(group) {
                return Ok(());
            }
            if let Err(error) = tell(container, group) {
                log::error(&error.message);
            }
        }
    }
}

fn still_there(group: &Placed) -> bool {
    group.record().paths.values().any(|path| path.exists())
}

fn readable(watch: &OomWatch, patience: Duration) -> Result<bool> {
    let patience = Timespec::try_from(patience).map_err(|_| Error::new("the interval is too long"))?;
    let mut news = [PollFd::new(&watch.fd, PollFlags::IN)];
    match rustix::event::poll(&mut news, Some(&patience)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(e) => Err(Error::because("cannot wait for events", &e)),
    }
}

fn tell(container: &Container, group: &Placed) -> Result<()> {
    let statistics = group.statistics().map_err(|e| Error::because("unable to get container cgroup stats", &e))?;
    let rdt = Rdt::read(&container.saved.id, container.saved.intel_rdt.as_ref());
    say(&line(&Event::stats(&container.saved.id, Stats::of(&statistics, rdt, interfaces(container))))?)
}

/// Those of the container's own network namespace; the host's are not its business.
fn interfaces(container: &Container) -> Option<Vec<wire::NetworkInterface>> {
    let own = container.saved.namespace_paths.get("NEWNET")?;
    let pid = container.saved.init_process_pid;
    let ours = std::fs::read_link("/proc/self/ns/net").ok()?;
    if std::fs::read_link(own).ok()? == ours {
        return None;
    }
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    Some(table.lines().filter_map(wire::NetworkInterface::parse).filter(|of| of.name != "lo").collect())
}
