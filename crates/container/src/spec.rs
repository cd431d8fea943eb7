//! The runtime specification of a container.

use crate::{Config, Container, user};
use oci::runtime::{IdMapping, Process, Spec};
use std::path::PathBuf;

/// What the specification needs besides the record.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub user: user::Found,
    /// The maps of the user namespace; empty without one.
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
    /// RLIMIT_NOFILE of the engine (soft, hard), given on when the user asks for none.
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
    #[error("invalid capability: {0}")]
    Capability(String),
    #[error("{0}")]
    Invalid(String),
    #[error("cannot use device {path}")]
    Device { path: String, source: std::io::Error },
}

/// The specification of `container`: Docker's default mounts, masked paths, capabilities, devices and namespaces, changed as the configuration says.
/// `linux.seccomp` is left out: the engine compiles and caches filters.
pub fn build(container: &Container, around: &Surroundings) -> Result<Spec, SpecError> {
    let _ = (container, around);
    todo!()
}

/// The process part of an exec in `container`.
pub fn exec_process(container: &Container, exec: &ExecRequest, user: &user::Found, capability_bound: u64) -> Result<Process, SpecError> {
    let _ = (container, exec, user, capability_bound);
    todo!()
}

/// The capabilities a configuration ends up with, bit n is number n.
pub fn capabilities(config: &Config, bound: u64) -> Result<u64, SpecError> {
    let _ = (config, bound);
    todo!()
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

/// The texts of /etc/hosts and /etc/resolv.conf.
///
/// `host_resolv` is the host's resolv.conf: loopback name servers are left out, and public ones stand in when none is left (as Docker does).
pub fn hosts_text(container: &Container, address: Option<std::net::Ipv4Addr>, host_gateway: Option<std::net::IpAddr>) -> String {
    let _ = (container, address, host_gateway);
    todo!()
}

/// See [`hosts_text`].
pub fn resolv_text(config: &Config, host_resolv: &str) -> String {
    let _ = (config, host_resolv);
    todo!()
}
