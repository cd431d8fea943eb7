//! The control groups of the engine's containers, which a user without rights may not have.
//!
//! Root has them in every hierarchy. A user has them where systemd delegated a part of the v2 tree to him and the engine was
//! started inside of it (`systemctl --user`, `Delegate=yes`); else containers stay in the group of their keeper, and limits
//! are discarded with a warning, as Docker does it without root.

use cgroup::{Error, Usage, Version};
use oci::runtime::Resources;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The group inside a delegated one that the engine and its keeper move to: only leaves have processes (cgroup-v2.rst, "no
/// internal process constraint").
const LEAF: &str = "engine";

/// All groups of an engine, or none.
#[derive(Debug)]
pub(crate) struct Groups(Option<cgroup::Groups>);

/// A container's group, or none.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    name: String,
    group: Option<cgroup::Group>,
}

impl Groups {
    /// Those of an engine with all rights.
    pub(crate) fn of_root(parent: &str) -> Result<Groups, Error> {
        Ok(Groups(Some(cgroup::Groups::open(parent)?)))
    }

    /// Those that this user may make.
    pub(crate) fn of_user(parent: &str) -> Groups {
        let Some(delegated) = delegated() else { return Groups(None) };
        match settle(&delegated).and_then(|()| cgroup::Groups::open_at(&delegated, parent)) {
            Ok(groups) => Groups(Some(groups)),
            Err(e) => {
                tracing::warn!("limits are discarded: {}", base::chain(&e));
                Groups(None)
            }
        }
    }

    /// Whether containers can be limited, counted and paused.
    pub(crate) fn any(&self) -> bool {
        self.0.is_some()
    }

    /// Without any: as on v2, where nothing is made ahead either.
    pub(crate) fn version(&self) -> Version {
        self.0.as_ref().map_or(Version::V2, cgroup::Groups::version)
    }

    pub(crate) fn hierarchies(&self) -> Vec<String> {
        self.0.as_ref().map(cgroup::Groups::hierarchies).unwrap_or_default()
    }

    pub(crate) fn create(&self, name: &str, resources: &Resources) -> Result<Group, Error> {
        let group = self.0.as_ref().map(|groups| groups.create(name, resources)).transpose()?;
        Ok(Group { name: name.to_owned(), group })
    }

    pub(crate) fn get(&self, name: &str) -> Group {
        Group { name: name.to_owned(), group: self.0.as_ref().map(|groups| groups.get(name)) }
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        self.0.as_ref().map_or(Ok(Vec::new()), cgroup::Groups::names)
    }

    pub(crate) fn close(&self) {
        self.0.iter().for_each(cgroup::Groups::close);
    }
}

impl Group {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn rename(&mut self, name: &str) -> Result<(), Error> {
        if let Some(group) = &mut self.group {
            group.rename(name)?;
        }
        name.clone_into(&mut self.name);
        Ok(())
    }

    pub(crate) fn entry(&self) -> Result<sys::CgroupEntry, Error> {
        self.group.as_ref().map_or(Ok(sys::CgroupEntry::Inherit), cgroup::Group::entry)
    }

    /// Limits that nobody can set are discarded: whoever made the container was told.
    pub(crate) fn update(&self, resources: &Resources) -> Result<(), Error> {
        self.group.as_ref().map_or(Ok(()), |group| group.update(resources))
    }

    pub(crate) fn freeze(&self) -> Result<(), Error> {
        self.needed("pausing")?.freeze()
    }

    pub(crate) fn thaw(&self) -> Result<(), Error> {
        self.needed("pausing")?.thaw()
    }

    /// `None`: they are in no group of their own.
    pub(crate) fn pids(&self) -> Result<Option<Vec<i32>>, Error> {
        self.group.as_ref().map(cgroup::Group::pids).transpose()
    }

    /// Without a group the container's pid namespace ends with its first process.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        self.group.as_ref().map_or(Ok(()), cgroup::Group::kill)
    }

    /// Nothing is counted without a group.
    pub(crate) fn usage(&self) -> Result<Usage, Error> {
        self.group.as_ref().map_or_else(|| Ok(Usage::default()), cgroup::Group::usage)
    }

    pub(crate) fn oom_kills(&self) -> u64 {
        self.group.as_ref().map_or(0, cgroup::Group::oom_kills)
    }

    pub(crate) fn remove(&self) -> Result<(), Error> {
        self.group.as_ref().map_or(Ok(()), cgroup::Group::remove)
    }

    fn needed(&self, what: &str) -> Result<&cgroup::Group, Error> {
        let why = || Error::Unsupported(format!("part that is delegated to this user, which {what} needs"));
        self.group.as_ref().ok_or_else(why)
    }
}

/// The v2 group this process is in, or its parent if this is the leaf of an earlier engine, when it is the user's.
fn delegated() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = Path::new("/sys/fs/cgroup").join(path);
    let group = if group.ends_with(LEAF) { group.parent()?.to_owned() } else { group };
    // Unified only: beside v1 hierarchies there is nothing to be delegated.
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists().then_some(())?;
    let is_mine =
        |name: &str| fs::metadata(group.join(name)).is_ok_and(|file| file.uid() == rustix::process::geteuid().as_raw());
    (is_mine("cgroup.procs") && is_mine("cgroup.subtree_control")).then_some(group)
}

/// Moves every process of the group into a leaf of it.
fn settle(group: &Path) -> Result<(), Error> {
    let leaf = group.join(LEAF);
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    if !leaf.is_dir() {
        fs::create_dir(&leaf).map_err(failed("make", &leaf))?;
    }
    let procs = fs::read_to_string(group.join("cgroup.procs")).map_err(failed("read", group))?;
    for pid in procs.lines() {
        fs::write(leaf.join("cgroup.procs"), pid).map_err(failed("move a process into", &leaf))?;
    }
    Ok(())
}
