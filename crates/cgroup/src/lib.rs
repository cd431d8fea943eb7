//! Control groups: what a container may use of the machine, and what it did use.
//!
//! One model over cgroup v1, v1 hybrid and v2 (the kernel's cgroup-v1/ and cgroup-v2.rst). The engine makes a group per
//! container below its own parent; v1 groups can be made beforehand and renamed, v2 groups are born into (CLONE_INTO_CGROUP).
//!
//! ```text
//!  Groups::open("dhow-0a1b2c")                 <mount>/dhow-0a1b2c            one per hierarchy
//!     create("parked-1", ordinary) -> Group    <mount>/dhow-0a1b2c/parked-1
//!        entry()    the process writes itself in (v1), or is born there (v2)
//!        rename()   v1: a parked group gets its container's name
//!        update() freeze() thaw() usage() kill()
//!        remove()   waits a moment for the dying
//!     close()
//! ```
//!
//! - *hierarchy*: one mounted tree of groups. v1 has one for each controller or set of controllers, v2 has one.
//! - *parent*: our own group at the root of each mount, as Docker's `cgroupfs` driver places it. In a container the root of
//!   the mount is the container's own group, so everything stays inside.
//! - *hybrid*: v1 hierarchies beside a v2 one without controllers we need; it counts as v1.
//!
//! The engine's groups are systemd's only when it is told so: else, where systemd manages the v2 tree, ours stand at the root
//! beside its slices, as with `native.cgroupdriver=cgroupfs`. Those of systemd, those of a container with a parent of its own,
//! and a runtime's are where a path (`linux.cgroupsPath`) says, made by us or by systemd: [`Place`].
//!
//! Start at [`Groups`] (an engine) or [`Place`] (a runtime). Files: `detect` finds hierarchies, `abilities` what their groups can, `folder` reads and writes below one, `devices` turns device rules
//! into lines (v1) or a program (v2), `limits` reads resources, `v1` and `v2` each know one layout, `place` paths anywhere,
//! `systemd` asks it for units, `oom` watches, `waiting` has the patience.
#![forbid(unsafe_code)]

mod abilities;
mod detect;
mod devices;
mod folder;
mod limits;
mod oom;
mod place;
mod statistics;
mod systemd;
mod usage;
mod v1;
mod v2;
mod waiting;

pub use abilities::Abilities;
pub use oom::{Oom, OomWatch};
pub use place::{Driver, Lenience, Place, Placed, Record};
pub use statistics::*;
pub use usage::Usage;

use base::{Kind, Kinded};
use oci::runtime::Resources;
use std::path::PathBuf;
use std::sync::Arc;

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
    tree: Arc<Tree>,
}

/// One container's group, in every hierarchy.
#[derive(Debug, Clone)]
pub struct Group {
    tree: Arc<Tree>,
    name: String,
}

#[derive(Debug)]
enum Tree {
    V1(v1::Tree),
    V2(v2::Tree),
    /// Nothing may be made.
    Absent,
}

/// What happens to a limit that the machine cannot keep and Docker only warns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// The engine's groups.
    Warn,
    /// A runtime's groups.
    Refuse,
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
    /// A group that cannot be as asked for, in runc's words.
    #[error("{0}")]
    Refused(String),
    #[error("mkdir {path}: {cause}")]
    Denied { path: PathBuf, cause: &'static str },
    #[error("cannot set {0} limit: container could not join or create cgroup")]
    NoGroup(&'static str),
    #[error("invalid configuration: cannot use unified on cgroup v1")]
    NoUnified,
    #[error("unified resource {resource:?} can't be set: controller {controller:?} not available")]
    NoController { resource: String, controller: String },
    #[error(
        "cannot {0}: no cgroup is delegated to this user; with systemd: \
         loginctl enable-linger, and Delegate=yes for user@.service"
    )]
    NotDelegated(String),
    #[error(transparent)]
    Systemd(Box<dyn std::error::Error + Send + Sync>),
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Detect(_) | Error::Unsupported(_) | Error::NotDelegated(_) | Error::NoGroup(_) => Kind::Unsupported,
            Error::NoController { .. } => Kind::Unsupported,
            Error::Refused(_) | Error::NoUnified => Kind::Invalid,
            Error::Denied { .. } => Kind::Denied,
            Error::Io { .. } => Kind::Internal,
            Error::Invalid(_) => Kind::Invalid,
            Error::Systemd(failure) => systemd::kind(failure.as_ref()),
        }
    }
}

impl Groups {
    /// Finds the hierarchies from /proc/self/mountinfo and makes `parent` (such as `dhow-0a1b2c`) in each.
    ///
    /// On v2 it also turns the controllers on for the parent's children. That fails when processes live in the root of the
    /// mount and this is not the machine's real root ("no internal processes", cgroup-v2.rst).
    pub fn open(parent: &str) -> Result<Groups, Error> {
        Groups::open_in(&detect::Mounts::read()?.choose()?, parent)
    }

    /// The same below `root`, a group of the v2 hierarchy that was delegated to this user and has no processes itself.
    pub fn open_at(root: &std::path::Path, parent: &str) -> Result<Groups, Error> {
        Groups::open_in(&detect::Found::V2(root.to_owned()), parent)
    }

    /// Groups for those to whom none are delegated: they do nothing, and a limit is an error that says what to do.
    #[must_use]
    pub fn absent() -> Groups {
        Groups { tree: Arc::new(Tree::Absent) }
    }

    /// Whether nothing may be made here, see [`Groups::absent`].
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(*self.tree, Tree::Absent)
    }

    fn open_in(found: &detect::Found, parent: &str) -> Result<Groups, Error> {
        check_name(parent)?;
        let tree = match found {
            detect::Found::V1(mounts) => Tree::V1(v1::Tree::open(mounts, parent)?),
            detect::Found::V2(root) => Tree::V2(v2::Tree::open(root, parent)?),
        };
        Ok(Groups { tree: Arc::new(tree) })
    }

    /// Absent groups are as v2: nothing is made beforehand.
    pub fn version(&self) -> Version {
        match *self.tree {
            Tree::V1(_) => Version::V1,
            Tree::V2(_) | Tree::Absent => Version::V2,
        }
    }

    /// The v1 hierarchies groups are made in, by their mount options: `cpu,cpuacct`, `memory`, `name=systemd`. Empty on v2.
    pub fn hierarchies(&self) -> Vec<String> {
        match &*self.tree {
            Tree::V1(tree) => tree.labels(),
            Tree::V2(_) | Tree::Absent => Vec::new(),
        }
    }

    /// Makes a group and sets `resources`, device rules included. Undone when a step fails.
    ///
    /// An empty group of that name which an earlier engine left behind is replaced. Without device rules a v1 group has those
    /// of the parent, a v2 group has no restriction.
    pub fn create(&self, name: &str, resources: &Resources) -> Result<Group, Error> {
        check_name(name)?;
        match &*self.tree {
            Tree::V1(tree) => tree.create(name, resources)?,
            Tree::V2(tree) => tree.create(name, resources)?,
            Tree::Absent => ask_nothing(resources)?,
        }
        Ok(self.get(name))
    }

    /// The group of that name, made earlier.
    pub fn get(&self, name: &str) -> Group {
        Group { tree: self.tree.clone(), name: name.to_owned() }
    }

    /// Names of all groups below the parent, in any hierarchy, in alphabetical order.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.names(),
            Tree::V2(tree) => tree.names(),
            Tree::Absent => Ok(Vec::new()),
        }
    }

    /// Removes the parent when it is empty.
    pub fn close(&self) {
        match &*self.tree {
            Tree::V1(tree) => tree.close(),
            Tree::V2(tree) => tree.close(),
            Tree::Absent => {}
        }
    }
}

impl Group {
    /// Its name below the parent.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the group another name in all hierarchies or, on failure, in none (v1 only: rename(2) in cgroupfs).
    pub fn rename(&mut self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        match &*self.tree {
            Tree::V1(tree) => tree.rename(self.checked()?, name)?,
            Tree::V2(_) | Tree::Absent => return Err(Error::Unsupported("renaming of groups (v2)".to_owned())),
        }
        name.clone_into(&mut self.name);
        Ok(())
    }

    /// How a process gets in. Attaching is what costs on v1 (the kernel waits for an RCU grace period): the files are only
    /// opened here, the process writes `0` to each by itself.
    pub fn entry(&self) -> Result<sys::CgroupEntry, Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.entry(self.checked()?),
            Tree::V2(tree) => tree.entry(self.checked()?),
            Tree::Absent => Ok(sys::CgroupEntry::Inherit),
        }
    }

    /// Changes limits; fields that are `None` stay, and so do device rules when there are none in `resources`.
    ///
    /// A memory limit below what is in use is [`Error::Invalid`] on v1; v2 reclaims, then kills (cgroup-v2.rst, `memory.max`).
    pub fn update(&self, resources: &Resources) -> Result<(), Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.update(self.checked()?, resources),
            Tree::V2(tree) => tree.update(self.checked()?, resources),
            Tree::Absent => ask_nothing(resources),
        }
    }

    /// Hands a v2 group over to root of a user namespace, whose user and group have this number, see [`Placed::delegate`].
    ///
    /// The group's, too: who forks a process into it from inside of that namespace has a right to files only whose user and
    /// group are both mapped there (`capable_wrt_inode_uidgid` in kernel/capability.c).
    pub fn hand_over(&self, id: u32) -> Result<(), Error> {
        match &*self.tree {
            Tree::V2(tree) => tree.delegate(self.checked()?, (id, Some(id))),
            Tree::V1(_) | Tree::Absent => Ok(()),
        }
    }

    /// Stops all its processes and waits until they stand (5 s at most). On failure they run.
    pub fn freeze(&self) -> Result<(), Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.freeze(self.checked()?),
            Tree::V2(tree) => tree.freeze(self.checked()?),
            Tree::Absent => Err(Error::NotDelegated("pause".to_owned())),
        }
    }

    /// Lets its processes run again.
    pub fn thaw(&self) -> Result<(), Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.thaw(self.checked()?),
            Tree::V2(tree) => tree.thaw(self.checked()?),
            Tree::Absent => Err(Error::NotDelegated("unpause".to_owned())),
        }
    }

    /// Its processes, children groups' included. Those outside our pid namespace are left out.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.pids(self.checked()?),
            Tree::V2(tree) => tree.pids(self.checked()?),
            Tree::Absent => Ok(Vec::new()),
        }
    }

    /// SIGKILL to every process in it (cgroup.kill, or by list until it is empty). A frozen group runs afterwards.
    pub fn kill(&self) -> Result<(), Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.kill(self.checked()?),
            Tree::V2(tree) => tree.kill(self.checked()?),
            Tree::Absent => Ok(()),
        }
    }

    /// What it used until now. Values whose controller is missing are 0.
    pub fn usage(&self) -> Result<Usage, Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.usage(self.checked()?),
            Tree::V2(tree) => tree.usage(self.checked()?),
            Tree::Absent => Ok(Usage::default()),
        }
    }

    /// What `docker stats` tells: time of processors, memory, processes and block I/O; the rest of [`Statistics`] is left out,
    /// for it costs as many files again. On v2 the failures of memory are times that it was out.
    pub fn main_statistics(&self) -> Result<Statistics, Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.main_statistics(self.checked()?),
            Tree::V2(tree) => tree.main_statistics(self.checked()?),
            Tree::Absent => Ok(Statistics::default()),
        }
    }

    /// How long processes waited, where the kernel counts it for groups (v2, CONFIG_PSI).
    pub fn pressures(&self) -> Result<Pressures, Error> {
        match &*self.tree {
            Tree::V1(_) | Tree::Absent => Ok(Pressures::default()),
            Tree::V2(tree) => tree.pressures(self.checked()?),
        }
    }

    /// How many processes the kernel's OOM killer took from it; 0 when that cannot be known (any more).
    pub fn oom_kills(&self) -> u64 {
        match &*self.tree {
            Tree::V1(tree) => tree.oom_kills(&self.name),
            Tree::V2(tree) => tree.oom_kills(&self.name),
            Tree::Absent => 0,
        }
    }

    /// Removes it, with its children; waits a moment (2 s at most) for dying processes. One that is gone already is fine.
    pub fn remove(&self) -> Result<(), Error> {
        match &*self.tree {
            Tree::V1(tree) => tree.remove(self.checked()?),
            Tree::V2(tree) => tree.remove(self.checked()?),
            Tree::Absent => Ok(()),
        }
    }

    /// The name, which came unchecked through [`Groups::get`].
    fn checked(&self) -> Result<&str, Error> {
        check_name(&self.name).map(|()| self.name.as_str())
    }
}

/// Whether systemd can be asked for groups: for those who want to know before they need one.
pub fn check_systemd() -> Result<(), Error> {
    systemd::check()
}

/// What absent groups say to a limit.
fn ask_nothing(resources: &Resources) -> Result<(), Error> {
    match limits::asked(resources) {
        Some(what) => Err(Error::NotDelegated(format!("limit {what}"))),
        None => Ok(()),
    }
}

/// One folder's name, and none that the kernel's own files could have (`memory.max`).
fn check_name(name: &str) -> Result<(), Error> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 200 || !name.bytes().all(fine) {
        return Err(Error::Invalid(format!("{name:?} cannot be the name of a group")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::Pids;

    #[test]
    fn absent_groups_do_nothing_and_say_so_when_asked_for_a_limit() {
        let groups = Groups::absent();
        let group = groups.create("one", &Resources::default()).unwrap();
        assert!(matches!(group.entry().unwrap(), sys::CgroupEntry::Inherit));
        assert_eq!((group.pids().unwrap(), groups.names().unwrap(), group.oom_kills()), (vec![], vec![], 0));
        let limited = Resources { pids: Some(Pids { limit: 5 }), ..Resources::default() };
        let refused = group.update(&limited).unwrap_err();
        assert_eq!(refused.kind(), Kind::Unsupported);
        assert!(
            refused.to_string().starts_with("cannot limit processes: no cgroup is delegated to this user"),
            "{refused}"
        );
        assert!(group.freeze().is_err());
        group.kill().and_then(|()| group.remove()).unwrap();
        groups.close();
    }
}
