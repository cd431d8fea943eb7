//! One group at any path of the v1 hierarchies, for [`crate::Place`].

use super::{Hierarchy, TASKS, Tree, cpuset};
use crate::folder::{self, Folder, SELF, below};
use crate::place::{Denial, Made, make_at};
use crate::{Error, Strictness};
use oci::runtime::{DeviceRule, Resources};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::path::PathBuf;

/// Where a group is, or shall be, in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// As [`crate::detect::Mount::label`]; empty for v2's hierarchy beside the others.
    pub(crate) label: String,
    /// Where the hierarchy is mounted.
    pub(crate) mount: PathBuf,
    pub(crate) path: PathBuf,
}

/// A group just made: what existed before is not removed again.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) tree: Tree,
    made: Vec<PathBuf>,
    existing: bool,
}

impl Fresh {
    /// Makes the folders; those that may not be made are left out with [`Denial::Skip`].
    pub(crate) fn make(sites: &[Site], denial: Denial) -> Result<Fresh, Error> {
        let tree = Tree { hierarchies: Vec::new(), strictness: Strictness::Refuse };
        let mut fresh = Fresh { tree, made: Vec::new(), existing: false };
        for site in sites {
            if let Err(e) = fresh.add(site, denial) {
                fresh.take_back();
                return Err(e);
            }
        }
        Ok(fresh)
    }

    fn add(&mut self, site: &Site, denial: Denial) -> Result<(), Error> {
        let folder = match make_at(&site.path, denial)? {
            None => return Ok(()),
            Some((folder, Made::Now)) => {
                self.made.push(site.path.clone());
                folder
            }
            Some((folder, Made::Before)) => {
                self.existing = true;
                folder
            }
        };
        let hierarchy = Hierarchy { label: site.label.clone(), folder };
        if hierarchy.has("cpuset")
            && let Some(parent) = site.path.parent().filter(|_| site.path != site.mount)
        {
            cpuset::inherit_down(&site.mount, &Folder::open(parent)?)?;
        }
        self.tree.hierarchies.push(hierarchy);
        Ok(())
    }

    /// Whether the group was there before, in any hierarchy.
    pub(crate) fn existed(&self) -> bool {
        self.existing
    }

    /// Sets the limits of a group that has no process yet.
    pub(crate) fn set(&self, resources: &Resources, rules: &[DeviceRule], denial: Denial) -> Result<(), Error> {
        denial.forgive(self.tree.set_devices(SELF, rules))?;
        self.tree.set_limits(SELF, resources)?;
        match self.tree.with("cpuset") {
            Some(folder) => cpuset::inherit_from_parent(folder),
            None => Ok(()),
        }
    }

    /// Removes what was made.
    pub(crate) fn take_back(&self) {
        for path in &self.made {
            let _ = rustix::fs::rmdir(path);
        }
    }
}

impl Tree {
    /// The groups at these paths; those that are gone are left out.
    pub(crate) fn placed(sites: impl Iterator<Item = (String, PathBuf)>) -> Result<Tree, Error> {
        let mut hierarchies = Vec::new();
        for (label, path) in sites {
            if let Some(folder) = folder::open_if_there(&path)? {
                hierarchies.push(Hierarchy { label, folder });
            }
        }
        Ok(Tree { hierarchies, strictness: Strictness::Refuse })
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.hierarchies.is_empty()
    }

    /// Every controller's folder (`memory`, `cpu`, `name=systemd`).
    pub(crate) fn paths(&self) -> impl Iterator<Item = (String, PathBuf)> + '_ {
        self.hierarchies.iter().flat_map(|hierarchy| {
            let path = hierarchy.folder.path();
            hierarchy.label.split(',').map(move |controller| (controller.to_owned(), path.to_owned()))
        })
    }

    /// How a process enters; `below` tells the group below the placed one for a hierarchy's label, if any.
    pub(crate) fn entries(
        &self,
        below_of: impl Fn(&[&str]) -> Option<String>,
        denial: Denial,
    ) -> Result<sys::CgroupEntry, Error> {
        let mut files = Vec::with_capacity(self.hierarchies.len());
        let mut unified = None;
        for hierarchy in &self.hierarchies {
            let controllers: Vec<_> = hierarchy.label.split(',').collect();
            let group = below_of(&controllers).unwrap_or_else(|| SELF.to_owned());
            let is_unified = hierarchy.label.is_empty();
            let (path, flags) = match is_unified {
                // Born there: v2 has no `tasks`, and `cgroup.procs` costs the wait that they spare.
                true => (group, OFlags::RDONLY | OFlags::DIRECTORY),
                false => (below(&group, TASKS), OFlags::WRONLY),
            };
            match hierarchy.folder.open_below(&path, flags) {
                Ok(folder) if is_unified => unified = Some(folder),
                Ok(file) => files.push(file),
                Err(e) if denial.skips(e) => {}
                Err(e) => return Err(hierarchy.folder.failed("open", &path, e)),
            }
        }
        Ok(match unified {
            Some(folder) => sys::CgroupEntry::Hybrid(files, folder),
            None => sys::CgroupEntry::V1(files),
        })
    }

    /// Whether there is a hierarchy with that controller.
    pub(crate) fn knows(&self, controller: &str) -> bool {
        self.with(controller).is_some()
    }

    /// Moves a process, with all its threads, by its number.
    pub(crate) fn attach(&self, pid: i32, denial: Denial) -> Result<(), Error> {
        for hierarchy in &self.hierarchies {
            match hierarchy.folder.put(SELF, "cgroup.procs", &pid.to_string()) {
                Ok(()) => {}
                Err(e) if denial.skips(e) => {}
                Err(e) => return Err(hierarchy.folder.failed("move a process into", SELF, e)),
            }
        }
        Ok(())
    }

    /// Changes limits, and no device rules.
    pub(crate) fn limit(&self, resources: &Resources) -> Result<(), Error> {
        self.set_limits(SELF, resources)
    }

    /// Whether the group itself was frozen, and not only one above it.
    pub(crate) fn is_frozen(&self) -> Result<bool, Error> {
        let Some(freezer) = self.with("freezer") else { return Ok(false) };
        let read = |file: &str| match freezer.get(SELF, file) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(Errno::NOENT | Errno::NODEV) => Ok(String::new()),
            Err(e) => Err(freezer.failed("read", file, e)),
        };
        let mut patience = super::state::settling();
        loop {
            match read("freezer.state")?.as_str() {
                // The file that tells whose freezing it is came with Linux 3.8.
                "FROZEN" => return Ok(read("freezer.self_freezing")? != "0"),
                "FREEZING" if patience.wait() => {}
                _ => return Ok(false),
            }
        }
    }
}
