//! What v1 groups count.

use super::Tree;
use crate::folder::SELF;
use crate::oom::OomWatch;
use crate::statistics::{Counter, Cpu, Cpuset, Hugetlb, Io, IoEntry, Memory, Pids, Source, counter, list, words};
use crate::usage::field;
use crate::{Error, Statistics};

/// `cpuacct.stat` counts in USER_HZ, which has been 100 on all architectures here since Linux 2.6.
const NANOSECONDS_PER_TICK: u64 = 1_000_000_000 / 100;

const FLAGS: [&str; 9] = [
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
];

impl Tree {
    pub(crate) fn statistics(&self) -> Result<Statistics, Error> {
        let source = |controller: &str| self.source(controller, SELF);
        let mut all = self.main_statistics(SELF)?;
        if let Some(source) = source("cpuset") {
            all.cpuset = cpuset(source)?;
        }
        if let Some(source) = source("memory") {
            all.memory = memory(source)?;
        }
        if let Some(source) = source("hugetlb") {
            all.hugetlb = self.hugetlb_statistics(source)?;
        }
        Ok(all)
    }

    /// See [`crate::Group::main_statistics`].
    pub(crate) fn main_statistics(&self, name: &str) -> Result<Statistics, Error> {
        let source = |controller: &str| self.source(controller, name);
        let mut all = Statistics { cpu: self.cpu_statistics(name)?, ..Statistics::default() };
        if let Some(source) = source("memory") {
            all.memory.usage = memory_counter(source, "")?;
            all.memory.raw = words(&source.text("memory.stat")?.unwrap_or_default());
        }
        if let Some(source) = source("pids") {
            let limit = source.number("pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
            all.pids = Pids { current: source.number("pids.current")?.unwrap_or(0), limit };
        }
        if let Some(source) = source("blkio") {
            all.io = io(source)?;
        }
        Ok(all)
    }

    fn source<'a>(&'a self, controller: &str, name: &'a str) -> Option<Source<'a>> {
        self.with(controller).map(|folder| Source(folder, name))
    }

    pub(crate) fn watch_memory(&self) -> Result<OomWatch, Error> {
        OomWatch::v1(self.need("memory")?.path())
    }

    fn cpu_statistics(&self, name: &str) -> Result<Cpu, Error> {
        let mut cpu = Cpu::default();
        if let Some(source) = self.source("cpu", name) {
            let text = source.text("cpu.stat")?.unwrap_or_default();
            let number = |name| field(&text, name).unwrap_or(0);
            cpu.periods = number("nr_periods");
            cpu.throttled_periods = number("nr_throttled");
            cpu.throttled_time = number("throttled_time");
        }
        let Some(source) = self.source("cpuacct", name) else { return Ok(cpu) };
        let text = source.text("cpuacct.stat")?.unwrap_or_default();
        let ticks = |name| field(&text, name).unwrap_or(0).saturating_mul(NANOSECONDS_PER_TICK);
        (cpu.user, cpu.kernel) = (ticks("user"), ticks("system"));
        cpu.total = source.number("cpuacct.usage")?.unwrap_or(0);
        let each = source.text("cpuacct.usage_percpu")?.unwrap_or_default();
        cpu.per_cpu = each.split_whitespace().filter_map(|value| value.parse().ok()).collect();
        // Lines of "cpu user system" below a headline.
        for line in source.text("cpuacct.usage_all")?.unwrap_or_default().lines().skip(1) {
            let mut fields = line.split(' ').skip(1).filter_map(|value| value.parse().ok());
            if let (Some(user), Some(kernel)) = (fields.next(), fields.next()) {
                cpu.per_cpu_user.push(user);
                cpu.per_cpu_kernel.push(kernel);
            }
        }
        Ok(cpu)
    }

    fn hugetlb_statistics(&self, source: Source<'_>) -> Result<Vec<(String, Hugetlb)>, Error> {
        let mut all = Vec::new();
        for size in source.0.page_sizes(SELF)? {
            let files = |middle: &str| {
                ["usage_in_bytes", "max_usage_in_bytes", "failcnt"].map(|what| format!("hugetlb.{size}{middle}.{what}"))
            };
            for middle in [".rsvd", ""] {
                let [usage, max, failures] = files(middle);
                if let Some(found) = counter(source, [&usage, &max, &failures, ""])? {
                    all.push((size.clone(), Hugetlb { usage: found.usage, max: found.max, failures: found.failures }));
                    break;
                }
            }
        }
        Ok(all)
    }
}

fn cpuset(source: Source<'_>) -> Result<Cpuset, Error> {
    let mut cpuset = Cpuset {
        cpus: list(&source.text("cpuset.cpus")?.unwrap_or_default()),
        mems: list(&source.text("cpuset.mems")?.unwrap_or_default()),
        flags: Vec::new(),
    };
    for flag in FLAGS {
        let text = source.text(&format!("cpuset.{flag}"))?;
        if let Some(value) = text.and_then(|text| text.trim().parse().ok()) {
            cpuset.flags.push((flag.to_owned(), value));
        }
    }
    Ok(cpuset)
}

fn memory(source: Source<'_>) -> Result<Memory, Error> {
    let of = |part: &str| memory_counter(source, part);
    let raw = words(&source.text("memory.stat")?.unwrap_or_default());
    Ok(Memory {
        cache: raw.iter().find(|(name, _)| name == "cache").map_or(0, |(_, value)| *value),
        usage: of("")?,
        swap: of(".memsw")?,
        kernel: of(".kmem")?,
        kernel_tcp: of(".kmem.tcp")?,
        raw,
        pressure: None,
    })
}

fn memory_counter(source: Source<'_>, part: &str) -> Result<Counter, Error> {
    let file = |what: &str| format!("memory{part}.{what}");
    let (usage, max) = (file("usage_in_bytes"), file("max_usage_in_bytes"));
    Ok(counter(source, [&usage, &max, &file("failcnt"), &file("limit_in_bytes")])?.unwrap_or_default())
}

/// The scheduler that counts is the one whose files are there: BFQ with CONFIG_BFQ_CGROUP_DEBUG, BFQ, CFQ (until Linux 5.0),
/// else the throttling layer.
fn io(source: Source<'_>) -> Result<Io, Error> {
    let entries = |file: &str| Ok::<_, Error>(source.text(file)?.map(|text| read_io(&text)).unwrap_or_default());
    for (prefix, suffix, probe) in [
        ("blkio.bfq.", "_recursive", "sectors"),
        ("blkio.bfq.", "_recursive", "io_serviced"),
        ("blkio.", "_recursive", "sectors"),
        ("blkio.throttle.", "_recursive", "io_serviced"),
        ("blkio.throttle.", "", "io_serviced"),
    ] {
        let of = |what: &str| entries(&format!("{prefix}{what}{suffix}"));
        if of(probe)?.is_empty() {
            continue;
        }
        return Ok(Io {
            service_bytes: of("io_service_bytes")?,
            serviced: of("io_serviced")?,
            queued: of("io_queued")?,
            service_time: of("io_service_time")?,
            wait_time: of("io_wait_time")?,
            merged: of("io_merged")?,
            time: of("time")?,
            sectors: of("sectors")?,
            pressure: None,
        });
    }
    Ok(Io::default())
}

/// Lines of `8:0 Read 12`, or `8:0 12` where there is one sort; a last `Total 12` is not of a device.
fn read_io(text: &str) -> Vec<IoEntry> {
    let entry = |line: &str| {
        let mut fields = line.split([' ', ':']);
        let (major, minor) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let rest: Vec<_> = fields.collect();
        let (operation, value) = match rest.as_slice() {
            [value] => ("", value),
            [operation, value] => (*operation, value),
            _ => return None,
        };
        Some(IoEntry { major, minor, operation: operation.to_owned(), value: value.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices_are_told_apart_and_the_total_of_all_is_left_out() {
        let entry = |minor, operation: &str, value| IoEntry { major: 8, minor, operation: operation.to_owned(), value };
        let text = "8:0 Read 1282048\n8:16 Total 7\nTotal 1282055\n";
        assert_eq!(read_io(text), [entry(0, "Read", 1_282_048), entry(16, "Total", 7)]);
        assert_eq!(read_io("8:0 6792\n"), [entry(0, "", 6792)]);
    }
}
