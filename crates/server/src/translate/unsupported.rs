//! What Docker can do and this engine cannot yet: said, not silently left out.

use super::list;
use crate::status::Refusal;
use api::types::{ContainerConfig, HostConfig};

/// Refuses what was asked for and would have no effect.
pub fn check(typed: &ContainerConfig, host: &HostConfig) -> Result<(), Refusal> {
    if let Some(request) = list(&host.device_requests).first() {
        let sets: Vec<String> = list(&request.capabilities).iter().map(|set| format!("[{}]", set.join(" "))).collect();
        return Err(Refusal::invalid(format!(
            "could not select device driver {:?} with capabilities: [{}]",
            request.driver,
            sets.join(" ")
        )));
    }
    if host.storage_opt.contains_key("size") {
        return Err(Refusal::invalid(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ));
    }
    if let Some(key) = host.storage_opt.keys().next() {
        return Err(Refusal::invalid(format!("Unknown option {key}")));
    }
    if !matches!(host.runtime.as_str(), "" | "dhow" | "runc" | "io.containerd.runc.v2") {
        return Err(Refusal::invalid(format!("unknown or invalid runtime name: {}", host.runtime)));
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        let text = format!("invalid isolation ({}): linux only supports 'default'", host.isolation);
        return Err(Refusal::invalid(text));
    }
    let missing = match () {
        () if health_checked(typed) => "health checks are",
        () if !typed.mac_address.is_empty() => "a MAC address of choice is",
        () if !list(&host.links).is_empty() => "links between containers are",
        () if !host.cgroup_parent.is_empty() => "a cgroup parent of choice is",
        () if !host.cgroup.is_empty() => "sharing another container's cgroup is",
        () => return Ok(()),
    };
    Err(Refusal::unsupported(format!("{missing} not supported by this engine yet")))
}

fn health_checked(typed: &ContainerConfig) -> bool {
    let test = typed.healthcheck.as_ref().and_then(|health| health.test.as_ref());
    test.and_then(|test| test.first()).is_some_and(|first| first != "NONE")
}
