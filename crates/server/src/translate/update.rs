//! `POST /containers/{id}/update`: what is asked of a container that is there, against what it has (moby, container/container_unix.go).

use super::limits::{self, Purpose, checked};
use super::{Around, default_swap, restart};
use crate::present::Typed;
use crate::status::Refusal;
use api::types::{HostConfig, UpdateRequest};
use container::Container;
use engine::Update;
use oci::runtime::{BlockIo, Memory, Pids, Resources};
use serde_json::{Value, json};

/// What is asked for, without what this machine cannot do, and what the asker should know.
#[derive(Debug, Clone)]
pub struct Changed {
    pub request: Change,
    pub warnings: Vec<String>,
}

/// A change that is one whatever the container.
#[derive(Debug, Clone)]
pub struct Change(HostConfig);

/// Checks a request by itself.
pub fn changed(asked: UpdateRequest, around: &dyn Around) -> Result<Changed, Refusal> {
    let mut host = wide(asked);
    restart(&host)?;
    let mut warnings = Vec::new();
    if host.cpu_realtime_period > 0 || host.cpu_realtime_runtime > 0 {
        limits::check_decoded(&host, around)?;
    }
    host = checked(&host, around, Purpose::Update, &mut warnings)?;
    if !around.limits() && has_limits(&host) {
        warnings.push(super::DISCARDED.to_owned());
    }
    Ok(Changed { request: Change(host), warnings })
}

/// A request of few fields as one of all.
fn wide(asked: UpdateRequest) -> HostConfig {
    HostConfig {
        cpu_shares: asked.cpu_shares,
        memory: asked.memory,
        nano_cpus: asked.nano_cpus,
        blkio_weight: asked.blkio_weight,
        blkio_weight_device: asked.blkio_weight_device,
        cpu_period: asked.cpu_period,
        cpu_quota: asked.cpu_quota,
        cpu_realtime_period: asked.cpu_realtime_period,
        cpu_realtime_runtime: asked.cpu_realtime_runtime,
        cpuset_cpus: asked.cpuset_cpus,
        cpuset_mems: asked.cpuset_mems,
        kernel_memory: asked.kernel_memory,
        memory_reservation: asked.memory_reservation,
        memory_swap: asked.memory_swap,
        // 0 and -1 are both no limit here; at creation they are nothing asked for.
        pids_limit: asked.pids_limit.map(|limit| limit.max(0)),
        restart_policy: asked.restart_policy,
        ..HostConfig::default()
    }
}

fn has_limits(host: &HostConfig) -> bool {
    limits::memory(host).is_some() || limits::cpu(host).is_some() || host.pids_limit.is_some() || host.blkio_weight > 0
}

impl Change {
    /// What comes of it for `container`, or why nothing does.
    pub fn apply(&self, container: &Container) -> Result<Update, Refusal> {
        let asked = &self.0;
        let mut has = Typed::of(&container.config).host;
        has.memory_swap = default_swap(has.memory, has.memory_swap);
        self.check(&has, container)
            .map_err(|why| Refusal::conflict(format!("Cannot update container {}: {why}", container.id)))?;
        let merged = merged(asked, &has);
        let mut config = container.config.clone();
        config.asked = shown(config.asked.value(), asked, &merged).into();
        if !asked.restart_policy.name.is_empty() {
            config.restart = restart(asked)?;
        }
        let live = live(asked, &merged);
        let resources = &mut config.resources;
        // What the machine cannot do was left out when the container was made, and is again.
        let kept = resources.memory.take().unwrap_or_default();
        let memory = limits::memory(&merged).unwrap_or_default();
        let memory = Memory { swappiness: kept.swappiness, disable_oom_killer: kept.disable_oom_killer, ..memory };
        resources.memory = Some(memory).filter(|memory| *memory != Memory::default());
        resources.cpu = limits::cpu(&merged);
        if let Some(limit) = asked.pids_limit {
            resources.pids = Some(Pids { limit }).filter(|pids| pids.limit > 0);
        }
        if asked.blkio_weight > 0 {
            resources.block_io.get_or_insert_default().weight = Some(asked.blkio_weight);
        }
        Ok(Update { config, live })
    }

    fn check(&self, has: &HostConfig, container: &Container) -> Result<(), &'static str> {
        let asked = &self.0;
        let restarts = !matches!(asked.restart_policy.name.as_str(), "" | "no");
        match () {
            () if asked.nano_cpus > 0 && has.cpu_period > 0 => {
                Err("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set")
            }
            () if asked.nano_cpus > 0 && has.cpu_quota > 0 => {
                Err("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set")
            }
            () if asked.cpu_period > 0 && has.nano_cpus > 0 => {
                Err("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set")
            }
            () if asked.cpu_quota > 0 && has.nano_cpus > 0 => {
                Err("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set")
            }
            // Docker forgets that unlimited swap (-1) is more than any memory, and so does what it says here.
            () if asked.memory != 0 && asked.memory > has.memory_swap && asked.memory_swap == 0 => Err(
                "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
            ),
            () if restarts && container.config.auto_remove => {
                Err("Restart policy cannot be updated because AutoRemove is enabled for the container")
            }
            () => Ok(()),
        }
    }
}

/// What the container has once the change is made.
fn merged(asked: &HostConfig, has: &HostConfig) -> HostConfig {
    let number = |asked: i64, has: i64| if asked == 0 { has } else { asked };
    let text = |asked: &String, has: &String| if asked.is_empty() { has.clone() } else { asked.clone() };
    HostConfig {
        cpu_shares: number(asked.cpu_shares, has.cpu_shares),
        memory: number(asked.memory, has.memory),
        nano_cpus: number(asked.nano_cpus, has.nano_cpus),
        blkio_weight: if asked.blkio_weight == 0 { has.blkio_weight } else { asked.blkio_weight },
        cpu_period: number(asked.cpu_period, has.cpu_period),
        cpu_quota: number(asked.cpu_quota, has.cpu_quota),
        cpu_realtime_period: number(asked.cpu_realtime_period, has.cpu_realtime_period),
        cpu_realtime_runtime: number(asked.cpu_realtime_runtime, has.cpu_realtime_runtime),
        cpuset_cpus: text(&asked.cpuset_cpus, &has.cpuset_cpus),
        cpuset_mems: text(&asked.cpuset_mems, &has.cpuset_mems),
        memory_reservation: number(asked.memory_reservation, has.memory_reservation),
        memory_swap: number(asked.memory_swap, has.memory_swap),
        pids_limit: asked.pids_limit.or(has.pids_limit),
        ..HostConfig::default()
    }
}

/// What the running container's groups are told: only what was asked for, but for memory and swap, which belong together.
fn live(asked: &HostConfig, merged: &HostConfig) -> Resources {
    let together = asked.memory != 0 || asked.memory_swap != 0;
    let told = HostConfig {
        memory: if together { merged.memory } else { 0 },
        memory_swap: if together { merged.memory_swap } else { 0 },
        ..asked.clone()
    };
    let weight = Some(asked.blkio_weight).filter(|weight| *weight > 0);
    Resources {
        memory: limits::memory(&told),
        cpu: limits::cpu(asked),
        pids: asked.pids_limit.map(|limit| Pids { limit: if limit > 0 { limit } else { -1 } }),
        block_io: weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    }
}

/// The request that inspect shows, with the change in it.
fn shown(mut kept: Value, asked: &HostConfig, merged: &HostConfig) -> Value {
    let mut put = |key: &str, value: Value| {
        if kept["HostConfig"].is_null() {
            kept["HostConfig"] = json!({});
        }
        kept["HostConfig"][key] = value;
    };
    for (key, asked, value) in [
        ("CpuShares", asked.cpu_shares, merged.cpu_shares),
        ("Memory", asked.memory, merged.memory),
        ("MemorySwap", asked.memory.max(asked.memory_swap.abs()), merged.memory_swap),
        ("MemoryReservation", asked.memory_reservation, merged.memory_reservation),
        ("NanoCpus", asked.nano_cpus, merged.nano_cpus),
        ("BlkioWeight", i64::from(asked.blkio_weight), i64::from(merged.blkio_weight)),
        ("CpuPeriod", asked.cpu_period, merged.cpu_period),
        ("CpuQuota", asked.cpu_quota, merged.cpu_quota),
        ("CpuRealtimePeriod", asked.cpu_realtime_period, merged.cpu_realtime_period),
        ("CpuRealtimeRuntime", asked.cpu_realtime_runtime, merged.cpu_realtime_runtime),
    ] {
        if asked != 0 {
            put(key, json!(value));
        }
    }
    for (key, text) in [("CpusetCpus", &asked.cpuset_cpus), ("CpusetMems", &asked.cpuset_mems)] {
        if !text.is_empty() {
            put(key, json!(text));
        }
    }
    if let Some(limit) = asked.pids_limit {
        put("PidsLimit", json!(limit));
    }
    if !asked.restart_policy.name.is_empty() {
        put("RestartPolicy", json!(asked.restart_policy));
    }
    kept
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
