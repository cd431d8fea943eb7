//! `GET /containers/{id}/stats`: what a container used, in the shape of cgroup v1 that clients read.

use crate::times;
use cgroup::Usage;
use engine::Snapshot;
use serde_json::{Value, json};

/// One look at a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Nanoseconds since the epoch; 0 is no look.
    pub at: i64,
    pub usage: Usage,
    /// Nanoseconds of all processors of the machine.
    pub system: u64,
    pub processors: usize,
    /// (received, sent) bytes and packets, and (errors, drops) of both, as the container sees them.
    pub traffic: Option<Traffic>,
}

/// Counters of a network link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

impl Traffic {
    /// The counters of the host's end of a veth pair, turned around: what it sends, the container receives.
    pub fn of_host_link(link: &str) -> Option<Traffic> {
        let folder = std::path::Path::new("/sys/class/net").join(link).join("statistics");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok();
        Some(Traffic {
            rx_bytes: read("tx_bytes")?,
            rx_packets: read("tx_packets")?,
            rx_errors: read("tx_errors")?,
            rx_dropped: read("tx_dropped")?,
            tx_bytes: read("rx_bytes")?,
            tx_packets: read("rx_packets")?,
            tx_errors: read("rx_errors")?,
            tx_dropped: read("rx_dropped")?,
        })
    }
}

/// Nanoseconds all processors have worked or waited (`/proc/stat`, proc(5): 100 ticks a second), and how many there are.
pub fn system_time(stat: &str) -> (u64, usize) {
    const TICK: u64 = 10_000_000;
    let first = stat.lines().find(|line| line.starts_with("cpu ")).unwrap_or_default();
    // Guest time is in user time already.
    let ticks: u64 = first.split_ascii_whitespace().skip(1).take(8).filter_map(|n| n.parse::<u64>().ok()).sum();
    let processors = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    (ticks * TICK, processors)
}

/// The answer for two looks.
pub fn of(snapshot: &Snapshot, now: &Sample, before: &Sample, memory: u64) -> Value {
    let usage = &now.usage;
    let networks = now.traffic.map(|traffic| json!({"eth0": traffic_json(&traffic)}));
    let mut answer = json!({
        "id": snapshot.container.id.to_string(),
        "name": format!("/{}", snapshot.name),
        "os_type": "linux",
        "read": times::nano(now.at),
        "preread": times::nano(before.at),
        "pids_stats": {"current": usage.pids},
        "blkio_stats": blkio(),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": cpu(now),
        "precpu_stats": cpu(before),
        "memory_stats": {
            "usage": usage.memory,
            "stats": {},
            "limit": usage.memory_limit.unwrap_or(memory),
        },
    });
    if let (Some(networks), Some(fields)) = (networks, answer.as_object_mut()) {
        fields.insert("networks".to_owned(), networks);
    }
    answer
}

/// The answer for a container that does not run.
pub fn empty(snapshot: &Snapshot) -> Value {
    let nothing = Sample::default();
    let mut answer = of(snapshot, &nothing, &nothing, 0);
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("memory_stats".to_owned(), json!({}));
        fields.insert("pids_stats".to_owned(), json!({}));
    }
    answer
}

fn cpu(sample: &Sample) -> Value {
    let mut cpu = json!({
        "cpu_usage": {
            "total_usage": sample.usage.cpu_total,
            "usage_in_kernelmode": sample.usage.cpu_system,
            "usage_in_usermode": sample.usage.cpu_user,
        },
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    });
    if let (true, Some(fields)) = (sample.at != 0, cpu.as_object_mut()) {
        fields.insert("system_cpu_usage".to_owned(), json!(sample.system));
        fields.insert("online_cpus".to_owned(), json!(sample.processors));
    }
    cpu
}

fn blkio() -> Value {
    let names =
        ["io_service_bytes", "io_serviced", "io_queue", "io_service_time", "io_wait_time", "io_merged", "io_time"];
    let mut fields: serde_json::Map<_, _> =
        names.iter().map(|name| (format!("{name}_recursive"), Value::Null)).collect();
    fields.insert("sectors_recursive".to_owned(), Value::Null);
    Value::Object(fields)
}

fn traffic_json(traffic: &Traffic) -> Value {
    json!({
        "rx_bytes": traffic.rx_bytes, "rx_packets": traffic.rx_packets,
        "rx_errors": traffic.rx_errors, "rx_dropped": traffic.rx_dropped,
        "tx_bytes": traffic.tx_bytes, "tx_packets": traffic.tx_packets,
        "tx_errors": traffic.tx_errors, "tx_dropped": traffic.tx_dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_time_is_read_from_proc_stat() {
        let stat = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 5\n";
        assert_eq!(system_time(stat), (360_000_000, 2));
        assert_eq!(system_time(""), (0, 0));
    }
}
