//! Control groups: what a container may use of the machine, and what it did use.
//!
//! One model over cgroup v1, v1 hybrid and v2 (the kernel's cgroup-v1/ and cgroup-v2.rst). The engine makes a group per
//! container below its own parent; v1 groups can be made beforehand and renamed, v2 groups are born into (CLONE_INTO_CGROUP).
#![forbid(unsafe_code)]

use base::{Kind, Kinded};
use oci::runtime::Resources;
use std::path::PathBuf;

/// Which hierarchies this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// v1 hierarchies, perhaps beside a v2 one without the controllers we need (hybrid).
    V1,
    V2,
}

/// All groups below one parent.
#[derive(Debug)]
pub struct Groups {
    // private
}

/// One container's group, in every hierarchy.
#[derive(Debug)]
pub struct Group {
    // private
}

/// Why a cgroup operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot find the cgroup hierarchies: {0}")]
    Detect(String),
    #[error("cannot {action} cgroup {path}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("invalid resource limit: {0}")]
    Invalid(String),
    #[error("this machine's cgroups have no {0}")]
    Unsupported(String),
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Detect(_) | Error::Unsupported(_) => Kind::Unsupported,
            Error::Io { .. } => Kind::Internal,
            Error::Invalid(_) => Kind::Invalid,
        }
    }
}

/// What a group used. Times in nanoseconds, memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_total: u64,
    pub cpu_user: u64,
    pub cpu_system: u64,
    pub memory: u64,
    /// `None` is no limit.
    pub memory_limit: Option<u64>,
    pub pids: u64,
    pub oom_kills: u64,
}

impl Groups {
    /// Finds the hierarchies from /proc/self/mountinfo and makes `parent` (such as `dhow-0a1b2c`) in each.
    pub fn open(parent: &str) -> Result<Groups, Error> {
        let _ = parent;
        todo!()
    }
    pub fn version(&self) -> Version {
        todo!()
    }
    /// Makes a group and sets `resources`, device rules included. Undone when a step fails.
    pub fn create(&self, name: &str, resources: &Resources) -> Result<Group, Error> {
        let _ = (name, resources);
        todo!()
    }
    /// The group of that name, made earlier.
    pub fn get(&self, name: &str) -> Group {
        let _ = name;
        todo!()
    }
    /// Names of all groups below the parent, in any hierarchy.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        todo!()
    }
    /// Removes the parent when it is empty.
    pub fn close(self) {}
}

impl Group {
    /// Gives the group another name (v1 only).
    pub fn rename(&mut self, name: &str) -> Result<(), Error> {
        let _ = name;
        todo!()
    }
    /// How a process gets in.
    pub fn entry(&self) -> Result<sys::CgroupEntry, Error> {
        todo!()
    }
    /// Changes limits; fields that are `None` stay.
    pub fn update(&self, resources: &Resources) -> Result<(), Error> {
        let _ = resources;
        todo!()
    }
    pub fn freeze(&self) -> Result<(), Error> {
        todo!()
    }
    pub fn thaw(&self) -> Result<(), Error> {
        todo!()
    }
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        todo!()
    }
    /// SIGKILL to every process in it (cgroup.kill, or by list until it is empty).
    pub fn kill(&self) -> Result<(), Error> {
        todo!()
    }
    pub fn usage(&self) -> Result<Usage, Error> {
        todo!()
    }
    /// How many processes the kernel's OOM killer took from it.
    pub fn oom_kills(&self) -> u64 {
        todo!()
    }
    /// Removes it, with its children; waits a moment for dying processes.
    pub fn remove(&self) -> Result<(), Error> {
        todo!()
    }
}
