//! The runtime specification of a container.
//!
//! [`build`] starts from Docker's defaults and changes them as the configuration says; each part has its file:
//! what is mounted, the devices, the capabilities, the process, limits, and the paths of /proc and /sys that are hidden.
//! [`hosts_text`] and [`resolv_text`] are the files the engine binds over the image's.

mod capability;
mod device;
mod files;
mod limit;
mod mount;
mod path;
mod process;

pub use capability::capabilities;
pub use files::{hosts_text, own_resolv_text, resolv_text};
pub use process::{exec_process, hostname};

use crate::{CgroupNamespaceMode, Config, Container, IpcMode, MountSource, NetworkMode, PidMode, UtsMode, user};
use base::{Kind, Kinded};
use oci::runtime::{Hooks, IdMapping, Linux, Namespace, NamespaceKind, Resources, Root, Spec};
use std::path::PathBuf;

/// The version of the runtime specification that is written.
const OCI_VERSION: &str = "1.2.0";

/// What the specification needs besides the record.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub user: user::Found,
    /// The maps of the user namespace the container is in, its own or the engine's; empty in the machine's.
    pub id_map: Vec<IdMapping>,
    /// Files of the engine for this container, bound over /etc/{hostname,hosts,resolv.conf}.
    pub hostname_file: PathBuf,
    pub hosts_file: PathBuf,
    pub resolv_file: PathBuf,
    /// The dhow binary, bound at /sbin/docker-init when `config.init`.
    pub binary: PathBuf,
    pub cgroup_version: CgroupVersion,
    /// v1 hierarchies to show (`cpu,cpuacct`, `memory`, ...); empty on v2.
    pub cgroup_hierarchies: Vec<String>,
    /// Paths (`/proc/PID/ns/...`) of namespaces of other containers to join.
    pub join_pid: Option<String>,
    pub join_ipc: Option<String>,
    /// /dev/shm of the container whose ipc namespace is joined: `/proc/PID/root/dev/shm`.
    pub join_shm: Option<String>,
    /// Capabilities the engine itself can give (its bounding set), bit n is number n.
    pub capability_bound: u64,
    /// Host gateway for `host-gateway` entries; `None` without a bridge.
    pub host_gateway: Option<std::net::IpAddr>,
    /// RLIMIT_NOFILE of the engine (soft, hard), which a container inherits when the user asks for none.
    pub nofile: (u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    V1,
    V2,
}

/// Why no specification can be made. Texts as Docker's where it has one.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error("{0}")]
    Capability(String),
    #[error("{0}")]
    Invalid(String),
    #[error("cannot use device {path}")]
    Device { path: String, source: std::io::Error },
}

impl Kinded for SpecError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// What `docker exec` asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    pub user: String,
    pub privileged: bool,
    pub tty: bool,
    pub console_size: Option<(u16, u16)>,
}

/// The specification of `container`: Docker's default mounts, masked paths, capabilities, devices and namespaces, changed as the configuration says.
///
/// `linux.seccomp` and `linux.cgroupsPath` are left out: the engine compiles and caches filters, and places the group.
/// A network or user namespace is listed without a path, also when it is another container's: the engine hands it over as a
/// file descriptor. The default device nodes (null, zero, full, random, urandom, tty, ptmx, console) and links of /dev are
/// the runtime's, as in runtime-spec config-linux.md "Default Devices", and not listed.
///
/// Bind mounts carry the option `idmap` when the container has a user namespace of its own: their files, the engine's
/// three included, keep the owner they have on disk. The one exception is a joined /dev/shm.
pub fn build(container: &Container, around: &Surroundings) -> Result<Spec, SpecError> {
    let config = &container.config;
    check_extra_hosts(config, around)?;
    let devices = device::collect(container)?;
    let resources = limits(container, &devices);
    Ok(Spec {
        oci_version: OCI_VERSION.to_owned(),
        process: Some(process::init(container, around)?),
        root: Some(Root { path: "rootfs".to_owned(), readonly: config.readonly_rootfs }),
        hostname: (config.uts == UtsMode::Private).then(|| hostname(container)),
        domainname: (config.uts == UtsMode::Private && !config.domainname.is_empty())
            .then(|| config.domainname.clone()),
        mounts: mount::all(container, around)?,
        linux: Some(Linux {
            uid_mappings: maps(container, around),
            gid_mappings: maps(container, around),
            sysctl: limit::sysctls(container, around)?,
            resources: Some(resources),
            namespaces: namespaces(container, around)?,
            devices: devices.into_iter().map(|found| found.device).collect(),
            rootfs_propagation: root_propagation(container),
            masked_paths: path::masked(config),
            readonly_paths: path::readonly(config),
            ..Linux::default()
        }),
        hooks: (config.hooks != Hooks::default()).then(|| config.hooks.clone()),
        annotations: config.annotations.clone(),
    })
}

/// What the processes of `container` may use, as its specification says it.
pub fn resources(container: &Container) -> Result<Resources, SpecError> {
    Ok(limits(container, &device::collect(container)?))
}

fn limits(container: &Container, devices: &[device::Found]) -> Resources {
    Resources { devices: device::rules(container, devices), ..container.config.resources.clone() }
}

fn maps(container: &Container, around: &Surroundings) -> Vec<IdMapping> {
    if container.own_user_namespace { around.id_map.clone() } else { Vec::new() }
}

fn namespaces(container: &Container, around: &Surroundings) -> Result<Vec<Namespace>, SpecError> {
    let config = &container.config;
    let mut list = vec![Namespace { kind: NamespaceKind::Mount, path: None }];
    let mut add = |kind, path: Option<String>| list.push(Namespace { kind, path });
    if config.network != NetworkMode::Host {
        add(NamespaceKind::Network, None);
    }
    if config.uts == UtsMode::Private {
        add(NamespaceKind::Uts, None);
    }
    match &config.pid {
        PidMode::Private => add(NamespaceKind::Pid, None),
        PidMode::Host => {}
        PidMode::Container(id) => add(NamespaceKind::Pid, Some(joined(around.join_pid.as_ref(), "PID", id)?)),
    }
    match &config.ipc {
        IpcMode::Private | IpcMode::Shareable | IpcMode::None => add(NamespaceKind::Ipc, None),
        IpcMode::Host => {}
        IpcMode::Container(id) => add(NamespaceKind::Ipc, Some(joined(around.join_ipc.as_ref(), "IPC", id)?)),
    }
    if container.own_user_namespace {
        add(NamespaceKind::User, None);
    }
    if config.cgroup_namespace == CgroupNamespaceMode::Private {
        add(NamespaceKind::Cgroup, None);
    }
    Ok(list)
}

/// The path of a namespace to join; its container may have stopped meanwhile.
fn joined(path: Option<&String>, kind: &str, id: &str) -> Result<String, SpecError> {
    path.cloned()
        .ok_or_else(|| SpecError::Invalid(format!("failed to join {kind} namespace: container {id} is not running")))
}

/// Binds that propagate need a root that does.
fn root_propagation(container: &Container) -> Option<String> {
    let wanted = |names: [&str; 2]| {
        container.mounts.iter().any(|mount| match &mount.request.source {
            MountSource::Bind { propagation, .. } => names.contains(&propagation.as_str()),
            _ => false,
        })
    };
    if wanted(["shared", "rshared"]) {
        Some("shared".to_owned())
    } else {
        wanted(["slave", "rslave"]).then(|| "rslave".to_owned())
    }
}

fn check_extra_hosts(config: &Config, around: &Surroundings) -> Result<(), SpecError> {
    let wants_gateway = config.extra_hosts.iter().any(|(_, address)| address == files::HOST_GATEWAY);
    if wants_gateway && around.host_gateway.is_none() {
        return Err(SpecError::Invalid("unable to derive the IP value for host-gateway".to_owned()));
    }
    Ok(())
}

/// What a container that asks for nothing may use: no limits, and Docker's rules of the device cgroup.
///
/// The specification of such a container has exactly these, so a group made beforehand needs no change for it.
pub fn ordinary_resources() -> Resources {
    Resources { devices: device::default_rules(), ..Resources::default() }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
