//! `GET /containers/{id}/json`: what was asked, with the defaults that it came to.

use super::{Typed, network, state};
use crate::times;
use crate::translate;
use api::types::{
    ContainerConfig, ContainerInspect, GraphDriver, Healthcheck, HostConfig, MountPoint, NetworkSettings, Text,
    TextList, Texts,
};
use base::Id;
use container::{Config, Container, IpcMode, MountSource, PidMode, Status};
use engine::Snapshot;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes of /dev/shm unless asked otherwise.
const SHM_SIZE: i64 = 64 << 20;

/// Docker's default for `MaskedPaths` (moby, oci/defaults.go).
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Docker's default for `ReadonlyPaths`.
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Everything about a container but its layers.
pub fn of(snapshot: &Snapshot) -> ContainerInspect {
    let record = &snapshot.container;
    let typed = Typed::of(&record.config);
    let mut command = command(&record.config).into_iter();
    // Before its first start a container has none of these files.
    let is_new = snapshot.state.status == Status::Created && snapshot.state.error.is_empty();
    let once_started = |path: &String| if is_new { String::new() } else { path.clone() };
    ContainerInspect {
        id: record.id.to_string(),
        created: times::nano(record.created_at),
        path: command.next().unwrap_or_default(),
        args: command.collect(),
        state: state::of(&snapshot.state),
        image: record.image_id.to_string(),
        resolv_conf_path: once_started(&snapshot.resolv_path),
        hostname_path: once_started(&snapshot.hostname_path),
        hosts_path: once_started(&snapshot.hosts_path),
        log_path: once_started(&snapshot.log_path),
        name: format!("/{}", snapshot.name),
        restart_count: snapshot.state.restart_count,
        driver: "overlay2".to_owned(),
        platform: "linux".to_owned(),
        exec_ids: exec_ids(&snapshot.execs),
        host_config: host_config(&typed, record),
        mounts: mounts(record, &typed),
        config: config(typed.config, record),
        network_settings: network_settings(snapshot),
        ..ContainerInspect::default()
    }
}

fn exec_ids(execs: &[Id]) -> Option<Vec<String>> {
    (!execs.is_empty()).then(|| execs.iter().map(Id::to_string).collect())
}

/// Entrypoint and command as one line.
pub fn command(config: &Config) -> Vec<String> {
    let entrypoint = config.entrypoint.iter().flatten();
    entrypoint.chain(config.cmd.iter().flatten()).cloned().collect()
}

/// What was typed, with what the image and Docker added.
fn config(typed: ContainerConfig, record: &Container) -> ContainerConfig {
    let merged = &record.config;
    let hostname = if merged.hostname.is_empty() { record.id.short() } else { merged.hostname.clone() };
    let list = |list: &Option<Vec<String>>| list.clone().map(TextList);
    let ports =
        merged.exposed_ports.iter().map(|port| (network::port_text(*port), json!({}))).collect::<BTreeMap<_, _>>();
    let volumes: BTreeMap<_, _> =
        record.mounts.iter().filter(|m| m.anonymous).map(|m| (m.request.target.clone(), json!({}))).collect();
    ContainerConfig {
        hostname,
        domainname: merged.domainname.clone(),
        user: merged.user.clone(),
        exposed_ports: Some(ports).filter(|p| !p.is_empty()),
        env: Some(merged.env.clone()).filter(|env| !env.is_empty()).or(typed.env),
        cmd: list(&merged.cmd),
        entrypoint: list(&merged.entrypoint),
        volumes: Some(volumes).filter(|v| !v.is_empty()),
        working_dir: merged.working_dir.clone(),
        labels: Some(merged.labels.clone()),
        stop_signal: merged.stop_signal.clone().unwrap_or_default(),
        stop_timeout: merged.stop_timeout,
        healthcheck: merged.healthcheck.as_ref().and_then(|asked| Healthcheck::deserialize(asked).ok()),
        shell: merged.shell.clone().map(TextList),
        ..typed
    }
}

/// What was asked of the host, with Docker's defaults filled in.
fn host_config(typed: &Typed, record: &Container) -> HostConfig {
    let mut host = typed.host.clone();
    let merged = &record.config;
    if matches!(merged.network, container::NetworkMode::Bridge) {
        let links = merged.links.iter().map(|link| format!("/{}:/{}/{}", link.name, record.name, link.alias));
        host.links = Some(links.collect::<Vec<_>>()).filter(|links| !links.is_empty());
    }
    let fill = |text: &mut String, default: &str| {
        if text.is_empty() {
            *text = default.to_owned();
        }
    };
    if matches!(host.network_mode.as_str(), "" | "default") {
        host.network_mode = "bridge".to_owned();
    }
    if let container::NetworkMode::Container(id) = &merged.network {
        host.network_mode = format!("container:{id}");
    }
    host.egress = merged.egress.as_ref().map(translate::egress::shown);
    fill(&mut host.restart_policy.name, "no");
    host.log_config.kind = merged.log.driver.clone();
    fill(&mut host.log_config.kind, "json-file");
    host.log_config.config = merged.log.options.iter().map(|(key, value)| (key.clone(), Text(value.clone()))).collect();
    fill(&mut host.ipc_mode, "private");
    fill(&mut host.cgroupns_mode, "private");
    fill(&mut host.runtime, "dhow");
    if host.shm_size == 0 {
        host.shm_size = SHM_SIZE;
    }
    host.memory_swap = translate::default_swap(host.memory, host.memory_swap);
    host.memory_swappiness = host.memory_swappiness.filter(|swappiness| *swappiness >= 0);
    if !merged.privileged && !merged.system_paths_unconfined {
        host.masked_paths.get_or_insert_with(|| MASKED.map(str::to_owned).to_vec());
        host.readonly_paths.get_or_insert_with(|| READONLY.map(str::to_owned).to_vec());
    }
    let shares_host = merged.pid == PidMode::Host || merged.ipc == IpcMode::Host;
    if merged.privileged || shares_host {
        host.security_opt.get_or_insert_with(|| vec!["label=disable".to_owned()]);
    }
    host.links = host.links.filter(|links| !links.is_empty());
    host.group_add = host.group_add.filter(|groups| groups != &[] as &[Text]);
    host
}

/// Where a container's files are, its image's `layers` with the lowest first. Its root is mounted nowhere on the host: while
/// it runs it is seen through its process.
pub fn graph_driver(snapshot: &Snapshot, layers: &[PathBuf]) -> GraphDriver {
    let lower: Vec<String> = layers.iter().rev().map(|folder| folder.display().to_string()).collect();
    let work = Path::new(&snapshot.upper_path).with_file_name("work").display().to_string();
    let pid = snapshot.state.pid;
    let rows = [
        ("ID", Some(snapshot.container.id.to_string())),
        ("LowerDir", Some(lower.join(":"))),
        ("MergedDir", (pid != 0).then(|| format!("/proc/{pid}/root"))),
        ("UpperDir", Some(snapshot.upper_path.clone())),
        ("WorkDir", Some(work)),
    ];
    let data: Texts = rows.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    GraphDriver { data: Some(data), name: "overlay2".to_owned() }
}

/// The mounts of a container; with the options typed in `-v`, which nothing else keeps.
pub fn mounts(record: &Container, typed: &Typed) -> Vec<MountPoint> {
    let modes = translate::bind_modes(typed.host.binds.as_deref().unwrap_or(&[]));
    let shown = record.mounts.iter().filter(|mount| !is_tmpfs_flag(mount, typed));
    shown.map(|mount| one_mount(mount, modes.get(&mount.request.target))).collect()
}

/// `--tmpfs` is shown by `HostConfig.Tmpfs` only.
fn is_tmpfs_flag(mount: &container::MountPoint, typed: &Typed) -> bool {
    let target = mount.request.target.trim_end_matches('/');
    matches!(mount.request.source, MountSource::Tmpfs { .. })
        && typed.host.tmpfs.keys().any(|key| key.trim_end_matches('/') == target)
}

fn one_mount(mount: &container::MountPoint, mode: Option<&String>) -> MountPoint {
    let (kind, propagation) = match &mount.request.source {
        MountSource::Bind { propagation, .. } if propagation.is_empty() => ("bind", "rprivate"),
        MountSource::Bind { propagation, .. } => ("bind", propagation.as_str()),
        MountSource::Volume { .. } => ("volume", ""),
        MountSource::Tmpfs { .. } => ("tmpfs", ""),
        MountSource::Image { .. } | MountSource::Layers { .. } => ("image", "rprivate"),
    };
    let is_volume = kind == "volume";
    let default_mode = if is_volume && mode.is_some() { "z" } else { "" };
    MountPoint {
        kind: kind.to_owned(),
        name: match &mount.request.source {
            MountSource::Image { image, .. } => image.clone(),
            _ => mount.volume.clone(),
        },
        source: mount.source.clone(),
        destination: mount.request.target.clone(),
        driver: if is_volume { "local".to_owned() } else { String::new() },
        mode: mode.filter(|m| !m.is_empty()).cloned().unwrap_or_else(|| default_mode.to_owned()),
        rw: !mount.request.readonly,
        propagation: propagation.to_owned(),
    }
}

fn network_settings(snapshot: &Snapshot) -> NetworkSettings {
    let runs = snapshot.state.pid != 0;
    let networks = network::endpoints(snapshot);
    let mut settings = NetworkSettings { ports: network::port_map(snapshot), ..NetworkSettings::default() };
    if runs {
        settings.sandbox_id = network::stable_id(&[&snapshot.container.id.to_string(), "sandbox"]);
        settings.sandbox_key = format!("/proc/{}/ns/net", snapshot.state.pid);
    }
    if let Some(bridge) = networks.get("bridge") {
        settings.endpoint_id = bridge.endpoint_id.clone();
        settings.gateway = bridge.gateway.clone();
        settings.ip_address = bridge.ip_address.clone();
        settings.ip_prefix_len = bridge.ip_prefix_len;
        settings.mac_address = bridge.mac_address.clone();
        settings.ipv6_gateway = bridge.ipv6_gateway.clone();
        settings.global_ipv6_address = bridge.global_ipv6_address.clone();
        settings.global_ipv6_prefix_len = bridge.global_ipv6_prefix_len;
    }
    settings.networks = networks;
    settings
}
