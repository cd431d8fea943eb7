//! Cgroup v2: one hierarchy (Documentation/admin-guide/cgroup-v2.rst).

mod limits;
mod state;

use crate::Error;
use crate::devices::{self, Policy};
use crate::folder::Folder;
use crate::waiting::Patience;
use base::Undo;
use oci::runtime::{DeviceRule, Resources};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Controllers turned on for our groups, where the machine has them.
const WANTED: [&str; 8] = ["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"];

/// How long a removal waits for processes that are dying.
const REMOVE_LIMIT: Duration = Duration::from_secs(2);

/// Device programs kept loaded; most containers have one of a few rule sets.
const MOST_PROGRAMS: usize = 32;

/// The engine's parent group.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Folder,
    parent: Folder,
    programs: Mutex<HashMap<Policy, Arc<OwnedFd>>>,
}

impl Tree {
    pub(crate) fn open(root: &Path, parent: &str) -> Result<Tree, Error> {
        let root = Folder::open(root)?;
        enable(&root)?;
        let parent = root.child(parent)?;
        enable(&parent)?;
        Ok(Tree { root, parent, programs: Mutex::default() })
    }

    pub(crate) fn create(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        let made = self.parent.make(name).or_else(|e| match e {
            Errno::EXIST => self.parent.unmake(name).and_then(|()| self.parent.make(name)),
            e => Err(e),
        });
        made.map_err(|e| self.parent.failed("make", name, e))?;
        let mut undo = Undo::new();
        undo.push(|| {
            let _ = self.parent.unmake(name);
        });
        if !resources.devices.is_empty() {
            self.set_devices(name, &resources.devices, Age::New)?;
        }
        self.set_limits(name, resources)?;
        undo.keep();
        Ok(())
    }

    pub(crate) fn update(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        if !resources.devices.is_empty() {
            self.set_devices(name, &resources.devices, Age::Old)?;
        }
        self.set_limits(name, resources)
    }

    /// Device programs of a group add up (all must allow), so a new one takes the place of the old ones.
    fn set_devices(&self, name: &str, rules: &[DeviceRule], age: Age) -> Result<(), Error> {
        let policy = Policy::read(rules)?;
        let program = self.program(policy)?;
        let failed = |source| Error::Io { action: "set device rules of", path: self.parent.path().join(name), source };
        let group = self.open_group(name)?;
        let old = match age {
            Age::New => Vec::new(),
            Age::Old => sys::bpf::device_programs(group.as_fd()).map_err(failed)?,
        };
        replace(group.as_fd(), program.as_ref().map(|program| program.as_fd()), &old).map_err(failed)
    }

    /// The loaded program of a policy; `None` when nothing is forbidden.
    fn program(&self, policy: Policy) -> Result<Option<Arc<OwnedFd>>, Error> {
        let Some(instructions) = devices::instructions(&policy) else { return Ok(None) };
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = programs.get(&policy) {
            return Ok(Some(program.clone()));
        }
        let loaded = sys::bpf::load_device_program(&instructions).map_err(|source| Error::Io {
            action: "load device rules for",
            path: self.parent.path().to_owned(),
            source,
        })?;
        if programs.len() >= MOST_PROGRAMS {
            programs.clear();
        }
        let program = Arc::new(loaded);
        programs.insert(policy, program.clone());
        Ok(Some(program))
    }

    fn open_group(&self, name: &str) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        self.parent.open_below(name, flags).map_err(|e| self.parent.failed("open", name, e))
    }

    pub(crate) fn entry(&self, name: &str) -> Result<sys::CgroupEntry, Error> {
        self.open_group(name).map(sys::CgroupEntry::V2)
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let mut names = self.parent.groups("").map_err(|e| self.parent.failed("list", "", e))?;
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let mut patience = Patience::new(REMOVE_LIMIT);
        loop {
            match self.parent.unmake(name) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::BUSY | Errno::NOTEMPTY) => self.parent.unmake_children(name),
                Err(e) => return Err(self.parent.failed("remove", name, e)),
            }
            match self.parent.unmake(name) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::BUSY | Errno::NOTEMPTY) if self.emptied(name, &mut patience) => {}
                Err(e) => return Err(self.parent.failed("remove", name, e)),
            }
        }
    }

    pub(crate) fn close(&self) {
        if let Some(name) = self.parent.path().file_name().and_then(|name| name.to_str()) {
            let _ = self.root.unmake(name);
        }
    }
}

/// Whether a group can have device programs already.
#[derive(Clone, Copy)]
enum Age {
    New,
    Old,
}

/// Puts `new` in the place of `old` with no moment in between in which less is forbidden than before or after.
fn replace(group: BorrowedFd<'_>, new: Option<BorrowedFd<'_>>, old: &[OwnedFd]) -> std::io::Result<()> {
    let mut rest = old;
    if let Some(new) = new {
        match old {
            [only] => {
                sys::bpf::attach_device_program(group, new, Some(only.as_fd()))?;
                rest = &[];
            }
            _ => sys::bpf::attach_device_program(group, new, None)?,
        }
    }
    rest.iter().try_for_each(|program| sys::bpf::detach_device_program(group, program.as_fd()))
}

/// Turns the controllers on for the groups below a folder.
fn enable(folder: &Folder) -> Result<(), Error> {
    let read = |file| folder.get(".", file).map_err(|e| folder.failed("read", file, e));
    let (have, on) = (read("cgroup.controllers")?, read("cgroup.subtree_control")?);
    let on: Vec<_> = on.split_whitespace().collect();
    for controller in have.split_whitespace().filter(|one| WANTED.contains(one) && !on.contains(one)) {
        match folder.put(".", "cgroup.subtree_control", &format!("+{controller}")) {
            Ok(()) => {}
            // "No internal processes": not the real root, and not empty.
            Err(Errno::BUSY) => {
                return Err(Error::Detect(format!(
                    "processes live in {} itself, so its controllers cannot be given to groups below it; \
                     move them to a group of their own",
                    folder.path().display()
                )));
            }
            Err(e) => tracing::warn!("cannot use the cgroup controller {controller}: {e}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
