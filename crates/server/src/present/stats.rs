//! `GET /containers/{id}/stats`: what a container uses, in Docker's shape: that of cgroup v1, with v2's values where they have a place.

use crate::times;
use api::types::{
    BlkioEntry, BlkioStats, CpuStats, CpuUsage, LinkStats, MemoryStats, PidsStats, Stats, StorageStats, Throttling,
};
use cgroup::{IoEntry, Version};
use engine::{Look, Traffic};

/// Go's zero time: there was no look.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The words of v1's memory.stat that Docker tells; the same with `total_` before them count the groups below, too.
const V1_WORDS: [&str; 16] = [
    "active_anon",
    "active_file",
    "cache",
    "dirty",
    "hierarchical_memory_limit",
    "hierarchical_memsw_limit",
    "inactive_anon",
    "inactive_file",
    "mapped_file",
    "pgfault",
    "pgmajfault",
    "pgpgin",
    "pgpgout",
    "rss",
    "rss_huge",
    "unevictable",
];
const V1_WRITEBACK: &str = "writeback";

/// The words of v2's memory.stat that Docker tells (moby, daemon/stats_unix.go).
const V2_WORDS: [&str; 31] = [
    "active_anon",
    "active_file",
    "anon",
    "anon_thp",
    "file",
    "file_dirty",
    "file_mapped",
    "file_writeback",
    "inactive_anon",
    "inactive_file",
    "kernel_stack",
    "pgactivate",
    "pgdeactivate",
    "pgfault",
    "pglazyfree",
    "pglazyfreed",
    "pgmajfault",
    "pgrefill",
    "pgscan",
    "pgsteal",
    "shmem",
    "slab",
    "slab_reclaimable",
    "slab_unreclaimable",
    "sock",
    "thp_collapse_alloc",
    "thp_fault_alloc",
    "unevictable",
    "workingset_activate",
    "workingset_nodereclaim",
    "workingset_refault",
];

/// Who is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub id: String,
    pub name: String,
    pub version: Version,
}

/// What one look, told against the one before, says. `None`: it does not run, or there was none.
pub fn of(subject: &Subject, now: Option<&Look>, before: Option<&Look>) -> Stats {
    let mut stats = Stats {
        name: format!("/{}", subject.name),
        id: subject.id.clone(),
        read: moment(now),
        preread: moment(before),
        storage_stats: StorageStats {},
        ..Stats::default()
    };
    let Some(now) = now else {
        stats.preread = NEVER.to_owned();
        return stats;
    };
    let used = &now.used;
    stats.os_type = "linux".to_owned();
    stats.pids_stats = PidsStats { current: used.pids.current, limit: most_pids(used.pids.limit, subject.version) };
    stats.blkio_stats = block_io(&used.io, subject.version);
    stats.cpu_stats = cpu(now);
    stats.precpu_stats = before.map(cpu).unwrap_or_default();
    stats.memory_stats = memory(now, subject.version);
    stats.networks = Some(&now.links)
        .filter(|links| !links.is_empty())
        .map(|links| links.iter().map(|(name, traffic)| (name.clone(), link(traffic))).collect());
    stats
}

fn moment(look: Option<&Look>) -> String {
    look.map_or_else(|| NEVER.to_owned(), |look| times::nano(look.at))
}

/// Docker tells v2's `max` as the largest number, and nothing of v1's.
fn most_pids(limit: u64, version: Version) -> u64 {
    if limit == 0 && version == Version::V2 { u64::MAX } else { limit }
}

fn cpu(look: &Look) -> CpuStats {
    let cpu = &look.used.cpu;
    CpuStats {
        cpu_usage: CpuUsage {
            total_usage: cpu.total,
            percpu_usage: cpu.per_cpu.clone(),
            usage_in_kernelmode: cpu.kernel,
            usage_in_usermode: cpu.user,
        },
        system_cpu_usage: look.machine.time,
        online_cpus: look.machine.processors as u64,
        throttling_data: Throttling {
            periods: cpu.periods,
            throttled_periods: cpu.throttled_periods,
            throttled_time: cpu.throttled_time,
        },
    }
}

/// No limit is the memory of the machine.
fn memory(look: &Look, version: Version) -> MemoryStats {
    let (used, machine) = (&look.used.memory, look.machine.memory);
    let limit = if machine > 0 { used.usage.limit.min(machine) } else { used.usage.limit };
    let kept = used.raw.iter().filter(|(word, _)| match version {
        Version::V1 => is_v1_word(word),
        Version::V2 => V2_WORDS.contains(&word.as_str()),
    });
    let mut stats: std::collections::BTreeMap<String, u64> = kept.cloned().collect();
    if version == Version::V2 && !used.raw.is_empty() && !stats.contains_key("workingset_refault") {
        // Told apart since Linux 5.9.
        let parts = used.raw.iter().filter(|(word, _)| word.starts_with("workingset_refault_"));
        stats.insert("workingset_refault".to_owned(), parts.map(|(_, value)| value).sum());
    }
    let max_usage = if version == Version::V1 { used.usage.max } else { 0 };
    MemoryStats { usage: used.usage.usage, max_usage, stats, failcnt: used.usage.failures, limit }
}

fn is_v1_word(word: &str) -> bool {
    let bare = word.strip_prefix("total_").unwrap_or(word);
    V1_WORDS.contains(&bare) || bare == V1_WRITEBACK
}

/// v2 counts bytes only.
fn block_io(io: &cgroup::Io, version: Version) -> BlkioStats {
    let entries = |list: &[IoEntry]| Some(list.iter().map(|entry| block_entry(entry, version)).collect());
    if version == Version::V2 {
        let bytes = Some(&io.service_bytes).filter(|list| !list.is_empty());
        return BlkioStats {
            io_service_bytes_recursive: bytes.and_then(|list| entries(list)),
            ..BlkioStats::default()
        };
    }
    BlkioStats {
        io_service_bytes_recursive: entries(&io.service_bytes),
        io_serviced_recursive: entries(&io.serviced),
        io_queue_recursive: entries(&io.queued),
        io_service_time_recursive: entries(&io.service_time),
        io_wait_time_recursive: entries(&io.wait_time),
        io_merged_recursive: entries(&io.merged),
        io_time_recursive: entries(&io.time),
        sectors_recursive: entries(&io.sectors),
    }
}

/// The sorts have the kernel's capital letters on v1.
fn block_entry(entry: &IoEntry, version: Version) -> BlkioEntry {
    let op = if version == Version::V1 { entry.operation.clone() } else { entry.operation.to_lowercase() };
    BlkioEntry { major: entry.major, minor: entry.minor, op, value: entry.value }
}

fn link(traffic: &Traffic) -> LinkStats {
    LinkStats {
        rx_bytes: traffic.rx_bytes,
        rx_packets: traffic.rx_packets,
        rx_errors: traffic.rx_errors,
        rx_dropped: traffic.rx_dropped,
        tx_bytes: traffic.tx_bytes,
        tx_packets: traffic.tx_packets,
        tx_errors: traffic.tx_errors,
        tx_dropped: traffic.tx_dropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn subject(version: Version) -> Subject {
        Subject { id: "1f".into(), name: "web".into(), version }
    }

    fn look() -> Look {
        let mut look = Look { at: 1_000_000_000, ..Look::default() };
        look.machine = engine::Machine { time: 50, processors: 2, memory: 1000 };
        look.used.cpu.total = 7;
        look.used.memory.usage = cgroup::Counter { usage: 10, limit: u64::MAX, max: 20, failures: 0 };
        look.used.memory.raw =
            [("anon", 1), ("workingset_refault_anon", 2), ("workingset_refault_file", 3), ("rss", 4)]
                .map(|(word, value)| (word.to_owned(), value))
                .to_vec();
        look.used.io.service_bytes = vec![IoEntry { major: 8, minor: 0, operation: "Read".into(), value: 5 }];
        look
    }

    #[test]
    fn a_container_that_does_not_run_uses_nothing() {
        let nothing = json!({"cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
            "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}});
        let expected = json!({
            "name": "/web", "id": "1f", "read": NEVER, "preread": NEVER, "pids_stats": {}, "num_procs": 0,
            "storage_stats": {}, "cpu_stats": nothing, "precpu_stats": nothing, "memory_stats": {},
            "blkio_stats": {"io_service_bytes_recursive": null, "io_serviced_recursive": null, "io_queue_recursive": null,
                "io_service_time_recursive": null, "io_wait_time_recursive": null, "io_merged_recursive": null,
                "io_time_recursive": null, "sectors_recursive": null},
        });
        assert_eq!(serde_json::to_value(of(&subject(Version::V2), None, Some(&look()))).expect("json"), expected);
    }

    #[test]
    fn values_of_v2_stand_where_docker_has_them() {
        let stats = of(&subject(Version::V2), Some(&look()), None);
        assert_eq!((stats.memory_stats.limit, stats.memory_stats.max_usage), (1000, 0));
        assert_eq!(json!(stats.memory_stats.stats), json!({"anon": 1, "workingset_refault": 5}));
        assert_eq!(stats.pids_stats.limit, u64::MAX);
        let bytes = stats.blkio_stats.io_service_bytes_recursive.expect("entries");
        assert_eq!((bytes.len(), bytes[0].op.as_str()), (1, "read"));
        assert_eq!((stats.preread.as_str(), stats.precpu_stats.online_cpus), (NEVER, 0));
    }

    #[test]
    fn values_of_v1_keep_their_names() {
        let stats = of(&subject(Version::V1), Some(&look()), Some(&look()));
        assert_eq!(json!(stats.memory_stats.stats), json!({"rss": 4}));
        assert_eq!((stats.memory_stats.max_usage, stats.pids_stats.limit), (20, 0));
        assert_eq!(stats.blkio_stats.io_serviced_recursive, Some(Vec::new()));
        assert_eq!(stats.blkio_stats.io_service_bytes_recursive.expect("entries")[0].op, "Read");
        assert_eq!((stats.precpu_stats.cpu_usage.total_usage, stats.precpu_stats.system_cpu_usage), (7, 50));
    }
}
