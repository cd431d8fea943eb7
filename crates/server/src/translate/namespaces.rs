//! Namespaces: pid, ipc, uts, user, cgroup; and what cannot be asked together (moby, runconfig/hostconfig_unix.go).

use super::{Around, list};
use crate::status::Refusal;
use api::types::{ContainerConfig, HostConfig};
use container::{CgroupNamespaceMode, Config, IpcMode, PidMode, UserNamespaceMode, UtsMode};

/// Fills in the namespaces.
pub fn put(config: &mut Config, host: &HostConfig, around: &dyn Around) -> Result<(), Refusal> {
    config.pid = pid(&host.pid_mode, around)?;
    config.ipc = ipc(&host.ipc_mode, around)?;
    config.uts = match host.uts_mode.as_str() {
        "" => UtsMode::Private,
        "host" => UtsMode::Host,
        other => return Err(Refusal::invalid(format!("invalid UTS mode: {other}"))),
    };
    config.user_namespace = match host.userns_mode.as_str() {
        "" => UserNamespaceMode::Default,
        "host" => UserNamespaceMode::Host,
        "private" => UserNamespaceMode::Private,
        other => return Err(Refusal::invalid(format!("invalid user namespace mode: {other}"))),
    };
    config.cgroup_namespace = match host.cgroupns_mode.as_str() {
        "" | "private" => CgroupNamespaceMode::Private,
        "host" => CgroupNamespaceMode::Host,
        other => return Err(Refusal::invalid(format!("invalid cgroup namespace mode: {other}"))),
    };
    Ok(())
}

fn pid(text: &str, around: &dyn Around) -> Result<PidMode, Refusal> {
    match (text, text.strip_prefix("container:")) {
        ("", _) => Ok(PidMode::Private),
        ("host", _) => Ok(PidMode::Host),
        (_, Some(name)) if !name.is_empty() => Ok(PidMode::Container(around.neighbour(name)?.id)),
        _ => Err(Refusal::invalid(format!("invalid PID mode: {text}"))),
    }
}

fn ipc(text: &str, around: &dyn Around) -> Result<IpcMode, Refusal> {
    match (text, text.strip_prefix("container:")) {
        ("" | "private", _) => Ok(IpcMode::Private),
        ("shareable", _) => Ok(IpcMode::Shareable),
        ("host", _) => Ok(IpcMode::Host),
        ("none", _) => Ok(IpcMode::None),
        (_, Some(name)) if !name.is_empty() => Ok(IpcMode::Container(around.neighbour(name)?.id)),
        _ => Err(Refusal::invalid(format!("invalid IPC mode: {text}"))),
    }
}

/// What a container that shares another's network, or the host's names, cannot ask.
pub fn check_conflicts(typed: &ContainerConfig, host: &HostConfig) -> Result<(), Refusal> {
    if host.uts_mode == "host" && !typed.hostname.is_empty() {
        return Err(Refusal::invalid("conflicting options: hostname and the UTS mode"));
    }
    let links = !list(&host.links).is_empty();
    if host.network_mode == "host" && links {
        return Err(Refusal::invalid(
            "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
        ));
    }
    let shares = host.network_mode == "container" || host.network_mode.starts_with("container:");
    if !shares {
        return Ok(());
    }
    let publishes = host.port_bindings.as_ref().is_some_and(|p| !p.is_empty()) || host.publish_all_ports;
    let fault = match () {
        () if matches!(host.network_mode.as_str(), "container" | "container:") => {
            "invalid network mode: invalid container format container:<name|id>"
        }
        () if !typed.hostname.is_empty() => "conflicting options: hostname and the network mode",
        () if links => {
            "conflicting options: container type network can't be used with links. This would result in undefined behavior"
        }
        () if !list(&host.dns).is_empty() => "conflicting options: dns and the network mode",
        () if !list(&host.extra_hosts).is_empty() => {
            "conflicting options: custom host-to-IP mapping and the network mode"
        }
        () if publishes => "conflicting options: port publishing and the container type network mode",
        () if typed.exposed_ports.as_ref().is_some_and(|p| !p.is_empty()) => {
            "conflicting options: port exposing and the container type network mode"
        }
        () => return Ok(()),
    };
    Err(Refusal::invalid(fault))
}
