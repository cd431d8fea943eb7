//! All that the kernel counts of a group, v1 and v2 in one model: what `events --stats` tells.

mod read;

pub(crate) use read::{Source, counter, list, pressure, words};

/// Absent controllers leave zeros and empty lists. Times in nanoseconds, memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    pub cpu: Cpu,
    pub cpuset: Cpuset,
    pub memory: Memory,
    pub pids: Pids,
    pub io: Io,
    /// By page size (`2MB`).
    pub hugetlb: Vec<(String, Hugetlb)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpu {
    pub total: u64,
    pub user: u64,
    pub kernel: u64,
    /// v1: for each processor all, in the kernel, for programs.
    pub per_cpu: Vec<u64>,
    pub per_cpu_kernel: Vec<u64>,
    pub per_cpu_user: Vec<u64>,
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled_time: u64,
    pub pressure: Option<Pressure>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpuset {
    pub cpus: Vec<u16>,
    pub mems: Vec<u16>,
    /// v1's flags by file name (`cpu_exclusive`).
    pub flags: Vec<(String, i64)>,
}

/// One counter of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    /// u64::MAX is no limit.
    pub limit: u64,
    pub usage: u64,
    pub max: u64,
    pub failures: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    pub cache: u64,
    pub usage: Counter,
    /// With swap.
    pub swap: Counter,
    pub kernel: Counter,
    pub kernel_tcp: Counter,
    /// memory.stat
    pub raw: Vec<(String, u64)>,
    pub pressure: Option<Pressure>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pids {
    pub current: u64,
    /// 0 is no limit.
    pub limit: u64,
}

/// Numbers of block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Io {
    pub service_bytes: Vec<IoEntry>,
    pub serviced: Vec<IoEntry>,
    pub queued: Vec<IoEntry>,
    pub service_time: Vec<IoEntry>,
    pub wait_time: Vec<IoEntry>,
    pub merged: Vec<IoEntry>,
    pub time: Vec<IoEntry>,
    pub sectors: Vec<IoEntry>,
    pub pressure: Option<Pressure>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoEntry {
    pub major: u64,
    pub minor: u64,
    /// `Read`, `Write`, `Total`, ...
    pub operation: String,
    pub value: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hugetlb {
    pub usage: u64,
    pub max: u64,
    pub failures: u64,
}

/// Pressure stall information (Documentation/accounting/psi.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    pub some: Stall,
    pub full: Stall,
}

/// Pressure by what is waited for; v1 groups have none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressures {
    pub cpu: Option<Pressure>,
    pub memory: Option<Pressure>,
    pub io: Option<Pressure>,
}

/// Shares of time in hundredths of a percent, total in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stall {
    pub avg10: u32,
    pub avg60: u32,
    pub avg300: u32,
    pub total: u64,
}
