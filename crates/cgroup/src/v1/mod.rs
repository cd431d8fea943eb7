//! Cgroup v1: a hierarchy for each controller or set of controllers (Documentation/admin-guide/cgroup-v1/).

mod block_io;
mod cpu;
mod cpuset;
mod limits;
mod place;
mod state;
mod statistics;

pub(crate) use place::{Fresh, Site};

use crate::detect::Mount;
use crate::devices::Policy;
use crate::folder::{self, Folder, below};
use crate::waiting::Patience;
use crate::{Error, Strictness};
use base::Undo;
use oci::runtime::{DeviceRule, Resources};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::time::Duration;

/// The file by which a process of one thread enters a group.
///
/// Not `cgroup.procs`: a thread that moves itself alone needs no lock of all threads, so the kernel spares it the wait of 5-10 ms
/// for an RCU grace period (cgroup_procs_write_start in kernel/cgroup/cgroup.c, since Linux 5.16).
const TASKS: &str = "tasks";

/// How long a removal waits for processes that are dying.
const REMOVE_LIMIT: Duration = Duration::from_secs(2);

/// The engine's parent group in every hierarchy, or one placed group.
#[derive(Debug)]
pub(crate) struct Tree {
    hierarchies: Vec<Hierarchy>,
    strictness: Strictness,
}

#[derive(Debug)]
struct Hierarchy {
    /// Its controllers, or its name; empty for v2's beside them, which has none (hybrid).
    label: String,
    folder: Folder,
}

impl Hierarchy {
    fn open(mount: &Mount, parent: &str) -> Result<Hierarchy, Error> {
        let root = Folder::open(&mount.path)?;
        let folder = root.child(parent)?;
        let hierarchy = Hierarchy { label: mount.label.clone(), folder };
        if hierarchy.has("cpuset") {
            cpuset::inherit_for_all(&root, &hierarchy.folder)?;
        }
        Ok(hierarchy)
    }

    fn has(&self, controller: &str) -> bool {
        self.label.split(',').any(|one| one == controller)
    }
}

impl Tree {
    pub(crate) fn open(mounts: &[Mount], parent: &str) -> Result<Tree, Error> {
        let hierarchies = mounts.iter().map(|mount| Hierarchy::open(mount, parent)).collect::<Result<_, _>>()?;
        Ok(Tree { hierarchies, strictness: Strictness::Warn })
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        self.hierarchies.iter().map(|hierarchy| hierarchy.label.clone()).collect()
    }

    /// The folder of the hierarchy with that controller.
    fn with(&self, controller: &str) -> Option<&Folder> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.has(controller)).map(|hierarchy| &hierarchy.folder)
    }

    /// Whether groups of that controller have one of these files.
    pub(crate) fn has_file(&self, controller: &str, files: &[&str]) -> bool {
        self.with(controller).is_some_and(|folder| folder.has_any(files))
    }

    /// As [`with`](Self::with), for what cannot be done without it.
    fn need(&self, controller: &'static str) -> Result<&Folder, Error> {
        self.with(controller).ok_or_else(|| match self.strictness {
            Strictness::Warn => Error::Unsupported(format!("{controller} controller")),
            Strictness::Refuse => Error::NoGroup(controller),
        })
    }

    /// A hierarchy to list processes by: all hold the same ones.
    fn any(&self) -> Result<&Folder, Error> {
        let first = || self.hierarchies.first().map(|hierarchy| &hierarchy.folder);
        let found = self.with("freezer").or_else(|| self.with("pids")).or_else(first);
        found.ok_or_else(|| Error::Unsupported("hierarchy".to_owned()))
    }

    pub(crate) fn create(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        let mut undo = Undo::new();
        for hierarchy in &self.hierarchies {
            make(&hierarchy.folder, name)?;
            undo.push(|| {
                let _ = hierarchy.folder.unmake(name);
            });
        }
        self.update(name, resources)?;
        undo.keep();
        Ok(())
    }

    pub(crate) fn update(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        if !resources.devices.is_empty() {
            self.set_devices(name, &resources.devices)?;
        }
        self.set_limits(name, resources)
    }

    /// Writes the base, then one line for each exception; both files are opened once.
    fn set_devices(&self, name: &str, rules: &[DeviceRule]) -> Result<(), Error> {
        let policy = Policy::read(rules)?;
        let folder = self.need("devices")?;
        let (base, other) = match policy.allow {
            true => ("devices.allow", "devices.deny"),
            false => ("devices.deny", "devices.allow"),
        };
        let failed = |file| move |e| folder.failed("write", &below(name, file), e);
        folder.put(name, base, "a").map_err(failed(base))?;
        if policy.exceptions.is_empty() {
            return Ok(());
        }
        let file = folder.open_below(&below(name, other), OFlags::WRONLY).map_err(failed(other))?;
        policy.exceptions.iter().try_for_each(|one| folder::put(&file, &one.line())).map_err(failed(other))
    }

    /// Renames in every hierarchy, or in none.
    pub(crate) fn rename(&self, old: &str, new: &str) -> Result<(), Error> {
        let mut undo = Undo::new();
        for hierarchy in &self.hierarchies {
            let folder = &hierarchy.folder;
            rustix::fs::renameat(folder.fd(), old, folder.fd(), new).map_err(|e| folder.failed("rename", old, e))?;
            undo.push(move || {
                let _ = rustix::fs::renameat(folder.fd(), new, folder.fd(), old);
            });
        }
        undo.keep();
        Ok(())
    }

    pub(crate) fn entry(&self, name: &str) -> Result<sys::CgroupEntry, Error> {
        let open = |hierarchy: &Hierarchy| {
            let path = below(name, TASKS);
            hierarchy.folder.open_below(&path, OFlags::WRONLY).map_err(|e| hierarchy.folder.failed("open", &path, e))
        };
        Ok(sys::CgroupEntry::V1(self.hierarchies.iter().map(open).collect::<Result<_, _>>()?))
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let mut names = BTreeSet::new();
        for hierarchy in &self.hierarchies {
            names.extend(hierarchy.folder.groups("").map_err(|e| hierarchy.folder.failed("list", "", e))?);
        }
        Ok(names.into_iter().collect())
    }

    /// Removes the group everywhere, also after a failure, and tells the first one.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let mut patience = Patience::new(REMOVE_LIMIT);
        let mut result = Ok(());
        for hierarchy in &self.hierarchies {
            let done = remove(&hierarchy.folder, name, &mut patience);
            result = result.and(done.map_err(|e| hierarchy.folder.failed("remove", name, e)));
        }
        result
    }

    pub(crate) fn close(&self) {
        for hierarchy in &self.hierarchies {
            let _ = hierarchy.folder.unmake(folder::SELF);
        }
    }
}

/// Makes a group; one of that name without processes, left by an engine that was killed, is replaced.
fn make(folder: &Folder, name: &str) -> Result<(), Error> {
    let made = folder.make(name).or_else(|e| match e {
        Errno::EXIST => folder.unmake(name).and_then(|()| folder.make(name)),
        e => Err(e),
    });
    made.map_err(|e| folder.failed("make", name, e))
}

fn remove(folder: &Folder, name: &str, patience: &mut Patience) -> Result<(), Errno> {
    loop {
        match folder.unmake(name) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) => folder.unmake_children(name),
            Err(e) => return Err(e),
        }
        match folder.unmake(name) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) if patience.wait() => {}
            Err(e) => return Err(e),
        }
    }
}
