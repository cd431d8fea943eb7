//! What every container uses.

use super::page::{Page, Sort};
use cgroup::{IoEntry, Pressure};
use container::Status;
use engine::{Look, Seen, Traffic};

/// How many there are in each state, by dockerd's name.
pub fn states(page: &mut Page, seen: &[Seen]) {
    const NAME: &str = "engine_daemon_container_states_containers";
    page.head(NAME, Sort::Gauge, "The count of containers in various states");
    let count = |wanted: fn(Status) -> bool| seen.iter().filter(|one| wanted(one.status)).count();
    page.line(NAME, &[("state", "paused")], count(|status| status == Status::Paused));
    page.line(NAME, &[("state", "running")], count(|status| matches!(status, Status::Running | Status::Restarting)));
    let stopped = |status| !matches!(status, Status::Paused | Status::Running | Status::Restarting);
    page.line(NAME, &[("state", "stopped")], count(stopped));
}

/// The labels by which a container is found: its own labels may be anything, and are left to those who ask the API.
fn labels<'a>(one: &'a Seen, id: &'a str) -> [(&'static str, &'a str); 3] {
    [("id", id), ("name", &one.container.name), ("image", &one.container.config.image)]
}

/// A number that every container has that runs.
struct Metric {
    name: &'static str,
    sort: Sort,
    help: &'static str,
    of: fn(&Look) -> Option<f64>,
}

const fn metric(name: &'static str, sort: Sort, help: &'static str, of: fn(&Look) -> Option<f64>) -> Metric {
    Metric { name, sort, help, of }
}

const METRICS: &[Metric] = &[
    metric("cpu_user_seconds_total", Sort::Counter, "Time of processors in programs", |look| {
        Some(seconds(look.used.cpu.user))
    }),
    metric("cpu_system_seconds_total", Sort::Counter, "Time of processors in the kernel", |look| {
        Some(seconds(look.used.cpu.kernel))
    }),
    metric("cpu_seconds_total", Sort::Counter, "Time of processors", |look| Some(seconds(look.used.cpu.total))),
    metric("cpu_throttled_seconds_total", Sort::Counter, "Time that a limit of processors took", |look| {
        Some(seconds(look.used.cpu.throttled_time))
    }),
    metric("memory_bytes", Sort::Gauge, "Memory, with the page cache", |look| {
        Some(number(look.used.memory.usage.usage))
    }),
    metric("memory_working_set_bytes", Sort::Gauge, "Memory without page cache that nobody looked at lately", |look| {
        Some(number(working_set(look)))
    }),
    metric("memory_limit_bytes", Sort::Gauge, "The limit of memory; without one, the machine's", |look| {
        Some(number(look.used.memory.usage.limit.min(look.machine.memory)))
    }),
    metric("memory_failures_total", Sort::Counter, "How often the limit of memory was hit", |look| {
        Some(number(look.used.memory.usage.failures))
    }),
    metric("pids", Sort::Gauge, "Processes and threads", |look| Some(number(look.used.pids.current))),
    metric("pids_limit", Sort::Gauge, "The limit of processes and threads, if there is one", |look| {
        Some(number(look.used.pids.limit)).filter(|limit| *limit > 0.0)
    }),
];

/// Everything of everybody. Metrics are written one after the other, as the format wants it.
pub fn write(page: &mut Page, seen: &[Seen]) {
    let ids: Vec<String> = seen.iter().map(|one| one.container.id.to_string()).collect();
    let all = || seen.iter().zip(&ids);
    standing(page, seen, &ids);
    for metric in METRICS {
        let name = format!("dhow_container_{}", metric.name);
        page.head(&name, metric.sort, metric.help);
        for (one, id) in all() {
            if let Some(value) = one.look.as_deref().and_then(metric.of) {
                page.line(&name, &labels(one, id), value);
            }
        }
    }
    pressures(page, seen, &ids);
    io(page, seen, &ids);
    links(page, seen, &ids);
}

fn standing(page: &mut Page, seen: &[Seen], ids: &[String]) {
    page.head("dhow_container_info", Sort::Gauge, "A container, and how it stands");
    for (one, id) in seen.iter().zip(ids) {
        let [id, name, image] = labels(one, id);
        let state = crate::present::state::word(one.status);
        page.line("dhow_container_info", &[id, name, image, ("state", state), ("health", &one.health)], 1);
    }
    page.head("dhow_container_restarts_total", Sort::Counter, "Starts by the restart policy");
    for (one, id) in seen.iter().zip(ids) {
        page.line("dhow_container_restarts_total", &labels(one, id), one.restarts);
    }
    page.head("dhow_container_start_time_seconds", Sort::Gauge, "When it was started, in seconds since the epoch");
    for (one, id) in seen.iter().zip(ids).filter(|(one, _)| one.started_at > 0) {
        let at = u64::try_from(one.started_at).unwrap_or(0);
        page.line("dhow_container_start_time_seconds", &labels(one, id), seconds(at));
    }
}

/// Pressure stall information, where the kernel counts it for groups.
fn pressures(page: &mut Page, seen: &[Seen], ids: &[String]) {
    const NAME: &str = "dhow_container_pressure_seconds_total";
    page.head(NAME, Sort::Counter, "Time in which some or all processes waited for a resource");
    for (one, id) in seen.iter().zip(ids) {
        let of: [(&str, Option<Pressure>); 3] =
            [("cpu", one.pressures.cpu), ("memory", one.pressures.memory), ("io", one.pressures.io)];
        for (resource, pressure) in of {
            let Some(pressure) = pressure else { continue };
            for (kind, stall) in [("some", pressure.some), ("full", pressure.full)] {
                let [id, name, image] = labels(one, id);
                page.line(
                    NAME,
                    &[id, name, image, ("resource", resource), ("kind", kind)],
                    seconds(stall.total * 1000),
                );
            }
        }
    }
}

fn io(page: &mut Page, seen: &[Seen], ids: &[String]) {
    type Entries = fn(&Look) -> &Vec<IoEntry>;
    let of: [(&str, &str, Entries); 2] = [
        ("dhow_container_io_bytes_total", "Bytes to and from block devices", |look| &look.used.io.service_bytes),
        ("dhow_container_io_operations_total", "Operations on block devices", |look| &look.used.io.serviced),
    ];
    for (name, help, entries) in of {
        page.head(name, Sort::Counter, help);
        for (one, id) in seen.iter().zip(ids) {
            let Some(look) = &one.look else { continue };
            for operation in ["Read", "Write"] {
                let same = |entry: &&IoEntry| entry.operation.eq_ignore_ascii_case(operation);
                let sum: u64 = entries(look).iter().filter(same).map(|entry| entry.value).sum();
                let [id, own, image] = labels(one, id);
                page.line(name, &[id, own, image, ("operation", &operation.to_ascii_lowercase())], sum);
            }
        }
    }
}

fn links(page: &mut Page, seen: &[Seen], ids: &[String]) {
    type Count = fn(&Traffic) -> u64;
    let of: [(&str, Count); 8] = [
        ("receive_bytes", |traffic| traffic.rx_bytes),
        ("receive_packets", |traffic| traffic.rx_packets),
        ("receive_errors", |traffic| traffic.rx_errors),
        ("receive_dropped", |traffic| traffic.rx_dropped),
        ("transmit_bytes", |traffic| traffic.tx_bytes),
        ("transmit_packets", |traffic| traffic.tx_packets),
        ("transmit_errors", |traffic| traffic.tx_errors),
        ("transmit_dropped", |traffic| traffic.tx_dropped),
    ];
    for (what, count) in of {
        let name = format!("dhow_container_network_{what}_total");
        page.head(&name, Sort::Counter, "As the container sees its links");
        for (one, id) in seen.iter().zip(ids) {
            for (interface, traffic) in one.look.iter().flat_map(|look| &look.links) {
                let [id, own, image] = labels(one, id);
                page.line(&name, &[id, own, image, ("interface", interface)], count(traffic));
            }
        }
    }
}

fn working_set(look: &Look) -> u64 {
    let memory = &look.used.memory;
    let raw = |name: &str| memory.raw.iter().find(|(word, _)| word == name).map(|(_, value)| *value);
    let idle = raw("total_inactive_file").or_else(|| raw("inactive_file")).unwrap_or(0);
    memory.usage.usage.saturating_sub(idle)
}

/// Of nanoseconds.
fn seconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

/// Prometheus has no other numbers; above 2^53 the last digits are lost.
#[allow(clippy::cast_precision_loss)]
fn number(value: u64) -> f64 {
    value as f64
}

/// How often egress policies refused something, of those that have one.
pub fn egress(page: &mut Page, refusals: &[(std::sync::Arc<container::Container>, u64)]) {
    if refusals.is_empty() {
        return;
    }
    const NAME: &str = "dhow_container_egress_denied_total";
    page.head(NAME, Sort::Counter, "Connections and names outside that an egress policy did not let through");
    for (container, count) in refusals {
        let id = container.id.to_string();
        let labels = [("id", id.as_str()), ("name", &container.name), ("image", &container.config.image)];
        page.line(NAME, &labels, *count);
    }
}
