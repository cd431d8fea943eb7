//! Tells of the out-of-memory killer: an eventfd on v1, inotify on v2.

use crate::Error;
use rustix::event::EventfdFlags;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Tells of the out-of-memory killer.
#[derive(Debug)]
pub struct OomWatch {
    /// Put it into a poll; when it is readable, [`OomWatch::read`].
    pub fd: OwnedFd,
    group: PathBuf,
    sort: Sort,
}

#[derive(Debug)]
enum Sort {
    V1,
    /// How often the killer came so far.
    V2(u64),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oom {
    /// The killer came, or (v1) would have come had it not been turned off.
    Came,
    /// Something else changed.
    Nothing,
    /// The group has no process any more, or is gone: nothing more will come.
    Over,
}

impl OomWatch {
    /// `memory.oom_control` of a v1 group (cgroup-v1/memory.rst, "OOM Control"). The kernel does not want the files to stay
    /// open.
    pub(crate) fn v1(group: &Path) -> Result<OomWatch, Error> {
        let failed = |e: Errno| failed(group, e);
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
        let control = open(&group.join("memory.oom_control"), OFlags::RDONLY).map_err(failed)?;
        let register = open(&group.join("cgroup.event_control"), OFlags::WRONLY).map_err(failed)?;
        let line = format!("{} {}", fd.as_raw_fd(), control.as_raw_fd());
        rustix::io::write(&register, line.as_bytes()).map_err(failed)?;
        Ok(OomWatch { fd, group: group.to_owned(), sort: Sort::V1 })
    }

    /// `memory.events`, and `cgroup.events` for the end: cgroupfs tells nobody when a folder goes.
    pub(crate) fn v2(group: &Path) -> Result<OomWatch, Error> {
        let failed = |e: Errno| failed(group, e);
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?;
        for file in ["memory.events", "cgroup.events"] {
            inotify::add_watch(&fd, group.join(file), WatchFlags::MODIFY).map_err(failed)?;
        }
        let before = number(group, "memory.events", "oom_kill").unwrap_or(0);
        Ok(OomWatch { fd, group: group.to_owned(), sort: Sort::V2(before) })
    }

    /// What happened since the last look; does not wait.
    pub fn read(&mut self) -> Result<Oom, Error> {
        let mut events = [0; 4096];
        let news = match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut events)) {
            Ok(_) => true,
            Err(Errno::AGAIN) => false,
            Err(e) => return Err(failed(&self.group, e)),
        };
        match &mut self.sort {
            // The end of a group is an event, too.
            Sort::V1 if !self.group.exists() => Ok(Oom::Over),
            Sort::V1 if news => Ok(Oom::Came),
            Sort::V1 => Ok(Oom::Nothing),
            Sort::V2(before) => {
                let now = number(&self.group, "memory.events", "oom_kill").unwrap_or(*before);
                let came = std::mem::replace(before, now) < now;
                match (came, number(&self.group, "cgroup.events", "populated")) {
                    (true, _) => Ok(Oom::Came),
                    (false, Some(1)) => Ok(Oom::Nothing),
                    (false, _) => Ok(Oom::Over),
                }
            }
        }
    }
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}

fn failed(group: &Path, cause: Errno) -> Error {
    Error::Io { action: "watch the memory of", path: group.to_owned(), source: cause.into() }
}

fn number(group: &Path, file: &str, name: &str) -> Option<u64> {
    crate::usage::field(&std::fs::read_to_string(group.join(file)).ok()?, name)
}
