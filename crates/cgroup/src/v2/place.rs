//! One group at any path of the v2 hierarchy, for [`crate::Place`].

use super::{Age, Tree, read_words, turn_on};
use crate::folder::{self, Folder, SELF, below};
use crate::place::{Denial, Made, make_at};
use crate::{Error, Strictness};
use oci::runtime::{BlockIo, Cpu, DeviceRule, Memory, Resources};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;

/// A group just made: what existed before is not removed again.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) tree: Tree,
    made: Made,
}

impl Fresh {
    /// Makes the folder and turns on all controllers above it. `None`: it may not be made, with [`Denial::Skip`].
    pub(crate) fn make(
        mount: &Path,
        path: &Path,
        resources: &Resources,
        denial: Denial,
    ) -> Result<Option<Fresh>, Error> {
        let Some((folder, made)) = make_at(path, denial)? else { return Ok(None) };
        let fresh = Fresh { tree: Tree::of(folder), made };
        match enable_above(mount, &fresh.tree.parent).and_then(|()| check_type(&fresh.tree.parent, resources)) {
            Ok(()) => Ok(Some(fresh)),
            Err(e) => {
                fresh.take_back();
                Err(e)
            }
        }
    }

    /// Whether the group was there before.
    pub(crate) fn existed(&self) -> bool {
        self.made == Made::Before
    }

    /// Sets the limits of a group that has no process yet.
    pub(crate) fn set(&self, resources: &Resources, rules: &[DeviceRule], denial: Denial) -> Result<(), Error> {
        let age = if self.existed() { Age::Old } else { Age::New };
        denial.forgive(self.tree.set_devices(SELF, rules, age))?;
        self.tree.set_limits(SELF, resources)
    }

    /// Removes it when it was made here.
    pub(crate) fn take_back(&self) {
        if self.made == Made::Now {
            let _ = self.tree.parent.unmake(SELF);
        }
    }
}

impl Tree {
    fn of(folder: Folder) -> Tree {
        Tree { parent: folder, strictness: Strictness::Refuse, programs: Mutex::default() }
    }

    /// The group at that path; `None` when it is gone.
    pub(crate) fn placed(path: &Path) -> Result<Option<Tree>, Error> {
        Ok(folder::open_if_there(path)?.map(Tree::of))
    }

    pub(crate) fn path(&self) -> &Path {
        self.parent.path()
    }

    /// The folder of a group below the placed one.
    pub(crate) fn open_below(&self, group: &str) -> Result<OwnedFd, Error> {
        self.open_group(group)
    }

    /// Whether it hands controllers to groups below it: then it takes no process itself (cgroup-v2.rst, "No Internal
    /// Process Constraint").
    pub(crate) fn is_inner(&self) -> bool {
        self.parent.get(SELF, "cgroup.subtree_control").is_ok_and(|on| !on.trim().is_empty())
    }

    /// Moves a process, with all its threads, by its number.
    pub(crate) fn attach(&self, pid: i32, denial: Denial) -> Result<(), Error> {
        match self.parent.put(SELF, "cgroup.procs", &pid.to_string()) {
            Ok(()) => Ok(()),
            Err(e) if denial.skips(e) => Ok(()),
            Err(e) => Err(self.parent.failed("move a process into", SELF, e)),
        }
    }

    /// Changes limits, and no device rules.
    pub(crate) fn limit(&self, resources: &Resources) -> Result<(), Error> {
        self.set_limits(SELF, resources)
    }

    /// Whether the group itself was frozen, and not only one above it.
    pub(crate) fn is_frozen(&self) -> Result<bool, Error> {
        match self.parent.get(SELF, "cgroup.freeze") {
            Ok(text) if text.trim() == "1" => self.stands(),
            // A kernel before Linux 5.2, or a group that is gone.
            Ok(_) | Err(Errno::NOENT | Errno::NODEV) => Ok(false),
            Err(e) => Err(self.parent.failed("read", "cgroup.freeze", e)),
        }
    }

    /// Hands it to a user: the folder and the files that the kernel names (cgroup-v2.rst, "Delegation").
    pub(crate) fn delegate(&self, name: &str, owner: (u32, Option<u32>)) -> Result<(), Error> {
        const ALWAYS: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";
        let files = std::fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_else(|_| ALWAYS.to_owned());
        let words = files.split_whitespace().filter(|file| !file.contains('/'));
        for file in std::iter::once(SELF).chain(words) {
            match self.parent.give_to(&below(name, file), owner) {
                // The list is of all controllers, this group may have fewer.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(self.parent.failed("hand over", file, e)),
            }
        }
        Ok(())
    }
}

/// Turns on all controllers for the groups on the way, where it has fewer than the root of the mount. One that cannot be
/// turned on is told by the limit that needs it.
fn enable_above(mount: &Path, group: &Folder) -> Result<(), Error> {
    let root = Folder::open(mount)?;
    let (all, have) = (read_words(&root, "cgroup.controllers")?, read_words(group, "cgroup.controllers")?);
    if all.iter().all(|controller| have.contains(controller)) {
        return Ok(());
    }
    let Ok(way) = group.path().strip_prefix(mount) else { return Ok(()) };
    let mut path = mount.to_owned();
    for step in way.components() {
        turn_on(&Folder::open(&path)?, &all);
        path.push(step);
    }
    Ok(())
}

/// A group below one that has processes is no full one (cgroup-v2.rst, "Threads"): it can only take controllers that
/// know threads.
fn check_type(group: &Folder, resources: &Resources) -> Result<(), Error> {
    let kind = group.get(SELF, "cgroup.type").unwrap_or_default();
    let refused = |why: &str| {
        let path = group.path().display();
        Error::Refused(format!("cannot enter cgroupv2 {path:?} with domain controllers -- it is in {why}"))
    };
    match kind.trim() {
        "domain invalid" if wants_domain(resources) => Err(refused("an invalid state")),
        "domain invalid" => {
            // Not what one would like, but better than none; where it fails, entering the group tells.
            let _ = group.put(SELF, "cgroup.type", "threaded");
            Ok(())
        }
        kind @ ("threaded" | "domain threaded") if wants_domain(resources) => Err(refused(&format!("{kind} mode"))),
        _ => Ok(()),
    }
}

/// Whether something is asked of a controller that knows only whole processes; as with runc, CPU time counts as such.
fn wants_domain(resources: &Resources) -> bool {
    let cpu = resources.cpu.as_ref().map(|cpu| Cpu { cpus: None, mems: None, ..cpu.clone() });
    resources.memory.as_ref().is_some_and(|memory| *memory != Memory::default())
        || resources.block_io.as_ref().is_some_and(|io| *io != BlockIo::default())
        || cpu.is_some_and(|cpu| cpu != Cpu::default())
        || !resources.hugepage_limits.is_empty()
}
