//! The groups of one container anywhere in the tree: what `linux.cgroupsPath` names, made by us or by systemd.
//!
//! ```text
//!  Place::read(cgroupsPath, id, driver) ──make(resources)──► Placed ──entry()──► born there (v2), or writes itself in (v1)
//!     cgroupfs: "/a/b" from the mount, "a/b" from our own group                 ──attach(pid)──► moved there (systemd: the unit is started with it)
//!     systemd:  "slice:prefix:name"                               Placed::open(&Record)  later, by another process
//! ```

use crate::{Error, Usage};
use oci::runtime::Resources;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    driver: Driver,
    path: String,
}

/// What survives of a [`Placed`] between two calls of a runtime: its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub driver: Driver,
    /// The unit of systemd, `""` with cgroupfs.
    pub unit: String,
    /// The folder of each v1 controller (`memory`, `cpu`, ..., `name=systemd`), or that of v2 under `""`. Empty: it has none
    /// (rootless, where nothing is delegated).
    pub paths: BTreeMap<String, PathBuf>,
}

/// The groups of one container.
#[derive(Debug)]
pub struct Placed {
    record: Record,
}

impl Place {
    /// Reads `linux.cgroupsPath` (`None`: made of the container's id, as runc does) and checks it.
    pub fn read(cgroups_path: Option<&str>, id: &str, driver: Driver) -> Result<Place, Error> {
        let _ = (cgroups_path, id);
        Ok(Place { driver, path: String::new() })
    }

    /// Makes the groups and sets `resources`. With systemd nothing is made before [`Placed::attach`].
    ///
    /// `lenient` (rootless): groups that may not be made are left out, unless `resources` ask for something of them.
    /// `annotations`: `org.systemd.property.*` set properties of the unit.
    pub fn make(
        &self,
        resources: &Resources,
        annotations: &BTreeMap<String, String>,
        lenient: Lenience,
    ) -> Result<Placed, Error> {
        let _ = (resources, annotations, lenient, &self.path);
        Ok(Placed { record: Record { driver: self.driver, ..Record::default() } })
    }
}

/// What happens where groups may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lenience {
    /// Root: an error.
    Strict,
    /// Rootless: done without.
    Lenient,
}

impl Placed {
    /// The groups that an earlier call made. Those that are gone are left out.
    pub fn open(record: &Record) -> Result<Placed, Error> {
        Ok(Placed { record: record.clone() })
    }

    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How the container's own first process gets in; [`sys::CgroupEntry::Inherit`] with systemd, see [`attach`](Self::attach).
    pub fn entry(&self) -> Result<sys::CgroupEntry, Error> {
        todo!()
    }

    /// How one more process gets in. `below`: a group below the container's own (`exec --cgroup`); on v2 the group of process
    /// `init` when its own has become an inner one ("no internal processes").
    pub fn join(&self, below: Option<&str>, init: i32) -> Result<sys::CgroupEntry, Error> {
        let _ = (below, init);
        todo!()
    }

    /// Puts a process in: writes its number, or has systemd start the unit with it and then sets the resources.
    pub fn attach(&mut self, pid: i32, resources: &Resources) -> Result<(), Error> {
        let _ = (pid, resources);
        todo!()
    }

    /// Hands the v2 group over to the owner of the container's user namespace (cgroup-v2.rst, "Delegation").
    pub fn delegate(&self, uid: u32) -> Result<(), Error> {
        let _ = uid;
        todo!()
    }

    /// Changes limits, see [`crate::Group::update`]; with systemd also the unit's properties.
    pub fn update(&mut self, resources: &Resources) -> Result<(), Error> {
        let _ = resources;
        todo!()
    }

    /// See [`crate::Group::freeze`].
    pub fn freeze(&self) -> Result<(), Error> {
        todo!()
    }

    /// See [`crate::Group::thaw`].
    pub fn thaw(&self) -> Result<(), Error> {
        todo!()
    }

    /// Whether its processes stand.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        todo!()
    }

    /// Its processes, see [`crate::Group::pids`].
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        todo!()
    }

    /// A signal to every process in it. SIGKILL takes cgroup.kill where there is one, and frozen ones run afterwards.
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        let _ = signal;
        todo!()
    }

    /// What it used.
    pub fn usage(&self) -> Result<Usage, Error> {
        todo!()
    }

    /// Everything the kernel tells, for `events --stats`.
    pub fn statistics(&self) -> Result<crate::Statistics, Error> {
        todo!()
    }

    /// A descriptor that becomes readable when the out-of-memory killer comes, and how to read it (`events`).
    pub fn watch_memory(&self) -> Result<crate::OomWatch, Error> {
        todo!()
    }

    /// Removes groups (and the unit), with their children; waits a moment for dying processes. What is gone already is fine.
    pub fn remove(&self) -> Result<(), Error> {
        todo!()
    }
}
