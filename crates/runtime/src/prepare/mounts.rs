//! One mount of a specification: a bind is opened now, a file system is described for the init or made now.

use super::options::{self, Below, Options};
use super::{Fds, PrepareError, Result};
use crate::stage::create_file_system;
use crate::{MountSource, MountStep};
use oci::runtime::Mount;
use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::mount::{Change, Propagation, Reach};

/// File systems that belong to the namespaces of the container, so that only its init can make them.
const OF_THE_INIT: [&str; 7] = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"];

/// What may be mounted below /proc: files that monitoring file systems replace, and nothing that is trusted (as runc).
const INSIDE_PROC: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// statfs(2): the magic number of procfs.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

pub(super) fn step(mount: &Mount, user: Option<BorrowedFd<'_>>, fds: &mut Fds) -> Result<MountStep> {
    check_destination(&mount.destination)?;
    let options = options::parse(mount);
    let kind = mount.kind.as_deref().unwrap_or_default();
    let destination = mount.destination.clone();
    let source = match options.bind {
        Some(below) => bind(mount, &options, below, user, fds)?,
        None if kind.is_empty() => {
            return Err(PrepareError::Invalid(format!("the mount at {destination} has no type")));
        }
        None if OF_THE_INIT.contains(&kind) => new_instance(kind, &options),
        None => made_here(mount, kind, &options, user, fds)?,
    };
    check_proc(&destination, kind, &source, fds)?;
    Ok(MountStep { destination, source })
}

pub(super) fn check_destination(destination: &str) -> Result<()> {
    let invalid = |why| Err(PrepareError::Invalid(format!("the mount destination {destination:?} {why}")));
    if !destination.starts_with('/') {
        return invalid("is not absolute");
    }
    if destination.contains('\0') {
        return invalid("has a NUL inside");
    }
    if destination.split('/').all(|part| part.is_empty() || part == "." || part == "..") {
        return invalid("is the root");
    }
    Ok(())
}

/// A mount over /proc must be a procfs (CVE-2019-16884, CVE-2023-28642), one below it must be harmless.
fn check_proc(destination: &str, kind: &str, source: &MountSource, fds: &Fds) -> Result<()> {
    let parts: Vec<_> = destination.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.first() != Some(&"proc") {
        return Ok(());
    }
    let refuse = || PrepareError::Invalid(format!("{destination} is inside /proc"));
    let path = format!("/{}", parts.join("/"));
    let allowed = match source {
        MountSource::New { .. } => kind == "proc" && path == "/proc",
        MountSource::Detached { fd, .. } if path == "/proc" => usize::try_from(*fd)
            .ok()
            .and_then(|position| fds.0.get(position))
            .and_then(|fd| rustix::fs::fstatfs(fd).ok())
            .is_some_and(|stat| stat.f_type == PROC_SUPER_MAGIC),
        MountSource::Detached { .. } => INSIDE_PROC.contains(&path.as_str()),
    };
    if allowed { Ok(()) } else { Err(refuse()) }
}

fn new_instance(kind: &str, options: &Options) -> MountSource {
    let attributes = options.attributes.set | options.recursive.set;
    MountSource::New { kind: kind.to_owned(), options: options.data.clone(), attributes }
}

/// A file system of the host (a disk, NFS), made with the engine's rights.
fn made_here(
    mount: &Mount,
    kind: &str,
    options: &Options,
    user: Option<BorrowedFd<'_>>,
    fds: &mut Fds,
) -> Result<MountSource> {
    let mut data = options.data.clone();
    data.extend(mount.source.clone().map(|source| ("source".to_owned(), Some(source))));
    let made = create_file_system(kind, &data, options.attributes.set | options.recursive.set);
    let fd = made.map_err(|e| source_error(mount, e.into()))?;
    if user.is_some() {
        // Where it cannot be: as a bind of it would be.
        let _ = sys::mount::set_attributes(fd.as_fd(), Change { id_map: user, ..Change::default() }, Reach::One);
    }
    Ok(MountSource::Detached { fd: fds.add(fd)?, file: false })
}

fn source_error(mount: &Mount, source: io::Error) -> PrepareError {
    let path = mount.source.clone().unwrap_or_default();
    PrepareError::Source { path, destination: mount.destination.clone(), source }
}

fn bind(
    mount: &Mount,
    options: &Options,
    below: Below,
    user: Option<BorrowedFd<'_>>,
    fds: &mut Fds,
) -> Result<MountSource> {
    let opened = || {
        let path = mount.source.as_deref().filter(|path| !path.is_empty()).ok_or(Errno::NOENT)?;
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        flags.set(OpenTreeFlags::AT_RECURSIVE, below == Below::With);
        let tree = rustix::mount::open_tree(CWD, path, flags)?;
        let stat = rustix::fs::statat(&tree, "", AtFlags::EMPTY_PATH)?;
        configure(tree.as_fd(), options, below, user)?;
        Ok::<(OwnedFd, bool), io::Error>((tree, FileType::from_raw_mode(stat.st_mode) != FileType::Directory))
    };
    let (tree, file) = opened().map_err(|e| source_error(mount, e))?;
    Ok(MountSource::Detached { fd: fds.add(tree)?, file })
}

/// Sets attributes, id map and propagation of a bind, mostly in one call.
///
/// Not every file system can be id-mapped, and a recursive change is made to all mounts or to none. So: all mapped, else the
/// topmost mapped, else none; files then have the owners that the container's user namespace gives them.
fn configure(tree: BorrowedFd<'_>, options: &Options, below: Below, user: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let everywhere = options.recursive.for_setattr();
    let (propagation, reach) = options.propagation.unwrap_or((Propagation::Private, Reach::Recursive));
    let mut all = Change { set: everywhere.set, clear: everywhere.clear, ..Change::default() };
    all.propagation = (reach == Reach::Recursive).then_some(propagation);
    let wide = if below == Below::With { Reach::Recursive } else { Reach::One };
    let here = options.attributes.for_setattr();
    let mut top = Change { set: here.set, clear: here.clear, ..Change::default() };
    top.propagation = (reach == Reach::One).then_some(propagation);
    let plain = (all, wide);
    all.id_map = user;
    let mapped = user.is_some() && sys::mount::set_attributes(tree, all, wide).is_ok();
    if !mapped {
        let (all, wide) = plain;
        sys::mount::set_attributes(tree, all, wide)?;
        if user.is_some() && wide == Reach::Recursive {
            let only_map = Change { id_map: user, ..Change::default() };
            let _ = sys::mount::set_attributes(tree, only_map, Reach::One);
        }
    }
    if top.set | top.clear != 0 || top.propagation.is_some() {
        sys::mount::set_attributes(tree, top, Reach::One)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, destination: &str) -> Mount {
        Mount { destination: destination.into(), kind: Some(kind.into()), ..Mount::default() }
    }

    #[test]
    fn destinations_must_be_absolute_and_not_the_root() {
        for destination in ["", "x", "/", "//", "/.", "/..", "/a\0b"] {
            assert!(step(&mount("tmpfs", destination), None, &mut Fds::default()).is_err(), "{destination:?}");
        }
    }

    #[test]
    fn only_procfs_goes_over_proc() {
        for (kind, destination) in
            [("tmpfs", "/proc"), ("tmpfs", "//proc/"), ("tmpfs", "/proc/self"), ("proc", "/proc/x")]
        {
            assert!(step(&mount(kind, destination), None, &mut Fds::default()).is_err(), "{destination}");
        }
        assert!(step(&mount("proc", "/proc"), None, &mut Fds::default()).is_ok());
        assert!(step(&mount("tmpfs", "/process"), None, &mut Fds::default()).is_ok());
    }

    #[test]
    fn a_missing_source_is_named() {
        let mut missing = mount("bind", "/data");
        missing.source = Some("/nowhere/at/all".into());
        match step(&missing, None, &mut Fds::default()) {
            Err(PrepareError::Source { path, source, .. }) => {
                assert_eq!((path.as_str(), source.kind()), ("/nowhere/at/all", io::ErrorKind::NotFound));
            }
            other => panic!("{other:?}"),
        }
    }
}
