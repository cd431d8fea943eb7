//! Cgroup v2: one hierarchy (Documentation/admin-guide/cgroup-v2.rst).

mod block_io;
mod limits;
mod place;
mod state;
mod statistics;

pub(crate) use limits::{swap_alone, weight_of_shares};
pub(crate) use place::Fresh;

use crate::devices::{self, Policy};
use crate::folder::{Folder, SELF};
use crate::waiting::Patience;
use crate::{Error, Strictness};
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

/// The engine's parent group, or one placed group.
#[derive(Debug)]
pub(crate) struct Tree {
    parent: Folder,
    strictness: Strictness,
    programs: Mutex<HashMap<Policy, Arc<OwnedFd>>>,
}

impl Tree {
    pub(crate) fn open(root: &Path, parent: &str) -> Result<Tree, Error> {
        let root = Folder::open(root)?;
        enable(&root)?;
        let parent = root.child(parent)?;
        enable(&parent)?;
        Ok(Tree { parent, strictness: Strictness::Warn, programs: Mutex::default() })
    }

    /// Whether its group has one of these files.
    pub(crate) fn has_file(&self, files: &[&str]) -> bool {
        self.parent.has_any(files)
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
        let _ = self.parent.unmake(SELF);
    }
}

/// Whether a group can have device programs already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Turns the controllers that the engine wants on for the groups below a folder.
fn enable(folder: &Folder) -> Result<(), Error> {
    let (have, on) = (read_words(folder, "cgroup.controllers")?, read_words(folder, "cgroup.subtree_control")?);
    for controller in have.iter().filter(|one| WANTED.contains(&one.as_str()) && !on.contains(one)) {
        match folder.put(SELF, "cgroup.subtree_control", &format!("+{controller}")) {
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

/// Turns these controllers on for the groups below a folder: all at once or, where one is refused, those that can be.
fn turn_on(folder: &Folder, controllers: &[String]) {
    let words: Vec<_> = controllers.iter().map(|controller| format!("+{controller}")).collect();
    if folder.put(SELF, "cgroup.subtree_control", &words.join(" ")).is_err() {
        for word in &words {
            let _ = folder.put(SELF, "cgroup.subtree_control", word);
        }
    }
}

fn read_words(folder: &Folder, file: &str) -> Result<Vec<String>, Error> {
    let text = folder.get(SELF, file).map_err(|e| folder.failed("read", file, e))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
