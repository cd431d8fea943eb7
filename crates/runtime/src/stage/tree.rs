//! The mounts of a container, placed by descriptor below its root.

use super::copy_up;
use super::course::Course;
use super::init::named;
use super::resolve::{self, PROC_SUPER_MAGIC, Sort};
use crate::failure::{at, errno};
use crate::{Attributes, Extent, Failure, MountSource, MountStep, Seed, Spread, Step};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::mount::{Change, Reach, attribute};

/// The root of the container while it is being furnished, and the file systems in it that later steps write to: through
/// descriptors, so that nothing mounted or linked over them matters (CVE-2025-52881).
#[derive(Debug)]
pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    host: HostOwned,
    course: &'a Course<'a>,
    proc: Option<OwnedFd>,
    sys: Option<OwnedFd>,
    devpts: Option<OwnedFd>,
    /// To be read-only once all mount points in them are made.
    readonly: Vec<OwnedFd>,
}

/// Which namespaces of the container are the host's own. Only what belongs to these may be shown as the host has it mounted.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostOwned {
    pub(super) processes: bool,
    pub(super) network: bool,
    pub(super) cgroups: bool,
}

/// A new file system, see [`MountSource::New`].
struct New<'a> {
    kind: &'a str,
    options: &'a [(String, Option<String>)],
    attributes: u64,
    seed: Seed,
}

impl New<'_> {
    /// The option that makes a tmpfs look like the folder it covers.
    fn mode_of(&self, folder: BorrowedFd<'_>) -> Result<Option<(String, Option<String>)>, Errno> {
        if self.options.iter().any(|(key, _)| key == "mode") {
            return Ok(None);
        }
        let mode = rustix::fs::fstat(folder)?.st_mode & 0o7777;
        Ok(Some(("mode".to_owned(), Some(format!("{mode:04o}")))))
    }
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, host: HostOwned, course: &'a Course<'a>) -> Self {
        Self { root, host, course, proc: None, sys: None, devpts: None, readonly: Vec::new() }
    }

    pub(super) fn root(&self) -> BorrowedFd<'a> {
        self.root
    }

    pub(super) fn devpts(&self) -> Option<BorrowedFd<'_>> {
        self.devpts.as_ref().map(AsFd::as_fd)
    }

    /// Places one mount.
    pub(super) fn place(&mut self, step: &MountStep, fds: &[OwnedFd]) -> Result<(), Failure> {
        let failed = |e: Errno| at(Step::Mount, &step.subject())(e);
        match &step.source {
            MountSource::Detached { fd, file } => {
                let sort = if *file { Sort::File } else { Sort::Folder };
                let target = self.target(&step.destination, sort).map_err(failed)?;
                let mismatch = || resolve::sort_of(target.as_fd()) != Ok(sort);
                // The kernel says "invalid argument" for a folder on a file.
                attach(named(fds, *fd)?, target.as_fd())
                    .map_err(|e| failed(if e == Errno::INVAL && mismatch() { Errno::NOTDIR } else { e }))
            }
            MountSource::New { kind, options, attributes, seed } => {
                self.place_new(step, &New { kind, options, attributes: *attributes, seed: *seed })
            }
            MountSource::Inside { user, .. } => {
                let user = user.map(|(index, extent)| named(fds, index).map(|fd| (fd, extent))).transpose()?;
                self.place_inside(step, user).map_err(failed)
            }
            MountSource::OwnCgroups { attributes } => self.place_own_cgroups(step, *attributes).map_err(failed),
            MountSource::Device { node, host } => {
                let host = host.map(|index| named(fds, index)).transpose()?;
                self.make_device(&step.destination, node, host).map_err(at(Step::Device, &step.destination))
            }
            MountSource::Link { target } => {
                self.make_link(&step.destination, target).map_err(at(Step::Device, &step.destination))
            }
        }
    }

    /// A new file system of the init's own namespaces. A tmpfs is made read-only last: mount points are made in it.
    fn place_new(&mut self, step: &MountStep, new: &New<'_>) -> Result<(), Failure> {
        let failed = |e: Errno| at(Step::Mount, &step.subject())(e);
        let later = if new.kind == "tmpfs" { new.attributes & attribute::RDONLY } else { 0 };
        let covered = if new.seed == Seed::Nothing { None } else { self.covered(&step.destination).map_err(failed)? };
        let mode = covered.as_ref().map_or(Ok(None), |folder| new.mode_of(folder.as_fd())).map_err(failed)?;
        let options = mode.map_or(Cow::Borrowed(new.options), |mode| {
            Cow::Owned(std::iter::once(mode).chain(new.options.iter().cloned()).collect())
        });
        let mount = self.new_instance(new.kind, &options, new.attributes & !later).map_err(failed)?;
        let target = self.target(&step.destination, Sort::Folder).map_err(|e| self.unordinary(step, new.kind, e))?;
        if let Some(folder) = covered.filter(|_| new.seed == Seed::Files) {
            copy_up::copy(folder.as_fd(), mount.as_fd()).map_err(failed)?;
        }
        attach(mount.as_fd(), target.as_fd()).map_err(failed)?;
        spread(mount.as_fd(), &step.propagation).map_err(failed)?;
        if new.kind == "cgroup" {
            self.link_controllers(&step.destination).map_err(failed)?;
        }
        if later != 0 {
            self.readonly.push(mount);
        } else {
            self.remember(new.kind, &step.destination, mount);
        }
        Ok(())
    }

    /// In runc's words, for which people and tests look.
    fn unordinary(&self, step: &MountStep, kind: &str, errno: Errno) -> Failure {
        let fixed = matches!(step.destination.trim_matches('/'), "proc" | "sys");
        match errno {
            Errno::LOOP | Errno::NOTDIR if fixed => {
                let subject =
                    format!("{}: filesystem {kind:?} must be mounted on ordinary directory", step.destination);
                Failure::new(Step::Mount, errno, subject)
            }
            _ => Failure::new(Step::Mount, errno, step.subject()),
        }
    }

    /// The folder that a mount will cover, open for reading; `None` when there is none yet.
    fn covered(&self, destination: &str) -> Result<Option<OwnedFd>, Errno> {
        match resolve::in_root(self.root, destination, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A bind of what the container shows already.
    fn place_inside(&self, step: &MountStep, user: Option<(BorrowedFd<'_>, Extent)>) -> Result<(), Errno> {
        let MountSource::Inside { path, extent, attributes, recursive, .. } = &step.source else { return Ok(()) };
        let source = resolve::in_root(self.root, path, OFlags::PATH)?;
        let whole = if *extent == Extent::All { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
        let tree = copy(source.as_fd(), whole)?;
        let set = |change, reach| sys::mount::set_attributes(tree.as_fd(), change, reach).map_err(errno);
        if let Some((user, extent)) = user {
            match set(Change { id_map: Some(user), ..Change::default() }, extent.into()) {
                // Only who owns the file system may: root of the container's user namespace asks the caller.
                Err(Errno::PERM) => self.course.ask_for_map(tree.as_fd(), user, extent)?,
                other => other?,
            }
        }
        for (what, reach) in [(attributes, Reach::One), (recursive, Reach::Recursive)] {
            if *what != Attributes::default() {
                set(Change { set: what.set, clear: what.clear, ..Change::default() }, reach)?;
            }
        }
        let target = self.target(&step.destination, resolve::sort_of(source.as_fd())?)?;
        attach(tree.as_fd(), target.as_fd())?;
        spread(tree.as_fd(), &step.propagation)
    }

    /// It becomes read-only when all mount points in it are made.
    pub(super) fn close_later(&mut self, mount: OwnedFd) {
        self.readonly.push(mount);
    }

    fn remember(&mut self, kind: &str, destination: &str, mount: OwnedFd) {
        match (kind, destination.trim_end_matches('/')) {
            ("proc", "/proc") => self.proc = Some(mount),
            ("sysfs", "/sys") => self.sys = Some(mount),
            ("devpts", "/dev/pts") => self.devpts = Some(mount),
            _ => {}
        }
    }

    /// `cpu` and `cpuacct` beside `cpu,cpuacct`: programs look for a controller by its own name.
    pub(super) fn link_controllers(&self, destination: &str) -> Result<(), Errno> {
        let Some((parent, joint)) = destination.rsplit_once('/').filter(|(_, joint)| joint.contains(',')) else {
            return Ok(());
        };
        let parent = resolve::in_root(self.root, parent, OFlags::PATH | OFlags::DIRECTORY)?;
        for name in joint.split(',').filter(|name| !name.is_empty()) {
            match rustix::fs::symlinkat(joint, &parent, name) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// All mounts are placed: no more mount points are made in file systems that are to be read-only.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        for mount in self.readonly.drain(..) {
            let change = Change { set: attribute::RDONLY, ..Change::default() };
            sys::mount::set_attributes(mount.as_fd(), change, Reach::One)
                .map_err(at(Step::Mount, "read-only tmpfs"))?;
        }
        Ok(())
    }

    /// The place a destination names. What later steps, and the programs in the container, take for /proc and /sys must be
    /// there and not where a link of the image points (CVE-2019-19921); and a link must not bring a mount into procfs, where
    /// it could stand in for what the kernel says (CVE-2019-16884, CVE-2023-28642).
    pub(super) fn target(&self, destination: &str, sort: Sort) -> Result<OwnedFd, Errno> {
        let path = destination.trim_matches('/');
        if matches!(path, "proc" | "sys") {
            return match resolve::strictly_beneath(self.root, path, OFlags::PATH | OFlags::DIRECTORY) {
                Err(Errno::NOENT) => resolve::mount_point(self.root, path, sort),
                other => other,
            };
        }
        let target = resolve::mount_point(self.root, path, sort)?;
        // What is meant to be in procfs was checked when the plan was made.
        if !path.starts_with("proc/") && rustix::fs::fstatfs(&target)?.f_type == PROC_SUPER_MAGIC {
            return Err(Errno::PERM);
        }
        Ok(target)
    }

    /// A new, detached instance of a file system, in the namespaces of this process.
    ///
    /// One of a namespace that belongs to another user namespace is EPERM. What the host has mounted stands in for it where
    /// the namespace is the host's, as with the other runtimes, and nowhere else: it would show what is not the container's.
    fn new_instance(
        &self,
        kind: &str,
        options: &[(String, Option<String>)],
        attributes: u64,
    ) -> Result<OwnedFd, Errno> {
        match create(kind, options, attributes) {
            Err(Errno::PERM) if kind == "sysfs" && self.host.network => host_tree("/sys", attributes, Extent::All),
            Err(Errno::PERM) if kind == "proc" && self.host.processes => host_tree("/proc", attributes, Extent::All),
            // Without a cgroup namespace of its own the host's hierarchy is what a container has anyway, with the attributes
            // that are asked for (CVE-2023-25809).
            Err(Errno::PERM | Errno::BUSY) if kind == "cgroup2" && self.host.cgroups => {
                host_tree("/sys/fs/cgroup", attributes, Extent::All)
            }
            other => other,
        }
    }

    /// Writes a kernel parameter of the container's own namespaces: `key` is a path below /proc/sys.
    pub(super) fn set_sysctl(&self, key: &str, value: &str) -> Result<(), Failure> {
        let write = || {
            let hosts;
            let proc = match &self.proc {
                Some(proc) => proc,
                // The host's is still the root of this process; what it shows below sys is this process's own.
                None => {
                    hosts = open_proc()?;
                    &hosts
                }
            };
            let file = resolve::strictly_beneath(proc.as_fd(), &format!("sys/{key}"), OFlags::WRONLY)?;
            rustix::io::write(&file, value.as_bytes()).map(drop)
        };
        write().map_err(at(Step::Sysctl, key))
    }

    /// Opens what a masked or read-only path names; `None` when it is not there. Below /proc and /sys that is asked of the
    /// very file systems mounted there.
    pub(super) fn find(&self, path: &str) -> Result<Option<OwnedFd>, Errno> {
        let below = |base: &'static str| path.strip_prefix(base).filter(|rest| !rest.is_empty());
        let found = match (below("/proc/"), &self.proc, below("/sys/"), &self.sys) {
            (Some(rest), Some(proc), ..) => resolve::beneath(proc.as_fd(), rest, OFlags::PATH),
            (_, _, Some(rest), Some(sys)) => resolve::beneath(sys.as_fd(), rest, OFlags::PATH),
            _ => resolve::in_root(self.root, path, OFlags::PATH),
        };
        match found {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// /proc of the mount namespace that this process is in. If that was joined, it may be anything (CVE-2025-52881).
fn open_proc() -> Result<OwnedFd, Errno> {
    let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstatfs(&proc)?.f_type == PROC_SUPER_MAGIC { Ok(proc) } else { Err(Errno::NODEV) }
}

/// Moves a detached mount onto an open place.
pub(super) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags)
}

/// Sets the propagation of a mount.
pub(super) fn spread(mount: BorrowedFd<'_>, all: &[(Spread, Extent)]) -> Result<(), Errno> {
    all.iter().try_for_each(|(kind, extent)| {
        let change = Change { propagation: Some((*kind).into()), ..Change::default() };
        sys::mount::set_attributes(mount, change, (*extent).into()).map_err(errno)
    })
}

/// Sets the propagation of `/`, of which no descriptor from before the pivot is needed.
pub(super) fn spread_root(spreading: (Spread, Extent)) -> Result<(), Errno> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    spread(root.as_fd(), &[spreading])
}

/// A detached copy of the mount at, or below, an open file.
pub(super) fn copy(mount: BorrowedFd<'_>, more: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(mount, "", flags | more)
}

/// Makes a file system from its name and options, see fsopen(2) and fsconfig(2).
pub(crate) fn create(kind: &str, options: &[(String, Option<String>)], attributes: u64) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&context, key.as_str(), value.as_str())?,
            None => rustix::mount::fsconfig_set_flag(&context, key.as_str())?,
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    let attributes = u32::try_from(attributes).map_err(|_| Errno::INVAL)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(attributes))
}

/// A copy of a tree of the host, which lies below the container's root still. A part of it could reveal what another mount
/// hides, so in a user namespace the kernel allows only the whole.
pub(super) fn host_tree(path: &str, attributes: u64, extent: Extent) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, extent == Extent::All);
    let tree = rustix::mount::open_tree(CWD, path, flags)?;
    let change = Change { set: attributes & !attribute::ATIME_FIELD, ..Change::default() };
    sys::mount::set_attributes(tree.as_fd(), change, extent.into()).map_err(errno)?;
    Ok(tree)
}
