//! What is mounted in a container, parents before what is below them.

use super::{CgroupVersion, SpecError, Surroundings};
use crate::{CgroupNamespaceMode, Config, Container, IpcMode, MountPoint, MountSource, NetworkMode, PidMode, target};
use oci::runtime::Mount;
use std::collections::HashSet;
use std::path::Path;

const DEFAULT_SHM_SIZE: u64 = 64 << 20;
const NO_SUID_EXEC_DEV: [&str; 3] = ["nosuid", "noexec", "nodev"];

/// Files below /proc that may be mounted over: those that lxcfs stands in for, as runc allows.
const PROC_FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// First the defaults that nothing of the user's replaces, then the user's mounts and the engine's files by depth.
pub(super) fn all(container: &Container, around: &Surroundings) -> Result<Vec<Mount>, SpecError> {
    let mut asked =
        container.mounts.iter().map(|point| requested(point, container, around)).collect::<Result<Vec<_>, _>>()?;
    let taken: HashSet<String> = asked.iter().map(|mount| mount.destination.clone()).collect();
    let is_covered = |path: &str| {
        let below = |folder: &str| taken.contains(folder) && target::is_within(path, folder);
        taken.contains(path) || below("/dev") || below("/sys/fs/cgroup")
    };
    let mut list = defaults(container, around)?;
    list.retain(|mount| !is_covered(&mount.destination));
    asked.extend(files(container, around).into_iter().filter(|mount| !taken.contains(&mount.destination)));
    asked.sort_by(|a, b| {
        (target::depth(&a.destination), &a.destination).cmp(&(target::depth(&b.destination), &b.destination))
    });
    list.append(&mut asked);
    Ok(list)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn defaults(container: &Container, around: &Surroundings) -> Result<Vec<Mount>, SpecError> {
    let mut list = vec![
        proc(container),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        terminals(container, around),
        sys(container),
    ];
    list.extend(cgroups(container, around));
    list.extend(mqueue(container));
    list.extend(shm(container, around)?);
    Ok(list)
}

/// Terminals belong to the group `tty`, where the container has that id.
fn terminals(container: &Container, around: &Surroundings) -> Mount {
    const TTY: u32 = 5;
    let options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    let mut made = mount("/dev/pts", "devpts", "devpts", &options);
    if super::limit::last_group(container, around) >= TTY {
        made.options.push(format!("gid={TTY}"));
    }
    made
}

/// A user namespace cannot mount what belongs to a namespace of the host: it sees the host's own mount, read-only.
fn from_host(path: &str) -> Mount {
    mount(path, "bind", path, &["rbind", "nosuid", "noexec", "nodev", "ro", "rprivate"])
}

fn proc(container: &Container) -> Mount {
    if container.own_user_namespace && container.config.pid == PidMode::Host {
        return mount("/proc", "bind", "/proc", &["rbind", "nosuid", "noexec", "nodev", "rprivate"]);
    }
    mount("/proc", "proc", "proc", &NO_SUID_EXEC_DEV)
}

fn sys(container: &Container) -> Mount {
    if container.own_user_namespace && container.config.network == NetworkMode::Host {
        return from_host("/sys");
    }
    let mut sys = mount("/sys", "sysfs", "sysfs", &NO_SUID_EXEC_DEV);
    sys.options.extend(read_only_unless_privileged(&container.config));
    sys
}

fn read_only_unless_privileged(config: &Config) -> Option<String> {
    (!config.privileged).then(|| "ro".to_owned())
}

/// v2: the one hierarchy. v1: a tmpfs with a mount for each, and links for the single names of joint ones made by the runtime
/// from the option list (`cpu,cpuacct` is mounted with the options `cpu` and `cpuacct`). The root of each is the container's
/// group by the cgroup namespace.
fn cgroups(container: &Container, around: &Surroundings) -> Vec<Mount> {
    let config = &container.config;
    if container.own_user_namespace && config.cgroup_namespace == CgroupNamespaceMode::Host {
        return vec![from_host("/sys/fs/cgroup")];
    }
    let cgroup = |destination: &str, kind: &str, controllers: &[&str]| {
        let mut made = mount(destination, kind, "cgroup", &NO_SUID_EXEC_DEV);
        made.options.extend(read_only_unless_privileged(config).filter(|_| !config.writable_cgroups));
        made.options.extend(controllers.iter().map(|name| (*name).to_owned()));
        made
    };
    if around.cgroup_version == CgroupVersion::V2 {
        return vec![cgroup("/sys/fs/cgroup", "cgroup2", &[])];
    }
    let mut list =
        vec![mount("/sys/fs/cgroup", "tmpfs", "tmpfs", &["nosuid", "noexec", "nodev", "mode=755", "size=65536k"])];
    for hierarchy in &around.cgroup_hierarchies {
        let folder = hierarchy.strip_prefix("name=").unwrap_or(hierarchy);
        let controllers: Vec<&str> = hierarchy.split(',').collect();
        list.push(cgroup(&format!("/sys/fs/cgroup/{folder}"), "cgroup", &controllers));
    }
    list
}

fn mqueue(container: &Container) -> Option<Mount> {
    if container.own_user_namespace && container.config.ipc == IpcMode::Host {
        return Path::new("/dev/mqueue")
            .is_dir()
            .then(|| mount("/dev/mqueue", "bind", "/dev/mqueue", &["bind", "rprivate"]));
    }
    Some(mount("/dev/mqueue", "mqueue", "mqueue", &NO_SUID_EXEC_DEV))
}

fn shm(container: &Container, around: &Surroundings) -> Result<Option<Mount>, SpecError> {
    let config = &container.config;
    Ok(match &config.ipc {
        IpcMode::None => None,
        IpcMode::Host => Some(bind("/dev/shm", "/dev/shm", &["rbind", "rprivate"], is_shifted(container, around))),
        IpcMode::Container(id) => {
            let source = super::joined(around.join_shm.as_ref(), "IPC", id)?;
            Some(bind("/dev/shm", &source, &["bind", "rprivate"], false))
        }
        IpcMode::Private | IpcMode::Shareable => {
            let size = if config.shm_size == 0 { DEFAULT_SHM_SIZE } else { config.shm_size };
            let mut shm = mount("/dev/shm", "tmpfs", "shm", &NO_SUID_EXEC_DEV);
            shm.options.extend(["mode=1777".to_owned(), format!("size={size}")]);
            Some(shm)
        }
    })
}

/// Whether ids of the container are others outside of it. If not, files need no mapping.
fn is_shifted(container: &Container, around: &Surroundings) -> bool {
    container.own_user_namespace && around.id_map.iter().any(|map| map.container_id != map.host_id)
}

fn bind(destination: &str, source: &str, options: &[&str], id_mapped: bool) -> Mount {
    let mut made = mount(destination, "bind", source, options);
    if id_mapped {
        made.options.push("idmap".to_owned());
    }
    made
}

/// The engine's files over the image's, read-only where the root is; and the small init.
fn files(container: &Container, around: &Surroundings) -> Vec<Mount> {
    let config = &container.config;
    let options: &[&str] = if config.readonly_rootfs { &["bind", "ro", "rprivate"] } else { &["bind", "rprivate"] };
    let file = |destination: &str, source: &Path, options: &[&str]| {
        bind(destination, &source.to_string_lossy(), options, is_shifted(container, around))
    };
    let mut list = vec![
        file("/etc/hostname", &around.hostname_file, options),
        file("/etc/hosts", &around.hosts_file, options),
        file("/etc/resolv.conf", &around.resolv_file, options),
    ];
    if super::process::has_init(config) {
        list.push(file(super::process::INIT, &around.binary, &["bind", "ro", "rprivate"]));
    }
    list
}

/// A mount of the user's.
fn requested(point: &MountPoint, container: &Container, around: &Surroundings) -> Result<Mount, SpecError> {
    let shifted = is_shifted(container, around);
    let request = &point.request;
    let invalid = |why: &str| SpecError::Invalid(format!("invalid mount path: '{}' {why}", request.target));
    let destination = target::clean(&request.target).ok_or_else(|| invalid("mount path must be absolute"))?;
    if destination == "/" {
        return Err(SpecError::Invalid("invalid specification: destination can't be '/'".to_owned()));
    }
    let is_bind = !matches!(request.source, MountSource::Tmpfs { .. });
    check_target(&destination, is_bind.then_some(point.source.as_str()))?;
    match &request.source {
        MountSource::Tmpfs { size, mode, options } => tmpfs(&destination, *size, *mode, options, request.readonly),
        // A mount of its own, with owners as the container has them already.
        MountSource::Image { .. } | MountSource::Layers { scratch: None, .. } => {
            Ok(bind(&destination, &point.source, &["bind", "ro", "rprivate"], false))
        }
        MountSource::Layers { .. } => Ok(bind(&destination, &point.source, &["bind", "rprivate"], false)),
        MountSource::Volume { .. } => {
            let mut options = vec!["rbind"];
            options.extend(request.readonly.then_some("rro"));
            options.push("rprivate");
            Ok(bind(&destination, &point.source, &options, shifted))
        }
        MountSource::Bind { recursive, propagation, recursive_readonly, .. } => {
            let mut options = vec![if *recursive { "rbind" } else { "bind" }];
            options.extend(request.readonly.then_some(if *recursive_readonly { "rro" } else { "ro" }));
            options.push(propagation_option(propagation)?);
            options.extend(point.restrictions.iter().map(String::as_str));
            Ok(bind(&destination, &point.source, &options, shifted))
        }
    }
}

fn propagation_option(text: &str) -> Result<&str, SpecError> {
    match text {
        "" => Ok("rprivate"),
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => Ok(text),
        other => Err(SpecError::Invalid(format!("invalid propagation mode: {other}"))),
    }
}

/// Refuses what would put something else in place of /proc: labels and parameters are written there while the container is
/// set up (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881). Only the host's own /proc may be bound over the whole of it.
pub(super) fn check_target(destination: &str, bind_source: Option<&str>) -> Result<(), SpecError> {
    if !target::is_within(destination, "/proc") || PROC_FILES.contains(&destination) {
        return Ok(());
    }
    if destination != "/proc" {
        return Err(SpecError::Invalid(format!("{destination:?} cannot be mounted because it is inside /proc")));
    }
    match bind_source.and_then(target::clean) {
        Some(source) if source == "/proc" => Ok(()),
        _ => Err(SpecError::Invalid(format!("{destination:?} cannot be mounted because it is not of type proc"))),
    }
}

fn tmpfs(
    destination: &str,
    size: Option<u64>,
    mode: Option<u32>,
    options: &[String],
    readonly: bool,
) -> Result<Mount, SpecError> {
    let mut made = mount(destination, "tmpfs", "tmpfs", &[]);
    let mut wanted: Vec<String> = ["noexec", "nosuid", "nodev"].map(str::to_owned).to_vec();
    wanted.extend(options.iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty()).map(str::to_owned));
    wanted.extend(mode.map(|mode| format!("mode={:o}", mode & 0o7777)));
    wanted.extend(size.map(|size| format!("size={size}")));
    wanted.extend(readonly.then(|| "ro".to_owned()));
    made.options = last_of_each(&wanted)?;
    Ok(made)
}

/// Of options that contradict each other the last one stays; `defaults` says nothing (moby/sys mount `MergeTmpfsOptions`).
fn last_of_each(options: &[String]) -> Result<Vec<String>, SpecError> {
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(options.len());
    for option in options.iter().rev().filter(|option| *option != "defaults") {
        let subject = tmpfs_subject(option).ok_or_else(|| {
            SpecError::Invalid(format!("invalid tmpfs option {:?}", option.split('=').next().unwrap_or_default()))
        })?;
        if seen.insert(subject) {
            kept.push(option.clone());
        }
    }
    kept.reverse();
    Ok(kept)
}

/// What an option is about, the same for both of a pair; `None` when tmpfs has no such option.
fn tmpfs_subject(option: &str) -> Option<&str> {
    match option {
        "ro" | "rw" => Some("ro"),
        "suid" | "nosuid" => Some("suid"),
        "dev" | "nodev" => Some("dev"),
        "exec" | "noexec" => Some("exec"),
        "sync" | "async" => Some("sync"),
        "dirsync" | "mand" | "nomand" => Some(option),
        "atime" | "noatime" => Some("atime"),
        "diratime" | "nodiratime" => Some("diratime"),
        "relatime" | "norelatime" => Some("relatime"),
        "strictatime" | "nostrictatime" => Some("strictatime"),
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable" => {
            Some("propagation")
        }
        _ => {
            let (name, _) = option.split_once('=')?;
            ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"].contains(&name).then_some(name)
        }
    }
}

#[cfg(test)]
#[path = "mount_tests.rs"]
mod tests;
