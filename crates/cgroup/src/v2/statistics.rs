//! What a v2 group counts, in v1's tables where there are such.

use super::Tree;
use crate::folder::SELF;
use crate::oom::OomWatch;
use crate::statistics::{
    Counter, Cpu, Cpuset, Hugetlb, Io, IoEntry, Memory, Pids, Source, counter, list, pressure, words,
};
use crate::usage::field;
use crate::{Error, Pressures, Statistics};

const NANOSECONDS: u64 = 1000;

impl Tree {
    pub(crate) fn statistics(&self) -> Result<Statistics, Error> {
        let source = Source(&self.parent, SELF);
        Ok(Statistics {
            cpu: cpu(source)?,
            cpuset: Cpuset {
                cpus: list(&source.text("cpuset.cpus")?.unwrap_or_default()),
                mems: list(&source.text("cpuset.mems")?.unwrap_or_default()),
                flags: Vec::new(),
            },
            memory: memory(source)?,
            pids: pids(source)?,
            io: io(source)?,
            hugetlb: self.hugetlb_statistics(source)?,
        })
    }

    /// See [`crate::Group::main_statistics`].
    pub(crate) fn main_statistics(&self, name: &str) -> Result<Statistics, Error> {
        let source = Source(&self.parent, name);
        let mut usage = counter(source, ["memory.current", "memory.peak", "", "memory.max"])?.unwrap_or_default();
        let events = source.text("memory.events")?.unwrap_or_default();
        usage.failures = field(&events, "oom").unwrap_or(0);
        let raw = words(&source.text("memory.stat")?.unwrap_or_default());
        Ok(Statistics {
            cpu: cpu_counters(source)?,
            memory: Memory { usage, raw, ..Memory::default() },
            pids: pids(source)?,
            io: read_io(&source.text("io.stat")?.unwrap_or_default()),
            ..Statistics::default()
        })
    }

    /// See [`crate::Group::pressures`].
    pub(crate) fn pressures(&self, name: &str) -> Result<Pressures, Error> {
        let source = Source(&self.parent, name);
        Ok(Pressures {
            cpu: pressure(source, "cpu.pressure")?,
            memory: pressure(source, "memory.pressure")?,
            io: pressure(source, "io.pressure")?,
        })
    }

    pub(crate) fn watch_memory(&self) -> Result<OomWatch, Error> {
        OomWatch::v2(self.parent.path())
    }

    fn hugetlb_statistics(&self, source: Source<'_>) -> Result<Vec<(String, Hugetlb)>, Error> {
        let mut all = Vec::new();
        for size in self.parent.page_sizes(SELF)? {
            let usage = match source.number(&format!("hugetlb.{size}.rsvd.current"))? {
                None => source.number(&format!("hugetlb.{size}.current"))?,
                usage => usage,
            };
            let events = source.text(&format!("hugetlb.{size}.events"))?.unwrap_or_default();
            let failures = field(&events, "max").unwrap_or(0);
            if let Some(usage) = usage {
                all.push((size, Hugetlb { usage, max: 0, failures }));
            }
        }
        Ok(all)
    }
}

fn cpu(source: Source<'_>) -> Result<Cpu, Error> {
    Ok(Cpu { pressure: pressure(source, "cpu.pressure")?, ..cpu_counters(source)? })
}

fn cpu_counters(source: Source<'_>) -> Result<Cpu, Error> {
    let text = source.text("cpu.stat")?.unwrap_or_default();
    let number = |name| field(&text, name).unwrap_or(0);
    let time = |name| number(name).saturating_mul(NANOSECONDS);
    Ok(Cpu {
        total: time("usage_usec"),
        user: time("user_usec"),
        kernel: time("system_usec"),
        periods: number("nr_periods"),
        throttled_periods: number("nr_throttled"),
        throttled_time: time("throttled_usec"),
        ..Cpu::default()
    })
}

fn memory(source: Source<'_>) -> Result<Memory, Error> {
    let raw = words(&source.text("memory.stat")?.unwrap_or_default());
    let usage = counter(source, ["memory.current", "memory.peak", "", "memory.max"])?.unwrap_or_default();
    let swap = counter(source, ["memory.swap.current", "", "", "memory.swap.max"])?;
    Ok(Memory {
        cache: raw.iter().find(|(name, _)| name == "file").map_or(0, |(_, value)| *value),
        swap: swap.map_or(usage, |swap| together(usage, swap)),
        usage,
        kernel: Counter { usage: source.number("memory.kernel")?.unwrap_or(0), ..Counter::default() },
        kernel_tcp: Counter::default(),
        raw,
        pressure: pressure(source, "memory.pressure")?,
    })
}

/// v1 counts memory and swap together; their common peak is not known.
fn together(memory: Counter, swap: Counter) -> Counter {
    Counter {
        usage: memory.usage.saturating_add(swap.usage),
        // No limit of one is no limit of both.
        limit: memory.limit.saturating_add(swap.limit),
        max: 0,
        failures: 0,
    }
}

/// Without the controller the processes are counted.
fn pids(source: Source<'_>) -> Result<Pids, Error> {
    let Some(current) = source.number("pids.current")? else {
        let list = match source.text("cgroup.procs")? {
            None => source.text("cgroup.threads")?,
            list => list,
        };
        return Ok(Pids { current: list.unwrap_or_default().lines().count() as u64, limit: 0 });
    };
    let limit = source.number("pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
    Ok(Pids { current, limit })
}

fn io(source: Source<'_>) -> Result<Io, Error> {
    let mut io = read_io(&source.text("io.stat")?.unwrap_or_default());
    io.pressure = pressure(source, "io.pressure")?;
    Ok(io)
}

/// Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
fn read_io(text: &str) -> Io {
    let mut io = Io::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let device = fields.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(major, minor)| (major.parse(), minor.parse())) else {
            continue;
        };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (table, operation) = match key {
                "rbytes" => (&mut io.service_bytes, "Read"),
                "wbytes" => (&mut io.service_bytes, "Write"),
                "rios" => (&mut io.serviced, "Read"),
                "wios" => (&mut io.serviced, "Write"),
                _ => continue,
            };
            if let Ok(value) = value.parse() {
                table.push(IoEntry { major, minor, operation: operation.to_owned(), value });
            }
        }
    }
    io
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_stands_in_v1s_tables() {
        let io = read_io("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5\n259:1 rbytes=9\nbroken\n");
        let entry =
            |major, minor, operation: &str, value| IoEntry { major, minor, operation: operation.to_owned(), value };
        assert_eq!(io.service_bytes, [entry(8, 0, "Read", 1), entry(8, 0, "Write", 2), entry(259, 1, "Read", 9)]);
        assert_eq!(io.serviced, [entry(8, 0, "Read", 3), entry(8, 0, "Write", 4)]);
    }

    #[test]
    fn no_limit_of_swap_is_no_limit_of_both() {
        let counter = |usage, limit| Counter { usage, limit, ..Counter::default() };
        assert_eq!(together(counter(1, 10), counter(2, 20)), counter(3, 30));
        assert_eq!(together(counter(1, 10), counter(2, u64::MAX)), counter(3, u64::MAX));
    }
}
