//! What was typed becomes what is meant: the wire's create request into [`container::Config`].
//!
//! Everything is checked here, in Docker's words and order where it has them. What this engine cannot do yet is refused and never
//! silently left out.

pub mod egress;
mod health;
mod limits;
mod links;
mod mounts;
mod namespaces;
pub mod network;
mod networks;
mod ports;
mod security;
mod unsupported;
mod update;

use crate::status::Refusal;
use crate::version::ApiVersion;
use api::types::{ContainerConfig, CreateRequest, HostConfig, Texts};
use container::{Config, LogConfig, MountPoint, RestartPolicy};
use oci::runtime::Resources;
use std::path::Path;

pub use limits::default_swap;
pub use mounts::{bind_modes, check_driver as check_volume_driver, check_volume_name};
pub use networks::endpoint;
pub use ports::{port_range, republishing, show as show_ports};
pub use update::{Changed, changed};

/// What a request is read against.
pub trait Around {
    /// Processors of this machine.
    fn processors(&self) -> usize;
    /// Its nodes of memory, as in `0-1,3`.
    fn memory_nodes(&self) -> String;
    /// Whether this engine can limit containers.
    fn limits(&self) -> bool;
    /// What is meant by a runtime of this name; empty is the default.
    fn runtime(&self, name: &str) -> Runtime;
    /// Who makes their groups.
    fn cgroup_driver(&self) -> cgroup::Driver;
    /// What containers can be limited in; `None`: in nothing.
    fn abilities(&self) -> Option<cgroup::Abilities>;
    /// Another container, by whatever names it.
    fn neighbour(&self, name: &str) -> Result<Neighbour, Refusal>;
    /// Whether a path of the host exists.
    fn exists(&self, path: &Path) -> bool;
    /// The number of a block device of the host, (major, minor).
    fn device(&self, path: &str) -> Result<(i64, i64), Refusal>;
}

/// What a runtime's name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// This engine, which stands in for runc.
    Own,
    /// Another program.
    Foreign(String),
    Unknown,
}

/// Another container, whose namespaces or volumes are asked for.
#[derive(Debug, Clone)]
pub struct Neighbour {
    pub id: String,
    pub mounts: Vec<MountPoint>,
}

/// A request and the version it speaks.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub request: &'a CreateRequest,
    pub version: ApiVersion,
}

/// What is meant, and what its user should know.
#[derive(Debug, Clone, PartialEq)]
pub struct Meant {
    pub config: Config,
    pub warnings: Vec<String>,
}

/// As dockerd says it of a single limit that it cannot set (moby, daemon/daemon_unix.go).
const DISCARDED: &str =
    "This user was delegated no cgroup: limits of memory, processors, processes and devices are discarded.";

/// Translates a whole request. `Config::asked` is left empty.
pub fn meant(asked: Asked<'_>, around: &dyn Around) -> Result<Meant, Refusal> {
    let (typed, host) = (&asked.request.config, &asked.request.host_config);
    namespaces::check_conflicts(typed, host)?;
    check_config(typed)?;
    check_host(host)?;
    unsupported::check(host, around)?;
    let network = networks::mode(asked.request, around)?;
    let mut warnings = Vec::new();
    let resources = limits::resources(host, around, &mut warnings)?;
    let cgroup_parent = limits::parent(host, around, &mut warnings)?;
    if !around.limits() && resources != (Resources { devices: resources.devices.clone(), ..Resources::default() }) {
        warnings.push(DISCARDED.to_owned());
    }
    warnings.extend(networks::older_mac(asked));
    let mut config = plain_fields(typed)?;
    config.endpoints = networks::endpoints(asked.request, &network)?;
    config.links = links::of(host, &network, around)?;
    config.egress = egress::of(typed, host, &network)?;
    config.network = network;
    config.resources = resources;
    config.cgroup_parent = cgroup_parent;
    config.mounts = mounts::of(asked, around)?;
    warnings.extend(mounts::warnings(host).into_iter().map(str::to_owned));
    host_fields(&mut config, host)?;
    ports::put(&mut config, typed, host, &mut warnings)?;
    namespaces::put(&mut config, host, around)?;
    security::put(&mut config, host)?;
    Ok(Meant { config, warnings })
}

fn plain_fields(typed: &ContainerConfig) -> Result<Config, Refusal> {
    Ok(Config {
        image: typed.image.clone(),
        entrypoint: typed.entrypoint.as_ref().map(|list| list.0.clone()),
        cmd: typed.cmd.as_ref().map(|list| list.0.clone()),
        env: typed.env.clone().unwrap_or_default(),
        working_dir: typed.working_dir.clone(),
        user: typed.user.clone(),
        hostname: typed.hostname.clone(),
        domainname: typed.domainname.clone(),
        labels: typed.labels.clone().unwrap_or_default(),
        tty: typed.tty,
        open_stdin: typed.open_stdin,
        stdin_once: typed.stdin_once,
        stop_signal: Some(typed.stop_signal.clone()).filter(|s| !s.is_empty()),
        stop_timeout: typed.stop_timeout,
        healthcheck: health::check(typed)?,
        shell: typed.shell.as_ref().map(|list| list.0.clone()),
        ..Config::default()
    })
}

fn host_fields(config: &mut Config, host: &HostConfig) -> Result<(), Refusal> {
    config.extra_hosts = list(&host.extra_hosts).iter().map(|text| extra_host(text)).collect::<Result<_, _>>()?;
    config.dns = list(&host.dns).iter().map(|text| address(text)).collect::<Result<_, _>>()?;
    config.dns_search = list(&host.dns_search).to_vec();
    config.dns_options = list(&host.dns_options).to_vec();
    config.group_add = host.group_add.iter().flatten().map(|group| group.0.clone()).collect();
    config.storage_size = storage_size(host)?;
    config.init = host.init.unwrap_or(false);
    config.readonly_rootfs = host.readonly_rootfs;
    config.auto_remove = host.auto_remove;
    config.restart = restart(host)?;
    config.log = log(host)?;
    config.shm_size = u64::try_from(host.shm_size).map_err(|_| Refusal::invalid("SHM size can not be less than 0"))?;
    config.oom_score_adj = oom_score(host.oom_score_adj)?;
    config.annotations = host.annotations.clone();
    config.sysctls = host.sysctls.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    config.ulimits = host.ulimits.iter().flatten().map(limits::ulimit).collect();
    Ok(())
}

/// `--storage-opt size=10g`
fn storage_size(host: &HostConfig) -> Result<Option<u64>, Refusal> {
    let mut size = None;
    for (key, value) in &host.storage_opt {
        if !key.eq_ignore_ascii_case("size") {
            return Err(Refusal::internal(format!("Unknown option {key}")));
        }
        let bytes = base::size::bytes(value);
        size = Some(bytes.ok_or_else(|| Refusal::internal(format!("invalid size: '{value}'")))?);
    }
    Ok(size.filter(|bytes| *bytes > 0))
}

fn check_config(typed: &ContainerConfig) -> Result<(), Refusal> {
    if typed.image.is_empty() {
        return Err(Refusal::invalid("no image specified"));
    }
    if !typed.working_dir.is_empty() && !typed.working_dir.starts_with('/') {
        let text = format!("the working directory '{}' is invalid, it needs to be an absolute path", typed.working_dir);
        return Err(Refusal::invalid(text));
    }
    if !typed.stop_signal.is_empty() && base::signal::parse(&typed.stop_signal).is_none() {
        return Err(Refusal::invalid(format!("invalid signal: {}", typed.stop_signal)));
    }
    if let Some(env) = list(&typed.env).iter().find(|env| env.is_empty() || env.starts_with('=')) {
        return Err(Refusal::invalid(format!("invalid environment variable: {env}")));
    }
    if typed.hostname.len() > MOST_HOSTNAME {
        let text = format!("hostname {:?} is too long (maximum {MOST_HOSTNAME} bytes)", typed.hostname);
        return Err(Refusal::invalid(text));
    }
    Ok(())
}

/// HOST_NAME_MAX of the kernel.
const MOST_HOSTNAME: usize = 64;

fn check_host(host: &HostConfig) -> Result<(), Refusal> {
    let restarts = !matches!(host.restart_policy.name.as_str(), "" | "no");
    if host.auto_remove && restarts {
        return Err(Refusal::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    if host.annotations.contains_key("") {
        let text = "invalid Annotations: the empty string is not permitted as an annotation key";
        return Err(Refusal::invalid(text));
    }
    Ok(())
}

fn restart(host: &HostConfig) -> Result<RestartPolicy, Refusal> {
    let asked = &host.restart_policy;
    let count = asked.maximum_retry_count;
    let policy = match asked.name.as_str() {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => {
            let negative = |_| Refusal::invalid("invalid restart policy: maximum retry count cannot be negative");
            return u32::try_from(count).map(|most| RestartPolicy::OnFailure { most }).map_err(negative);
        }
        other => {
            return Err(Refusal::invalid(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )));
        }
    };
    if count == 0 {
        return Ok(policy);
    }
    let more = if count < 0 { " and cannot be negative" } else { "" };
    Err(Refusal::invalid(format!(
        "invalid restart policy: maximum retry count can only be used with 'on-failure'{more}"
    )))
}

fn log(host: &HostConfig) -> Result<LogConfig, Refusal> {
    let asked = &host.log_config;
    let driver = if asked.kind.is_empty() { engine::logging::DEFAULT_DRIVER } else { asked.kind.as_str() };
    let options: Texts = asked.config.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    engine::logging::check(driver, &options).map_err(Refusal::invalid)?;
    Ok(LogConfig { driver: driver.to_owned(), options })
}

/// `name:address`; the address may be IPv6, in brackets or not, or `host-gateway`.
fn extra_host(text: &str) -> Result<(String, String), Refusal> {
    let Some((name, address)) = text.split_once(':').filter(|(name, _)| !name.is_empty()) else {
        return Err(Refusal::invalid(format!("bad format for add-host: {text:?}")));
    };
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if bare != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err() {
        return Err(Refusal::invalid(format!("invalid IP address in add-host: {address:?}")));
    }
    Ok((name.to_owned(), bare.to_owned()))
}

fn address(text: &str) -> Result<std::net::IpAddr, Refusal> {
    text.parse().map_err(|_| Refusal::invalid(format!("IP address is not correctly formatted: {text}")))
}

fn oom_score(asked: i64) -> Result<Option<i32>, Refusal> {
    let wrong = || Refusal::invalid(format!("Invalid value {asked}, range for oom score adj is [-1000, 1000]"));
    match asked {
        0 => Ok(None),
        -1000..=1000 => i32::try_from(asked).map(Some).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// A list that may be null.
fn list<T>(list: &Option<Vec<T>>) -> &[T] {
    list.as_deref().unwrap_or(&[])
}

#[cfg(test)]
mod tests;
