//! The groups of one container anywhere in the tree: what `linux.cgroupsPath` names, made by us or by systemd.
//!
//! ```text
//!  Place::read(cgroupsPath, id, driver) ──make(resources)──► Placed ──entry()──► born there (v2), or writes itself in (v1)
//!     cgroupfs: "/a/b" from the mount, "a/b" from our own group                 ──attach(pid)──► moved there (systemd: the unit is started with it)
//!     systemd:  "slice:prefix:name"                               Placed::open(&Record)  later, by another process
//! ```
//!
//! `path` has the rules of paths, `making` what happens where a group may not be made, `placed` what is done with a group.

mod making;
mod path;
mod placed;

pub(crate) use making::{Denial, Made, make_at};
pub use placed::Placed;

use crate::detect::Mounts;
use crate::systemd::Unit;
use crate::{Error, limits, v1, v2};
use oci::runtime::{DeviceRule, Resources};
use path::Own;
use placed::{Pending, Where};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who makes groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    #[default]
    Cgroupfs,
    /// By D-Bus; the user's own manager when not root.
    Systemd,
}

/// Where a container's groups shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    means: Means,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Means {
    /// A cleaned path, absolute (from the mount) or relative (from our own group), and whether somebody asked for it.
    Cgroupfs(PathBuf, Origin),
    Systemd(Unit),
}

/// Where a path comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Given,
    Id,
}

/// What survives of a [`Placed`] between two calls of a runtime: its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub driver: Driver,
    /// The unit of systemd once it was started, `""` before and with cgroupfs: nothing stops a unit of that name that is
    /// somebody else's.
    pub unit: String,
    /// The folder of each v1 controller (`memory`, `cpu`, ..., `name=systemd`), or that of v2 under `""`; beside v1
    /// controllers `""` is the v2 hierarchy without any. Empty: it has none (rootless, where nothing is delegated).
    pub paths: BTreeMap<String, PathBuf>,
    /// What may not be entered is left out, see [`Lenience`].
    pub lenient: bool,
}

/// What happens where groups may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lenience {
    /// Root: an error.
    Strict,
    /// Rootless: done without, unless the path was asked for or there are limits to keep.
    Lenient,
}

impl Place {
    /// Reads `linux.cgroupsPath` (`None`: made of the container's id, as runc does) and checks it.
    pub fn read(cgroups_path: Option<&str>, id: &str, driver: Driver) -> Result<Place, Error> {
        let given = cgroups_path.filter(|path| !path.is_empty());
        let means = match (driver, given) {
            (Driver::Systemd, given) => Means::Systemd(Unit::read(given, id)?),
            (Driver::Cgroupfs, Some(given)) => Means::Cgroupfs(path::clean(given)?, Origin::Given),
            (Driver::Cgroupfs, None) => Means::Cgroupfs(path::clean(id)?, Origin::Id),
        };
        Ok(Place { means })
    }

    /// The groups that are there already, for somebody who made some and was ended before he could note them. With systemd
    /// none: a unit goes when its processes do.
    pub fn find(&self) -> Result<Placed, Error> {
        let Means::Cgroupfs(path, _) = &self.means else { return Placed::open(&Record::default()) };
        found(&Mounts::read()?, &Own::read()?, path)
    }

    /// Makes the groups and sets `resources`. With systemd nothing is made before [`Placed::attach`].
    ///
    /// `lenient` (rootless): groups that may not be made are left out, unless `resources` ask for something of them.
    /// `annotations`: `org.systemd.property.*` set properties of the unit.
    ///
    /// Devices that every container has are allowed besides those of `resources`. A group that exists is taken when it has
    /// no process and is not frozen. Undone when a step fails; parents that were made stay, as with runc.
    pub fn make(
        &self,
        resources: &Resources,
        annotations: &BTreeMap<String, String>,
        lenient: Lenience,
    ) -> Result<Placed, Error> {
        let mut record = Record { lenient: lenient == Lenience::Lenient, ..Record::default() };
        match &self.means {
            Means::Systemd(unit) => {
                record.driver = Driver::Systemd;
                Ok(Placed::pending(record, Pending { unit: unit.clone(), annotations: annotations.clone() }))
            }
            Means::Cgroupfs(path, origin) => {
                let denial = match origin {
                    Origin::Given => Denial::Error,
                    Origin::Id => Denial::of(lenient),
                };
                let making = Making { resources, denial, lenience: lenient };
                Ok(Placed::new(record, making.at(path)?))
            }
        }
    }
}

/// The groups at a path, as far as they are there.
fn found(mounts: &Mounts, own: &Own, path: &Path) -> Result<Placed, Error> {
    let paths = match &mounts.v2 {
        Some(mount) if !mounts.is_v1() => [(String::new(), path::in_v2(mount, own, path))].into(),
        _ => by_controller(&path::sites(mounts, own, path)),
    };
    Placed::open(&Record { paths, ..Record::default() })
}

fn by_controller(sites: &[v1::Site]) -> BTreeMap<String, PathBuf> {
    let named = |site: &v1::Site| {
        let path = site.path.clone();
        site.label.split(',').map(move |controller| (controller.to_owned(), path.clone())).collect::<Vec<_>>()
    };
    sites.iter().flat_map(named).collect()
}

/// A group in the making.
struct Making<'a> {
    resources: &'a Resources,
    denial: Denial,
    lenience: Lenience,
}

impl Making<'_> {
    fn at(&self, path: &Path) -> Result<Where, Error> {
        let (mounts, own) = (Mounts::read()?, Own::read()?);
        if mounts.is_v1() {
            return self.at_v1(&path::sites(&mounts, &own, path));
        }
        match &mounts.v2 {
            Some(mount) => self.at_v2(&mount.path, &path::in_v2(mount, &own, path)),
            None if self.denial == Denial::Skip && limits::asked(self.resources).is_none() => Ok(Where::Nowhere),
            None => Err(Error::Detect("none is mounted".to_owned())),
        }
    }

    fn at_v1(&self, sites: &[v1::Site]) -> Result<Where, Error> {
        let fresh = v1::Fresh::make(sites, self.denial)?;
        let tree = &fresh.tree;
        let free = || match fresh.existed() {
            true => check_free(tree.pids(".")?.len(), tree.is_frozen()?),
            false => Ok(()),
        };
        let devices = Denial::of(self.lenience);
        let set = free().and_then(|()| fresh.set(self.resources, &device_rules(&self.resources.devices), devices));
        match set {
            Ok(()) if fresh.tree.is_gone() => Ok(Where::Nowhere),
            Ok(()) => Ok(Where::V1(fresh.tree)),
            Err(e) => {
                fresh.take_back();
                Err(e)
            }
        }
    }

    fn at_v2(&self, mount: &Path, path: &Path) -> Result<Where, Error> {
        let Some(fresh) = v2::Fresh::make(mount, path, self.resources, self.denial)? else {
            return match limits::asked(self.resources) {
                None => Ok(Where::Nowhere),
                Some(_) => Err(Error::Refused(format!(
                    "rootless needs no limits + no cgrouppath when no permission is granted for cgroups: mkdir {}: \
                     permission denied",
                    path.display()
                ))),
            };
        };
        let tree = &fresh.tree;
        let free = || match fresh.existed() {
            true => check_free(tree.pids(".")?.len(), tree.is_frozen()?),
            false => Ok(()),
        };
        let devices = Denial::of(self.lenience);
        let set = free().and_then(|()| fresh.set(self.resources, &device_rules(&self.resources.devices), devices));
        match set {
            Ok(()) => Ok(Where::V2(fresh.tree)),
            Err(e) => {
                fresh.take_back();
                Err(e)
            }
        }
    }
}

/// A group that another container uses is not shared: the end of one would be that of both.
fn check_free(processes: usize, frozen: bool) -> Result<(), Error> {
    if processes > 0 {
        return Err(Error::Refused(format!("container's cgroup is not empty: {processes} process(es) found")));
    }
    match frozen {
        true => Err(Error::Refused("container's cgroup unexpectedly frozen".to_owned())),
        false => Ok(()),
    }
}

/// The rules of the configuration, then those for devices that every container has (runtime-spec, "Default Devices") or
/// has always had with runc: nodes of any device may be made, terminals and /dev/net/tun used.
fn device_rules(asked: &[DeviceRule]) -> Vec<DeviceRule> {
    const ANY: Option<i64> = None;
    const ALWAYS: [(&str, Option<i64>, Option<i64>, &str); 11] = [
        ("c", ANY, ANY, "m"),
        ("b", ANY, ANY, "m"),
        ("c", Some(1), Some(3), "rwm"),
        ("c", Some(1), Some(8), "rwm"),
        ("c", Some(1), Some(7), "rwm"),
        ("c", Some(5), Some(0), "rwm"),
        ("c", Some(1), Some(5), "rwm"),
        ("c", Some(1), Some(9), "rwm"),
        ("c", Some(136), ANY, "rwm"),
        ("c", Some(5), Some(2), "rwm"),
        ("c", Some(10), Some(200), "rwm"),
    ];
    let always = ALWAYS.map(|(kind, major, minor, access)| DeviceRule {
        allow: true,
        kind: Some(kind.to_owned()),
        major,
        minor,
        access: Some(access.to_owned()),
    });
    asked.iter().map(known_access).chain(always).collect()
}

/// Letters that mean nothing are left out, as runc does.
fn known_access(rule: &DeviceRule) -> DeviceRule {
    let mut rule = rule.clone();
    if let Some(access) = &mut rule.access
        && access.contains(|letter| !"rwm".contains(letter))
    {
        tracing::warn!("{access:?} has letters that are no sort of access to a device");
        access.retain(|letter| "rwm".contains(letter));
    }
    rule
}
