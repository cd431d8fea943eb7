//! What is done with the groups of one container once they are there.

use super::path::{self, Own};
use super::{Denial, Driver, Lenience, Making, Record, device_rules};
use crate::detect::Mounts;
use crate::folder::SELF;
use crate::systemd::{self, Unit};
use crate::{Error, OomWatch, Statistics, Usage, Version, limits, v1, v2};
use oci::runtime::Resources;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The groups of one container.
#[derive(Debug)]
pub struct Placed {
    record: Record,
    at: Where,
    /// With systemd, before the unit is started.
    pending: Option<Pending>,
}

#[derive(Debug)]
pub(super) enum Where {
    Nowhere,
    V1(v1::Tree),
    V2(v2::Tree),
}

/// What a unit is started with.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) unit: Unit,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Placed {
    pub(super) fn new(record: Record, at: Where) -> Placed {
        let mut placed = Placed { record, at, pending: None };
        placed.note_paths();
        placed
    }

    pub(super) fn pending(record: Record, pending: Pending) -> Placed {
        Placed { record, at: Where::Nowhere, pending: Some(pending) }
    }

    /// The groups that an earlier call made. Those that are gone are left out.
    pub fn open(record: &Record) -> Result<Placed, Error> {
        let at = match record.paths.get("") {
            Some(path) if record.paths.len() == 1 => v2::Tree::placed(path)?.map_or(Where::Nowhere, Where::V2),
            _ => {
                let tree = v1::Tree::placed(hierarchies(&record.paths).into_iter())?;
                if tree.is_gone() { Where::Nowhere } else { Where::V1(tree) }
            }
        };
        Ok(Placed { record: record.clone(), at, pending: None })
    }

    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Whether there are groups (still, or with systemd already).
    #[must_use]
    pub fn exists(&self) -> bool {
        !matches!(self.at, Where::Nowhere)
    }

    /// Which hierarchies they are in; `None` when there are none.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match self.at {
            Where::Nowhere => None,
            Where::V1(_) => Some(Version::V1),
            Where::V2(_) => Some(Version::V2),
        }
    }

    fn note_paths(&mut self) {
        self.record.paths = match &self.at {
            Where::Nowhere => BTreeMap::new(),
            Where::V1(tree) => tree.paths().collect(),
            Where::V2(tree) => [(String::new(), tree.path().to_owned())].into(),
        };
    }

    fn denial(&self) -> Denial {
        if self.record.lenient { Denial::Skip } else { Denial::Error }
    }

    /// How the container's own first process gets in; [`sys::CgroupEntry::Inherit`] with systemd, see [`attach`](Self::attach),
    /// and where there is no group.
    pub fn entry(&self) -> Result<sys::CgroupEntry, Error> {
        match &self.at {
            Where::Nowhere => Ok(sys::CgroupEntry::Inherit),
            Where::V1(tree) => tree.entries(|_| None, self.denial()),
            Where::V2(tree) => tree.open_below(SELF).map(sys::CgroupEntry::V2),
        }
    }

    /// How one more process gets in. `below`: a group below the container's own (`exec --cgroup`); on v2 the group of process
    /// `init` when its own has become an inner one ("no internal processes").
    pub fn join(&self, below: Option<&str>, init: i32) -> Result<sys::CgroupEntry, Error> {
        let below = below.map(|group| (String::new(), group.to_owned()));
        self.join_each(&below.into_iter().collect(), init)
    }

    /// As [`join`](Self::join), with a group for each controller (`exec --cgroup cpu,memory:a`); that of `""` is for all.
    pub fn join_each(&self, below: &BTreeMap<String, String>, init: i32) -> Result<sys::CgroupEntry, Error> {
        let mut groups = BTreeMap::new();
        for (controller, group) in below {
            groups.insert(controller.as_str(), path::sub_path(group)?);
        }
        match &self.at {
            Where::V1(tree) => {
                if let Some(controller) = groups.keys().find(|one| !one.is_empty() && !tree.knows(one)) {
                    return Err(Error::Refused(format!("unknown controller {controller} in SubCgroupPaths")));
                }
                let of = |one: &&str| groups.get("").or_else(|| groups.get(*one)).cloned();
                tree.entries(|controllers| controllers.iter().find_map(of), self.denial())
            }
            Where::V2(_) if self.is_users_unit() => Ok(sys::CgroupEntry::Inherit),
            Where::V2(tree) => match groups.get("").filter(|group| *group != SELF) {
                Some(group) => tree.open_below(group).map(sys::CgroupEntry::V2),
                None if tree.is_inner() => self.beside(init),
                None => tree.open_below(SELF).map(sys::CgroupEntry::V2),
            },
            // The first process moved away, and its group is gone.
            Where::Nowhere if self.record.paths.len() == 1 => self.beside(init),
            Where::Nowhere => Ok(sys::CgroupEntry::Inherit),
        }
    }

    /// Where process `init` is on v2.
    fn beside(&self, init: i32) -> Result<sys::CgroupEntry, Error> {
        let mounts = Mounts::read()?;
        let Some(mount) = mounts.v2.filter(|_| self.record.paths.contains_key("")) else {
            return Ok(sys::CgroupEntry::Inherit);
        };
        let group = Own::of(&init.to_string())?.below(&mount);
        match v2::Tree::placed(&group)? {
            Some(tree) => tree.open_below(SELF).map(sys::CgroupEntry::V2),
            None => Err(Error::Refused(format!("the cgroup of process {init} is gone: {}", group.display()))),
        }
    }

    /// Puts a process in: writes its number, or has systemd start the unit with it and then sets the resources.
    pub fn attach(&mut self, pid: i32, resources: &Resources) -> Result<(), Error> {
        if let Some(pending) = self.pending.take() {
            return self.start(&pending, pid, resources);
        }
        match &self.at {
            Where::Nowhere => Ok(()),
            Where::V2(_) if self.is_users_unit() => systemd::attach(&self.record.unit, "/", pid),
            Where::V1(tree) => tree.attach(pid, self.denial()),
            Where::V2(tree) => tree.attach(pid, self.denial()),
        }
    }

    /// Puts one more process into the group below, or the group itself, after [`join`](Self::join) gave
    /// [`sys::CgroupEntry::Inherit`]: an ordinary user may not move processes from a session into a unit of systemd, but may
    /// ask systemd to.
    pub fn attach_below(&self, pid: i32, below: Option<&str>) -> Result<(), Error> {
        match below {
            Some(below) if self.is_users_unit() => systemd::attach(&self.record.unit, &path::sub_path(below)?, pid),
            None if self.is_users_unit() => systemd::attach(&self.record.unit, "/", pid),
            _ => Ok(()),
        }
    }

    /// Whether only systemd may put processes into it: an ordinary user's unit.
    #[must_use]
    pub fn is_users_unit(&self) -> bool {
        self.record.lenient && self.record.driver == Driver::Systemd
    }

    /// systemd makes the group it knows; the others, and the limits, are ours.
    fn start(&mut self, pending: &Pending, pid: i32, resources: &Resources) -> Result<(), Error> {
        let mounts = Mounts::read()?;
        let version = if mounts.is_v1() { Version::V1 } else { Version::V2 };
        // On v2 systemd's program and ours must both allow a device: they get the same rules.
        let same = Resources { devices: device_rules(&resources.devices), ..resources.clone() };
        // A group that is there already would be shared, and one that is frozen would stop the process before it can say why.
        let there = super::found(&mounts, &Own::default(), &systemd::group_to_be(&pending.unit)?)?;
        super::check_free(there.pids()?.len(), there.is_frozen()?)?;
        let group = systemd::start_unit(&pending.unit, pid, &same, &pending.annotations, version)?;
        let resources = &systemd::rounded(resources);
        let lenience = if self.record.lenient { Lenience::Lenient } else { Lenience::Strict };
        let started =
            self.enter_unit(&mounts, &group, pid, &Making { resources, denial: Denial::of(lenience), lenience });
        match started {
            Ok(()) => self.record.unit.clone_from(&pending.unit.name),
            Err(_) => {
                if let Err(e) = systemd::stop_unit(&pending.unit.name) {
                    tracing::warn!("cannot stop {}: {e}", pending.unit.name);
                }
            }
        }
        started
    }

    fn enter_unit(&mut self, mounts: &Mounts, group: &Path, pid: i32, making: &Making<'_>) -> Result<(), Error> {
        let rules = device_rules(&making.resources.devices);
        let devices = Denial::of(making.lenience);
        self.at = match &mounts.v2 {
            Some(mount) if !mounts.is_v1() => {
                let path = path::inside(&mount.path, group);
                match v2::Fresh::make(&mount.path, &path, making.resources, making.denial)? {
                    Some(fresh) => {
                        fresh.set(making.resources, &rules, devices)?;
                        Where::V2(fresh.tree)
                    }
                    None => Where::Nowhere,
                }
            }
            _ => {
                let absolute = Path::new("/").join(group);
                let fresh = v1::Fresh::make(&path::sites(mounts, &Own::default(), &absolute), making.denial)?;
                let entered =
                    fresh.set(making.resources, &rules, devices).and_then(|()| fresh.tree.attach(pid, making.denial));
                if let Err(e) = entered {
                    fresh.take_back();
                    return Err(e);
                }
                Where::V1(fresh.tree)
            }
        };
        self.note_paths();
        Ok(())
    }

    /// Hands the v2 group over to the owner of the container's user namespace (cgroup-v2.rst, "Delegation"). On v1, which
    /// is not safe to delegate, nothing happens.
    pub fn delegate(&self, uid: u32) -> Result<(), Error> {
        match &self.at {
            Where::V2(tree) => tree.delegate(SELF, (uid, None)),
            Where::Nowhere | Where::V1(_) => Ok(()),
        }
    }

    /// See [`crate::Group::hand_over`].
    pub fn hand_over(&self, id: u32) -> Result<(), Error> {
        match &self.at {
            Where::V2(tree) => tree.delegate(SELF, (id, Some(id))),
            Where::Nowhere | Where::V1(_) => Ok(()),
        }
    }

    /// Changes limits, see [`crate::Group::update`]; with systemd also the unit's properties. Device rules stay as they are.
    pub fn update(&mut self, resources: &Resources) -> Result<(), Error> {
        let mut resources = std::borrow::Cow::Borrowed(resources);
        if let Some(version) = self.version().filter(|_| self.record.driver == Driver::Systemd) {
            systemd::set_properties(&self.record.unit, &resources, version)?;
            resources = std::borrow::Cow::Owned(systemd::rounded(&resources));
        }
        let resources = resources.as_ref();
        match &self.at {
            Where::V1(tree) => tree.limit(resources),
            Where::V2(tree) => tree.limit(resources),
            Where::Nowhere => limits::asked(resources).map_or(Ok(()), |what| Err(Error::NoGroup(what))),
        }
    }

    /// See [`crate::Group::freeze`].
    pub fn freeze(&self) -> Result<(), Error> {
        match &self.at {
            Where::V1(tree) => tree.freeze(SELF),
            Where::V2(tree) => tree.freeze(SELF),
            Where::Nowhere => Err(Placed::no_freezer()),
        }
    }

    /// See [`crate::Group::thaw`].
    pub fn thaw(&self) -> Result<(), Error> {
        match &self.at {
            Where::V1(tree) => tree.thaw(SELF),
            Where::V2(tree) => tree.thaw(SELF),
            Where::Nowhere => Err(Placed::no_freezer()),
        }
    }

    fn no_freezer() -> Error {
        Error::Refused("cannot toggle freezer: cgroups not configured for container".to_owned())
    }

    /// Whether its processes stand because the group itself was frozen. One on its way there is waited for (1 s at most).
    pub fn is_frozen(&self) -> Result<bool, Error> {
        match &self.at {
            Where::V1(tree) => tree.is_frozen(),
            Where::V2(tree) => tree.is_frozen(),
            Where::Nowhere => Ok(false),
        }
    }

    /// Its processes, see [`crate::Group::pids`]. None where there is no group.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        match &self.at {
            Where::V1(tree) => tree.pids(SELF),
            Where::V2(tree) => tree.pids(SELF),
            Where::Nowhere => Ok(Vec::new()),
        }
    }

    /// A signal to every process in it. SIGKILL takes cgroup.kill where there is one, frozen ones run afterwards, and their
    /// end is waited for (5 s at most). Other signals leave a frozen group frozen.
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        let kills = signal == Signal::KILL.as_raw();
        match &self.at {
            Where::Nowhere => Ok(()),
            Where::V1(tree) if kills => tree.kill(SELF),
            Where::V2(tree) if kills => tree.kill_and_wait(),
            Where::V1(_) | Where::V2(_) => self.signal_all(signal),
        }
    }

    /// Frozen, the list of processes cannot change while it is gone through.
    fn signal_all(&self, signal: i32) -> Result<(), Error> {
        let thaws = !self.is_frozen()? && self.freeze().is_ok();
        // A process that is gone by now is fine.
        let sent = self.pids().map(|pids| pids.into_iter().for_each(|pid| drop(sys::signal::send(pid, signal))));
        if thaws {
            self.thaw()?;
        }
        sent
    }

    /// What it used; zeroes where there is no group.
    pub fn usage(&self) -> Result<Usage, Error> {
        match &self.at {
            Where::V1(tree) => tree.usage(SELF),
            Where::V2(tree) => tree.usage(SELF),
            Where::Nowhere => Ok(Usage::default()),
        }
    }

    /// Everything the kernel tells, for `events --stats`.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        match &self.at {
            Where::V1(tree) => tree.statistics(),
            Where::V2(tree) => tree.statistics(),
            Where::Nowhere => Ok(Statistics::default()),
        }
    }

    /// See [`crate::Group::main_statistics`].
    pub fn main_statistics(&self) -> Result<Statistics, Error> {
        match &self.at {
            Where::V1(tree) => tree.main_statistics(SELF),
            Where::V2(tree) => tree.main_statistics(SELF),
            Where::Nowhere => Ok(Statistics::default()),
        }
    }

    /// See [`crate::Group::pressures`].
    pub fn pressures(&self) -> Result<crate::Pressures, Error> {
        match &self.at {
            Where::V1(_) | Where::Nowhere => Ok(crate::Pressures::default()),
            Where::V2(tree) => tree.pressures(SELF),
        }
    }

    /// How many processes the kernel's OOM killer took, see [`crate::Group::oom_kills`].
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        match &self.at {
            Where::V1(tree) => tree.oom_kills(SELF),
            Where::V2(tree) => tree.oom_kills(SELF),
            Where::Nowhere => 0,
        }
    }

    /// A descriptor that becomes readable when the out-of-memory killer comes, and how to read it (`events`).
    pub fn watch_memory(&self) -> Result<OomWatch, Error> {
        match &self.at {
            Where::V1(tree) => tree.watch_memory(),
            Where::V2(tree) => tree.watch_memory(),
            Where::Nowhere => Err(Error::Refused("memory controller missing".to_owned())),
        }
    }

    /// Removes groups (and the unit), with their children; waits a moment for dying processes. What is gone already is fine.
    pub fn remove(&self) -> Result<(), Error> {
        let stopped = match self.record.unit.as_str() {
            "" => Ok(()),
            unit => systemd::stop_unit(unit),
        };
        let removed = match &self.at {
            Where::V1(tree) => tree.remove(SELF),
            Where::V2(tree) => tree.remove(SELF),
            Where::Nowhere => Ok(()),
        };
        stopped.and(removed)
    }
}

/// The hierarchies of a record: controllers that share a folder share a hierarchy.
fn hierarchies(paths: &BTreeMap<String, PathBuf>) -> BTreeMap<String, PathBuf> {
    let mut labels: BTreeMap<&PathBuf, Vec<&str>> = BTreeMap::new();
    for (controller, path) in paths {
        labels.entry(path).or_default().push(controller);
    }
    labels.into_iter().map(|(path, controllers)| (controllers.join(","), path.clone())).collect()
}
