//! Limits in the v1 controllers' files.

use super::Tree;
use crate::Error;
use crate::folder::Folder;
use oci::runtime::{BlockIo, Cpu, Memory, Resources};
use rustix::io::Errno;

impl Tree {
    pub(super) fn set_limits(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        if let Some(memory) = resources.memory.as_ref().filter(|memory| **memory != Memory::default()) {
            set_memory(self.need("memory")?, name, memory)?;
        }
        if let Some(cpu) = &resources.cpu {
            self.set_cpu(name, cpu)?;
        }
        if let Some(pids) = &resources.pids {
            let most = if pids.limit > 0 { pids.limit.to_string() } else { "max".to_owned() };
            self.need("pids")?.limit(name, "pids.max", &most)?;
        }
        if let Some(io) = resources.block_io.as_ref().filter(|io| **io != BlockIo::default()) {
            set_block_io(self.need("blkio")?, name, io)?;
        }
        match resources.unified.keys().next() {
            Some(key) => Err(Error::Unsupported(format!("{key} (v1)"))),
            None => Ok(()),
        }
    }

    fn set_cpu(&self, name: &str, cpu: &Cpu) -> Result<(), Error> {
        let set = |controller: &str, file: &str, value: Option<String>| match value {
            Some(value) => self.need(controller)?.limit(name, file, &value),
            None => Ok(()),
        };
        set("cpu", "cpu.shares", cpu.shares.filter(|shares| *shares != 0).map(|shares| shares.to_string()))?;
        self.set_quota(name, cpu)?;
        set(
            "cpu",
            "cpu.rt_period_us",
            cpu.realtime_period.filter(|period| *period != 0).map(|period| period.to_string()),
        )?;
        set("cpu", "cpu.rt_runtime_us", cpu.realtime_runtime.map(|runtime| runtime.to_string()))?;
        set("cpuset", "cpuset.cpus", cpu.cpus.clone().filter(|cpus| !cpus.is_empty()))?;
        set("cpuset", "cpuset.mems", cpu.mems.clone().filter(|mems| !mems.is_empty()))
    }

    /// The kernel refuses a pair that is out of bounds half-way: when the period does not go first, the quota does.
    fn set_quota(&self, name: &str, cpu: &Cpu) -> Result<(), Error> {
        let period = cpu.period.filter(|period| *period != 0).map(|period| period.to_string());
        let quota = cpu.quota.filter(|quota| *quota != 0).map(|quota| quota.max(-1).to_string());
        let pair = [("cpu.cfs_period_us", period), ("cpu.cfs_quota_us", quota)];
        let pair: Vec<_> = pair.into_iter().filter_map(|(file, value)| Some((file, value?))).collect();
        if pair.is_empty() {
            return Ok(());
        }
        set_either_way(self.need("cpu")?, name, &pair)
    }
}

/// Writes in order or, when the first value is refused as things stand, in the opposite order.
fn set_either_way(folder: &Folder, name: &str, pair: &[(&str, String)]) -> Result<(), Error> {
    let [(file, value), rest @ ..] = pair else { return Ok(()) };
    match folder.put(name, file, value) {
        Err(Errno::INVAL) if !rest.is_empty() => {
            pair.iter().rev().try_for_each(|(file, value)| folder.limit(name, file, value))
        }
        Err(e) => Err(folder.refused(name, file, value, e)),
        Ok(()) => rest.iter().try_for_each(|(file, value)| folder.limit(name, file, value)),
    }
}

/// `memory.limit_in_bytes` may never exceed `memory.memsw.limit_in_bytes` (cgroup-v1/memory.rst), so a raise writes the
/// latter first, a cut the former.
fn set_memory(folder: &Folder, name: &str, memory: &Memory) -> Result<(), Error> {
    const SWAP: &str = "memory.memsw.limit_in_bytes";
    let limit = memory.limit.filter(|limit| *limit != 0);
    // No limit of memory with a limit of both makes no sense: unlimited memory is unlimited swap, unless said otherwise.
    let swap = memory.swap.filter(|swap| *swap != 0).or(limit.filter(|limit| *limit < 0));
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap >= 0
        && (limit < 0 || swap < limit)
    {
        return Err(Error::Invalid(format!("memory and swap together ({swap}) are less than memory ({limit})")));
    }
    let swap = match swap {
        Some(_) if folder.look(name, SWAP)?.is_none() => {
            tracing::warn!("the kernel does not count swap, {name} has no limit of swap");
            None
        }
        swap => swap,
    };
    let bytes = |value: i64| value.max(-1).to_string();
    let pair = [("memory.limit_in_bytes", limit), (SWAP, swap)];
    let pair: Vec<_> = pair.into_iter().filter_map(|(file, value)| Some((file, bytes(value?)))).collect();
    set_either_way(folder, name, &pair)?;
    if let Some(reservation) = memory.reservation.filter(|reservation| *reservation != 0) {
        folder.limit(name, "memory.soft_limit_in_bytes", &bytes(reservation))?;
    }
    if let Some(swappiness) = memory.swappiness {
        folder.limit(name, "memory.swappiness", &swappiness.to_string())?;
    }
    match memory.disable_oom_killer {
        Some(disable) => folder.limit(name, "memory.oom_control", if disable { "1" } else { "0" }),
        None => Ok(()),
    }
}

fn set_block_io(folder: &Folder, name: &str, io: &BlockIo) -> Result<(), Error> {
    if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
        set_weight(folder, name, &weight.to_string())?;
    }
    for (file, rates) in [
        ("blkio.throttle.read_bps_device", &io.throttle_read_bps_device),
        ("blkio.throttle.write_bps_device", &io.throttle_write_bps_device),
        ("blkio.throttle.read_iops_device", &io.throttle_read_iops_device),
        ("blkio.throttle.write_iops_device", &io.throttle_write_iops_device),
    ] {
        for rate in rates {
            folder.limit(name, file, &format!("{}:{} {}", rate.major, rate.minor, rate.rate))?;
        }
    }
    Ok(())
}

/// Weights need an I/O scheduler that knows them (CFQ until Linux 5.0, BFQ since); without one they are ignored, as by Docker.
fn set_weight(folder: &Folder, name: &str, weight: &str) -> Result<(), Error> {
    for file in ["blkio.weight", "blkio.bfq.weight"] {
        match folder.put(name, file, weight) {
            Err(Errno::NOENT) => {}
            Err(e) => return Err(folder.refused(name, file, weight, e)),
            Ok(()) => return Ok(()),
        }
    }
    tracing::warn!("the kernel knows no weights of block I/O, {name} has none");
    Ok(())
}
