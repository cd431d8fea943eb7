//! The control groups of the engine's containers, which a user without rights may not have.
//!
//! Root has them in every hierarchy. A user has them where systemd delegated a part of the v2 tree to him and the engine was
//! started inside of it (`systemctl --user`, `Delegate=yes`); else containers stay in the group of their keeper, and limits
//! are discarded with a warning, as Docker does it without root.

use crate::streams::lock;
use cgroup::{Driver, Error, Lenience, Place, Placed, Record, Statistics, Usage, Version};
use oci::runtime::Resources;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The group inside a delegated one that the engine and its keeper move to: only leaves have processes (cgroup-v2.rst, "no
/// internal process constraint").
const LEAF: &str = "engine";

/// What a unit of systemd is called before its container's id.
const PREFIX: &str = "dhow";

/// All groups of an engine, or none.
#[derive(Debug)]
pub(crate) struct Groups {
    own: Option<cgroup::Groups>,
    driver: Driver,
}

/// A container's group, or none.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    at: At,
}

/// Where a group is.
#[derive(Debug, Clone)]
enum At {
    Nowhere,
    /// Below the engine's own parent.
    Own(cgroup::Group),
    /// Where the user wants it, or a unit of systemd's.
    Placed(Arc<Mutex<Placed>>),
}

impl Groups {
    /// Those of an engine with all rights.
    pub(crate) fn of_root(parent: &str, driver: Driver) -> Result<Groups, Error> {
        if driver == Driver::Systemd {
            cgroup::check_systemd()?;
        }
        Ok(Groups { own: Some(cgroup::Groups::open(parent)?), driver })
    }

    /// Those that this user may make.
    pub(crate) fn of_user(parent: &str) -> Groups {
        let own = delegated().and_then(|delegated| {
            let opened = settle(&delegated).and_then(|()| cgroup::Groups::open_at(&delegated, parent));
            opened.map_err(|e| tracing::warn!("limits are discarded: {}", base::chain(&e))).ok()
        });
        Groups { own, driver: Driver::Cgroupfs }
    }

    /// Whether containers can be limited, counted and paused.
    pub(crate) fn any(&self) -> bool {
        self.own.is_some()
    }

    pub(crate) fn abilities(&self) -> cgroup::Abilities {
        self.own.as_ref().map(cgroup::Groups::abilities).unwrap_or_default()
    }

    /// Who makes groups.
    pub(crate) fn driver(&self) -> Driver {
        self.driver
    }

    /// Without any: as on v2, where nothing is made ahead either.
    pub(crate) fn version(&self) -> Version {
        self.own.as_ref().map_or(Version::V2, cgroup::Groups::version)
    }

    pub(crate) fn hierarchies(&self) -> Vec<String> {
        self.own.as_ref().map(cgroup::Groups::hierarchies).unwrap_or_default()
    }

    pub(crate) fn create(&self, name: &str, resources: &Resources) -> Result<Group, Error> {
        let own = self.own.as_ref().map(|groups| groups.create(name, resources)).transpose()?;
        Ok(Group { at: own.map_or(At::Nowhere, At::Own) })
    }

    pub(crate) fn get(&self, name: &str) -> Group {
        let own = self.own.as_ref().map(|groups| groups.get(name));
        Group { at: own.map_or(At::Nowhere, At::Own) }
    }

    /// Whether a container with this `--cgroup-parent` has a group that cannot be made ahead.
    pub(crate) fn is_placed(&self, parent: &str) -> bool {
        self.own.is_some() && (!parent.is_empty() || self.driver == Driver::Systemd)
    }

    /// Makes the group `name` below `parent`: a path, or with systemd a slice. With systemd it is there once a process was
    /// [`attached`](Group::attach).
    pub(crate) fn place(&self, parent: &str, name: &str, resources: &Resources) -> Result<Group, Error> {
        let path = match self.driver {
            Driver::Cgroupfs => Path::new(parent).join(name).display().to_string(),
            Driver::Systemd => format!("{parent}:{PREFIX}:{name}"),
        };
        let place = Place::read(Some(&path), name, self.driver)?;
        let placed = place.make(resources, &BTreeMap::new(), Lenience::Strict)?;
        Ok(Group { at: At::Placed(Arc::new(Mutex::new(placed))) })
    }

    /// The group of a container that an earlier engine made, as it was [noted](Group::note).
    pub(crate) fn of(&self, name: &str, note: Option<&serde_json::Value>) -> Group {
        let record = note.and_then(|note| serde_json::from_value::<Record>(note.clone()).ok());
        match record.map(|record| Placed::open(&record)) {
            Some(Ok(placed)) => Group { at: At::Placed(Arc::new(Mutex::new(placed))) },
            Some(Err(e)) => {
                tracing::warn!("cannot find the cgroup of {name} again: {}", base::chain(&e));
                self.get(name)
            }
            None => self.get(name),
        }
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        self.own.as_ref().map_or(Ok(Vec::new()), cgroup::Groups::names)
    }

    pub(crate) fn close(&self) {
        self.own.iter().for_each(cgroup::Groups::close);
    }
}

impl Group {
    /// A group that was made ahead gets its container's name.
    pub(crate) fn rename(&mut self, name: &str) -> Result<(), Error> {
        match &mut self.at {
            At::Own(group) => group.rename(name),
            At::Nowhere | At::Placed(_) => Ok(()),
        }
    }

    /// Whether it is elsewhere than below the engine's own parent: then it has all its limits from the beginning.
    pub(crate) fn is_placed(&self) -> bool {
        matches!(self.at, At::Placed(_))
    }

    /// What another engine finds a placed group by, see [`Groups::of`].
    pub(crate) fn note(&self) -> Option<serde_json::Value> {
        match &self.at {
            At::Placed(placed) => serde_json::to_value(lock(placed).record()).ok(),
            At::Nowhere | At::Own(_) => None,
        }
    }

    /// Has systemd start the unit with this process in it. Others enter by [`entry`](Group::entry).
    pub(crate) fn attach(&self, pid: i32, resources: &Resources) -> Result<(), Error> {
        match &self.at {
            At::Placed(placed) if !lock(placed).exists() => lock(placed).attach(pid, resources),
            _ => Ok(()),
        }
    }

    pub(crate) fn entry(&self) -> Result<sys::CgroupEntry, Error> {
        match &self.at {
            At::Nowhere => Ok(sys::CgroupEntry::Inherit),
            At::Own(group) => group.entry(),
            At::Placed(placed) => Ok(match lock(placed).entry()? {
                // The hierarchy without controllers is of no use to the engine.
                sys::CgroupEntry::Hybrid(files, _) => sys::CgroupEntry::V1(files),
                other => other,
            }),
        }
    }

    /// Lets a user change the group, and make some below (v2; v1's are not safe to hand over).
    pub(crate) fn delegate(&self, uid: u32) -> Result<(), Error> {
        match &self.at {
            At::Nowhere => Ok(()),
            At::Own(group) => group.hand_over(uid),
            At::Placed(placed) => lock(placed).hand_over(uid),
        }
    }

    /// Limits that nobody can set are discarded: whoever made the container was told.
    pub(crate) fn update(&self, resources: &Resources) -> Result<(), Error> {
        match &self.at {
            At::Nowhere => Ok(()),
            At::Own(group) => group.update(resources),
            At::Placed(placed) => lock(placed).update(resources),
        }
    }

    pub(crate) fn freeze(&self) -> Result<(), Error> {
        match &self.at {
            At::Nowhere => Err(not_delegated("pausing")),
            At::Own(group) => group.freeze(),
            At::Placed(placed) => lock(placed).freeze(),
        }
    }

    pub(crate) fn thaw(&self) -> Result<(), Error> {
        match &self.at {
            At::Nowhere => Err(not_delegated("pausing")),
            At::Own(group) => group.thaw(),
            At::Placed(placed) => lock(placed).thaw(),
        }
    }

    /// `None`: they are in no group of their own.
    pub(crate) fn pids(&self) -> Result<Option<Vec<i32>>, Error> {
        match &self.at {
            At::Nowhere => Ok(None),
            At::Own(group) => group.pids().map(Some),
            At::Placed(placed) => lock(placed).pids().map(Some),
        }
    }

    /// Without a group the container's pid namespace ends with its first process.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        match &self.at {
            At::Nowhere => Ok(()),
            At::Own(group) => group.kill(),
            At::Placed(placed) => lock(placed).signal(rustix::process::Signal::KILL.as_raw()),
        }
    }

    /// Nothing is counted without a group.
    pub(crate) fn usage(&self) -> Result<Usage, Error> {
        match &self.at {
            At::Nowhere => Ok(Usage::default()),
            At::Own(group) => group.usage(),
            At::Placed(placed) => lock(placed).usage(),
        }
    }

    /// See [`cgroup::Group::main_statistics`].
    pub(crate) fn main_statistics(&self) -> Result<Statistics, Error> {
        match &self.at {
            At::Nowhere => Ok(Statistics::default()),
            At::Own(group) => group.main_statistics(),
            At::Placed(placed) => lock(placed).main_statistics(),
        }
    }

    /// See [`cgroup::Group::pressures`].
    pub(crate) fn pressures(&self) -> Result<cgroup::Pressures, Error> {
        match &self.at {
            At::Nowhere => Ok(cgroup::Pressures::default()),
            At::Own(group) => group.pressures(),
            At::Placed(placed) => lock(placed).pressures(),
        }
    }

    /// Tells of the out-of-memory killer, where the group may be removed before its counters can be read: systemd does on v2.
    pub(crate) fn watch_memory(&self) -> Option<Result<cgroup::OomWatch, Error>> {
        match &self.at {
            At::Placed(placed) if lock(placed).version() == Some(Version::V2) => Some(lock(placed).watch_memory()),
            At::Nowhere | At::Own(_) | At::Placed(_) => None,
        }
    }

    pub(crate) fn oom_kills(&self) -> u64 {
        match &self.at {
            At::Nowhere => 0,
            At::Own(group) => group.oom_kills(),
            At::Placed(placed) => lock(placed).oom_kills(),
        }
    }

    pub(crate) fn remove(&self) -> Result<(), Error> {
        match &self.at {
            At::Nowhere => Ok(()),
            At::Own(group) => group.remove(),
            At::Placed(placed) => lock(placed).remove(),
        }
    }
}

fn not_delegated(what: &str) -> Error {
    Error::Unsupported(format!("part that is delegated to this user, which {what} needs"))
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
