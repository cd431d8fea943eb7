//! One mount of a specification: a bind is opened now, a file system is described for the init or made now.

use super::options::{self, Options};
use super::{Fds, Making, PrepareError, Result, binds};
use crate::stage::create_file_system;
use crate::{MountSource, MountStep, Seed};
use oci::runtime::Mount;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use sys::mount::{Change, Reach, attribute};

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

pub(super) fn step(mount: &Mount, making: &mut Making<'_>) -> Result<MountStep> {
    let destination = place(&mount.destination, making);
    check_destination(&destination)?;
    let options = options::parse(mount);
    let kind = mount.kind.as_deref().unwrap_or_default();
    let mut propagation = Vec::new();
    let source = match options.bind {
        Some(below) => binds::open(mount, &options, below, making)?,
        None if kind.is_empty() => {
            return Err(PrepareError::Invalid(format!("the mount at {destination} has no type")));
        }
        None if OF_THE_INIT.contains(&kind) => {
            if making.is_bundle() {
                propagation.clone_from(&options.propagation);
            }
            new_instance(mount, kind, &options, making)
        }
        None => made_here(mount, kind, &options, making)?,
    };
    check_proc(&destination, kind, &source, &making.fds)?;
    let origin = if making.is_bundle() { mount.source.clone().unwrap_or_default() } else { String::new() };
    Ok(MountStep { destination, source, propagation, origin })
}

/// Bundles may name a place by its path outside, or without the leading slash (runc warns of that).
pub(super) fn place(destination: &str, making: &Making<'_>) -> String {
    let Some(root) = &making.root else { return destination.to_owned() };
    match binds::below(root, destination) {
        Some(inside) => inside,
        None if destination.starts_with('/') || destination.is_empty() => destination.to_owned(),
        None => format!("/{destination}"),
    }
}

pub(super) fn check_destination(destination: &str) -> Result<()> {
    let invalid = |why| Err(PrepareError::Invalid(format!("the mount destination {destination:?} {why}")));
    if !destination.starts_with('/') {
        return invalid("is not absolute");
    }
    if destination.contains('\0') {
        return invalid("has a NUL inside");
    }
    if binds::plain(Path::new(destination)) == Path::new("/") {
        return invalid("is the root");
    }
    Ok(())
}

/// A mount over /proc must be a procfs (CVE-2019-16884, CVE-2023-28642), one below it must be harmless.
fn check_proc(destination: &str, kind: &str, source: &MountSource, fds: &Fds) -> Result<()> {
    let path = binds::plain(Path::new(destination)).to_string_lossy().into_owned();
    if path != "/proc" && !path.starts_with("/proc/") {
        return Ok(());
    }
    let refuse = |path: &str| {
        let why = if path == "/proc" { "it is not of type proc" } else { "it is inside /proc" };
        PrepareError::Invalid(format!("{destination:?} cannot be mounted because {why}"))
    };
    let allowed = match source {
        MountSource::New { .. } => kind == "proc" && path == "/proc",
        MountSource::Detached { fd, .. } if path == "/proc" => usize::try_from(*fd)
            .ok()
            .and_then(|position| fds.0.get(position))
            .and_then(|fd| rustix::fs::fstatfs(fd).ok())
            .is_some_and(|stat| stat.f_type == PROC_SUPER_MAGIC),
        MountSource::Detached { .. } => INSIDE_PROC.contains(&path.as_str()),
        _ => false,
    };
    if allowed { Ok(()) } else { Err(refuse(&path)) }
}

fn new_instance(mount: &Mount, kind: &str, options: &Options, making: &Making<'_>) -> MountSource {
    let attributes = options.attributes.set | options.recursive.set;
    let mut words = options.for_new();
    let mut seed = options.seed;
    if making.is_bundle() {
        words.extend(name_of_source(mount));
        if kind == "tmpfs" && seed == Seed::Nothing && !words.iter().any(|(key, _)| key == "mode") {
            seed = Seed::Mode;
        }
    }
    MountSource::New { kind: kind.to_owned(), options: words, attributes, seed }
}

/// What the first field of /proc/mounts shows.
pub(super) fn name_of_source(mount: &Mount) -> Option<(String, Option<String>)> {
    let source = mount.source.clone().filter(|source| !source.is_empty())?;
    Some(("source".to_owned(), Some(source)))
}

/// A file system of the host (a disk, NFS), made with the engine's rights.
fn made_here(mount: &Mount, kind: &str, options: &Options, making: &mut Making<'_>) -> Result<MountSource> {
    let mut data = options.for_new();
    data.extend(name_of_source(mount));
    let attributes = options.attributes.set | options.recursive.set;
    if attributes & attribute::RDONLY != 0 {
        // A disk that cannot be written to cannot be mounted otherwise.
        data.push(("ro".to_owned(), None));
    }
    let made = create_file_system(kind, &data, attributes);
    let fd = made.map_err(|e| match making.is_bundle() {
        true => binds::mount_error(mount, &format!("mount of type {kind}"), e.into()),
        false => source_error(mount, e.into()),
    })?;
    if making.user.is_some() && !making.is_bundle() {
        let id_map = making.user;
        // Where it cannot be: as a bind of it would be.
        let _ = sys::mount::set_attributes(fd.as_fd(), Change { id_map, ..Change::default() }, Reach::One);
    }
    Ok(MountSource::Detached { fd: making.fds.add(fd)?, file: false })
}

pub(super) fn source_error(mount: &Mount, source: io::Error) -> PrepareError {
    let path = mount.source.clone().unwrap_or_default();
    PrepareError::Source { path, destination: mount.destination.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rules;
    use oci::runtime::Linux;

    fn step(mount: &Mount) -> Result<MountStep> {
        step_by(mount, &Rules::Engine)
    }

    fn step_by(mount: &Mount, rules: &Rules) -> Result<MountStep> {
        let linux = Linux::default();
        let root = match rules {
            Rules::Engine => None,
            Rules::Bundle(folder) => Some(folder.join("rootfs")),
        };
        let (owners, fds) = (Default::default(), Fds::default());
        super::step(mount, &mut Making { linux: &linux, rules, root, user: None, owners, fds })
    }

    fn mount(kind: &str, destination: &str) -> Mount {
        Mount { destination: destination.into(), kind: Some(kind.into()), ..Mount::default() }
    }

    #[test]
    fn destinations_must_be_absolute_and_not_the_root() {
        for destination in ["", "x", "/", "//", "/.", "/..", "/a/..", "/a\0b"] {
            assert!(step(&mount("tmpfs", destination)).is_err(), "{destination:?}");
        }
    }

    #[test]
    fn only_procfs_goes_over_proc() {
        for (kind, destination) in [
            ("tmpfs", "/proc"),
            ("tmpfs", "//proc/"),
            ("tmpfs", "/../proc"),
            ("tmpfs", "/x/../proc/sys"),
            ("tmpfs", "/proc/self"),
            ("proc", "/proc/x"),
        ] {
            assert!(step(&mount(kind, destination)).is_err(), "{destination}");
        }
        assert!(step(&mount("proc", "/proc")).is_ok());
        assert!(step(&mount("tmpfs", "/process")).is_ok());
    }

    #[test]
    fn a_missing_source_is_named() {
        let mut missing = mount("bind", "/data");
        missing.source = Some("/nowhere/at/all".into());
        match step(&missing) {
            Err(PrepareError::Source { path, source, .. }) => {
                assert_eq!((path.as_str(), source.kind()), ("/nowhere/at/all", io::ErrorKind::NotFound));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bundles_may_spell_places_in_other_ways() {
        let rules = Rules::Bundle("/bundle".into());
        let place = |destination: &str| step_by(&mount("tmpfs", destination), &rules).map(|step| step.destination);
        assert_eq!(place("data/x").unwrap(), "/data/x");
        assert_eq!(place("/bundle/rootfs/data").unwrap(), "/data");
        assert_eq!(place("/bundle/rootfsdata").unwrap(), "/bundle/rootfsdata");
        assert!(place("/bundle/rootfs/").is_err());
        assert_eq!(place("/bundle/x/../rootfs/./data").unwrap(), "/data");
        assert_eq!(place("/bundle/rootfs/../data").unwrap(), "/bundle/rootfs/../data");
        let inside = Mount { source: Some("/bundle/rootfs/mnt".into()), ..mount("bind", "/x") };
        match step_by(&inside, &rules).unwrap().source {
            MountSource::Inside { path, .. } => assert_eq!(path, "/mnt"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tmpfs_of_a_bundle_keeps_the_mode_of_the_folder_it_covers() {
        let rules = Rules::Bundle("/bundle".into());
        let seed = |option: &str| {
            let options = vec![option.to_owned()];
            match step_by(&Mount { options, ..mount("tmpfs", "/x") }, &rules).unwrap().source {
                MountSource::New { seed, .. } => seed,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!([seed("size=1m"), seed("mode=700"), seed("tmpcopyup")], [Seed::Mode, Seed::Nothing, Seed::Files]);
    }
}
