//! The lines of `events`, field for field as runc's users read them.

use super::rdt::Rdt;
use cgroup::{Counter, IoEntry, Pressure, Stall, Statistics};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Stats<'a>>,
}

impl<'a> Event<'a> {
    pub fn oom(id: &'a str) -> Event<'a> {
        Event { kind: "oom", id, data: None }
    }

    pub fn stats(id: &'a str, stats: Stats<'a>) -> Event<'a> {
        Event { kind: "stats", id, data: Some(stats) }
    }
}

#[derive(Debug, Serialize)]
pub struct Stats<'a> {
    cpu: Cpu<'a>,
    cpuset: Cpuset<'a>,
    memory: Memory<'a>,
    pids: Pids,
    blkio: Blkio<'a>,
    hugetlb: BTreeMap<&'a str, Hugetlb>,
    intel_rdt: Rdt,
    network_interfaces: Option<Vec<NetworkInterface>>,
}

#[derive(Debug, Serialize)]
struct Cpu<'a> {
    #[serde(skip_serializing_if = "is_default")]
    usage: CpuUsage<'a>,
    #[serde(skip_serializing_if = "is_default")]
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "pressure")]
    psi: Option<Pressure>,
}

/// Nanoseconds.
#[derive(Debug, Default, PartialEq, Serialize)]
struct CpuUsage<'a> {
    #[serde(skip_serializing_if = "is_default")]
    total: u64,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    percpu: &'a [u64],
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    percpu_kernel: &'a [u64],
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    percpu_user: &'a [u64],
    kernel: u64,
    user: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "is_default")]
    periods: u64,
    #[serde(skip_serializing_if = "is_default")]
    throttled_periods: u64,
    #[serde(skip_serializing_if = "is_default")]
    throttled_time: u64,
}

#[derive(Debug, Serialize)]
struct Cpuset<'a> {
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    cpus: &'a [u16],
    cpu_exclusive: i64,
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    mems: &'a [u16],
    mem_hardwall: i64,
    mem_exclusive: i64,
    memory_migrate: i64,
    memory_spread_page: i64,
    memory_spread_slab: i64,
    memory_pressure: i64,
    sched_load_balance: i64,
    sched_relax_domain_level: i64,
}

#[derive(Debug, Serialize)]
struct Memory<'a> {
    #[serde(skip_serializing_if = "is_default")]
    cache: u64,
    #[serde(skip_serializing_if = "is_default")]
    usage: MemoryEntry,
    #[serde(skip_serializing_if = "is_default")]
    swap: MemoryEntry,
    #[serde(skip_serializing_if = "is_default")]
    kernel: MemoryEntry,
    #[serde(rename = "kernelTCP", skip_serializing_if = "is_default")]
    kernel_tcp: MemoryEntry,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: BTreeMap<&'a str, u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "pressure")]
    psi: Option<Pressure>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct MemoryEntry {
    limit: u64,
    #[serde(skip_serializing_if = "is_default")]
    usage: u64,
    #[serde(skip_serializing_if = "is_default")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_default")]
    current: u64,
    #[serde(skip_serializing_if = "is_default")]
    limit: u64,
}

#[derive(Debug, Serialize)]
struct Hugetlb {
    #[serde(skip_serializing_if = "is_default")]
    usage: u64,
    #[serde(skip_serializing_if = "is_default")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blkio<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<BlkioEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<BlkioEntry<'a>>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    io_queued_recursive: Vec<BlkioEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_time_recursive: Vec<BlkioEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_wait_time_recursive: Vec<BlkioEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_merged_recursive: Vec<BlkioEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_time_recursive: Vec<BlkioEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sectors_recursive: Vec<BlkioEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "pressure")]
    psi: Option<Pressure>,
}

#[derive(Debug, Serialize)]
struct BlkioEntry<'a> {
    #[serde(skip_serializing_if = "is_default")]
    major: u64,
    #[serde(skip_serializing_if = "is_default")]
    minor: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    op: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    value: u64,
}

/// Counters of one network interface, as /proc/net/dev has them.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkInterface {
    pub name: String,
    rx_bytes: u64,
    rx_packets: u64,
    rx_errors: u64,
    rx_dropped: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errors: u64,
    tx_dropped: u64,
}

impl NetworkInterface {
    /// One line of /proc/net/dev; the two of the heading are none.
    pub fn parse(line: &str) -> Option<NetworkInterface> {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let &[rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] =
            counters.as_slice()
        else {
            return None;
        };
        let name = name.trim().to_owned();
        Some(NetworkInterface {
            name,
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        })
    }
}

impl<'a> Stats<'a> {
    pub fn of(all: &'a Statistics, intel_rdt: Rdt, network_interfaces: Option<Vec<NetworkInterface>>) -> Stats<'a> {
        let hugetlb = all
            .hugetlb
            .iter()
            .map(|(size, of)| (size.as_str(), Hugetlb { usage: of.usage, max: of.max, failcnt: of.failures }));
        Stats {
            cpu: Cpu::of(&all.cpu),
            cpuset: Cpuset::of(&all.cpuset),
            memory: Memory::of(&all.memory),
            pids: Pids { current: all.pids.current, limit: all.pids.limit },
            blkio: Blkio::of(&all.io),
            hugetlb: hugetlb.collect(),
            intel_rdt,
            network_interfaces,
        }
    }
}

impl<'a> Cpu<'a> {
    fn of(of: &'a cgroup::Cpu) -> Cpu<'a> {
        Cpu {
            usage: CpuUsage {
                total: of.total,
                percpu: &of.per_cpu,
                percpu_kernel: &of.per_cpu_kernel,
                percpu_user: &of.per_cpu_user,
                kernel: of.kernel,
                user: of.user,
            },
            throttling: Throttling {
                periods: of.periods,
                throttled_periods: of.throttled_periods,
                throttled_time: of.throttled_time,
            },
            psi: of.pressure,
        }
    }
}

impl<'a> Cpuset<'a> {
    fn of(of: &'a cgroup::Cpuset) -> Cpuset<'a> {
        let flag = |name| of.flags.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value);
        Cpuset {
            cpus: &of.cpus,
            cpu_exclusive: flag("cpu_exclusive"),
            mems: &of.mems,
            mem_hardwall: flag("mem_hardwall"),
            mem_exclusive: flag("mem_exclusive"),
            memory_migrate: flag("memory_migrate"),
            memory_spread_page: flag("memory_spread_page"),
            memory_spread_slab: flag("memory_spread_slab"),
            memory_pressure: flag("memory_pressure"),
            sched_load_balance: flag("sched_load_balance"),
            sched_relax_domain_level: flag("sched_relax_domain_level"),
        }
    }
}

impl<'a> Memory<'a> {
    fn of(of: &'a cgroup::Memory) -> Memory<'a> {
        let entry = |of: Counter| MemoryEntry { limit: of.limit, usage: of.usage, max: of.max, failcnt: of.failures };
        Memory {
            cache: of.cache,
            usage: entry(of.usage),
            swap: entry(of.swap),
            kernel: entry(of.kernel),
            kernel_tcp: entry(of.kernel_tcp),
            raw: of.raw.iter().map(|(name, value)| (name.as_str(), *value)).collect(),
            psi: of.pressure,
        }
    }
}

impl<'a> Blkio<'a> {
    fn of(of: &'a cgroup::Io) -> Blkio<'a> {
        Blkio {
            io_service_bytes_recursive: entries(&of.service_bytes),
            io_serviced_recursive: entries(&of.serviced),
            io_queued_recursive: entries(&of.queued),
            io_service_time_recursive: entries(&of.service_time),
            io_wait_time_recursive: entries(&of.wait_time),
            io_merged_recursive: entries(&of.merged),
            io_time_recursive: entries(&of.time),
            sectors_recursive: entries(&of.sectors),
            psi: of.pressure,
        }
    }
}

fn entries(all: &[IoEntry]) -> Vec<BlkioEntry<'_>> {
    all.iter().map(|of| BlkioEntry { major: of.major, minor: of.minor, op: &of.operation, value: of.value }).collect()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Serialize)]
struct Psi {
    some: PsiLine,
    full: PsiLine,
}

/// Shares in percent, `total` in microseconds.
#[derive(Serialize)]
struct PsiLine {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    total: u64,
}

fn pressure<S: Serializer>(of: &Option<Pressure>, serializer: S) -> Result<S::Ok, S::Error> {
    let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
    let line = |of: Stall| PsiLine {
        avg10: percent(of.avg10),
        avg60: percent(of.avg60),
        avg300: percent(of.avg300),
        total: of.total,
    };
    of.map(|of| Psi { some: line(of.some), full: line(of.full) }).serialize(serializer)
}

#[cfg(test)]
mod tests;
