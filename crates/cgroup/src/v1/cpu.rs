//! Limits of CPU time and CPUs on v1 (Documentation/scheduler/sched-bwc.rst, sched-rt-group.rst).

use super::Tree;
use super::limits::set_either_way;
use crate::Error;
use crate::folder::Folder;
use crate::limits::amount;
use oci::runtime::Cpu;
use rustix::io::Errno;

const BURST: &str = "cpu.cfs_burst_us";

/// What `cpu.shares` takes; the kernel bends other values into it without a word.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

impl Tree {
    pub(super) fn set_cpu(&self, name: &str, cpu: &Cpu) -> Result<(), Error> {
        if let Some(shares) = amount(cpu.shares) {
            check_shares(shares)?;
            self.need("cpu")?.limit(name, "cpu.shares", &shares.to_string())?;
        }
        if let Some(idle) = cpu.idle {
            self.need("cpu")?.limit(name, "cpu.idle", &idle.to_string())?;
        }
        self.set_quota(name, cpu)?;
        self.set_realtime(name, cpu)?;
        for (file, list) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
            if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
                self.need("cpuset")?.limit(name, file, list)?;
            }
        }
        Ok(())
    }

    /// The kernel refuses a pair that is out of bounds half-way: when the period does not go first, the quota does. A burst
    /// may not exceed the quota, so a growing one goes after it.
    fn set_quota(&self, name: &str, cpu: &Cpu) -> Result<(), Error> {
        let period = amount(cpu.period).map(|period| period.to_string());
        let quota = amount(cpu.quota).map(|quota| quota.max(-1).to_string());
        let burst = cpu.burst.map(|burst| burst.to_string());
        let pair = [("cpu.cfs_period_us", period), ("cpu.cfs_quota_us", quota)];
        let pair: Vec<_> = pair.into_iter().filter_map(|(file, value)| Some((file, value?))).collect();
        if pair.is_empty() && burst.is_none() {
            return Ok(());
        }
        let folder = self.need("cpu")?;
        let late = burst.filter(|burst| early_burst(folder, name, burst).is_err());
        set_either_way(folder, name, &pair)?;
        late.map_or(Ok(()), |burst| folder.limit(name, BURST, &burst))
    }

    /// The same with real time (CONFIG_RT_GROUP_SCHED).
    fn set_realtime(&self, name: &str, cpu: &Cpu) -> Result<(), Error> {
        let period = amount(cpu.realtime_period).map(|period| period.to_string());
        let runtime = amount(cpu.realtime_runtime).map(|runtime| runtime.to_string());
        let pair = [("cpu.rt_period_us", period), ("cpu.rt_runtime_us", runtime)];
        let pair: Vec<_> = pair.into_iter().filter_map(|(file, value)| Some((file, value?))).collect();
        match pair.is_empty() {
            true => Ok(()),
            false => set_either_way(self.need("cpu")?, name, &pair),
        }
    }
}

/// A kernel without bursts (before Linux 5.14) is no error.
fn early_burst(folder: &Folder, name: &str, burst: &str) -> Result<(), Errno> {
    match folder.put(name, BURST, burst) {
        Err(Errno::NOENT) => {
            tracing::warn!("the kernel knows no bursts of CPU time, {name} has none");
            Ok(())
        }
        done => done,
    }
}

fn check_shares(shares: u64) -> Result<(), Error> {
    if shares < *SHARES.start() {
        return Err(Error::Invalid(format!("the minimum allowed cpu-shares is {}", SHARES.start())));
    }
    if shares > *SHARES.end() {
        return Err(Error::Invalid(format!("the maximum allowed cpu-shares is {}", SHARES.end())));
    }
    Ok(())
}
