//! Limits in the v2 controllers' files, from values that were thought out for v1.

use super::Tree;
use crate::Error;
use oci::runtime::{BlockIo, Cpu, Memory, Resources};
use rustix::io::Errno;

impl Tree {
    pub(super) fn set_limits(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        if let Some(memory) = &resources.memory {
            self.set_memory(name, memory)?;
        }
        if let Some(cpu) = &resources.cpu {
            self.set_cpu(name, cpu)?;
        }
        if let Some(pids) = &resources.pids {
            let most = if pids.limit > 0 { pids.limit.to_string() } else { "max".to_owned() };
            self.parent.limit(name, "pids.max", &most)?;
        }
        if let Some(io) = &resources.block_io {
            self.set_io(name, io)?;
        }
        for (key, value) in &resources.unified {
            self.set_unified(name, key, value)?;
        }
        Ok(())
    }

    fn set_memory(&self, name: &str, memory: &Memory) -> Result<(), Error> {
        let swap = swap_alone(memory)?;
        if let Some(limit) = memory.limit.filter(|limit| *limit != 0) {
            self.parent.limit(name, "memory.max", &bytes(limit))?;
        }
        if let Some(swap) = swap {
            match self.parent.put(name, "memory.swap.max", &bytes(swap)) {
                Err(Errno::NOENT) => tracing::warn!("the kernel does not count swap, {name} has no limit of swap"),
                Err(e) => return Err(self.parent.refused(name, "memory.swap.max", &bytes(swap), e)),
                Ok(()) => {}
            }
        }
        if let Some(reservation) = memory.reservation.filter(|reservation| *reservation != 0) {
            self.parent.limit(name, "memory.low", &bytes(reservation))?;
        }
        if memory.swappiness.is_some() || memory.disable_oom_killer == Some(true) {
            tracing::warn!("cgroup v2 has neither a swappiness nor a switch for the OOM killer, {name} goes without");
        }
        Ok(())
    }

    fn set_cpu(&self, name: &str, cpu: &Cpu) -> Result<(), Error> {
        if cpu.realtime_period.unwrap_or(0) != 0 || cpu.realtime_runtime.unwrap_or(0) != 0 {
            return Err(Error::Unsupported("limits of real-time scheduling (v2)".to_owned()));
        }
        if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
            self.parent.limit(name, "cpu.weight", &weight_of_shares(shares).to_string())?;
        }
        let (quota, period) = (cpu.quota.filter(|quota| *quota != 0), cpu.period.filter(|period| *period != 0));
        if quota.is_some() || period.is_some() {
            let old = self.parent.look(name, "cpu.max")?.unwrap_or_default();
            self.parent.limit(name, "cpu.max", &bandwidth(quota, period, &old))?;
        }
        for (file, list) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
            if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
                self.parent.limit(name, file, list)?;
            }
        }
        Ok(())
    }

    fn set_io(&self, name: &str, io: &BlockIo) -> Result<(), Error> {
        if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
            self.set_weight(name, weight)?;
        }
        for (key, rates) in [
            ("rbps", &io.throttle_read_bps_device),
            ("wbps", &io.throttle_write_bps_device),
            ("riops", &io.throttle_read_iops_device),
            ("wiops", &io.throttle_write_iops_device),
        ] {
            for rate in rates {
                let most = if rate.rate == 0 { "max".to_owned() } else { rate.rate.to_string() };
                self.parent.limit(name, "io.max", &format!("{}:{} {key}={most}", rate.major, rate.minor))?;
            }
        }
        Ok(())
    }

    fn set_weight(&self, name: &str, weight: u16) -> Result<(), Error> {
        let scaled = weight_of_block_io(weight);
        for (file, value) in [("io.bfq.weight", weight.to_string()), ("io.weight", scaled.to_string())] {
            match self.parent.put(name, file, &value) {
                Err(Errno::NOENT) => {}
                Err(e) => return Err(self.parent.refused(name, file, &value, e)),
                Ok(()) => return Ok(()),
            }
        }
        tracing::warn!("the kernel knows no weights of block I/O, {name} has none");
        Ok(())
    }

    /// `unified` names files of the group as they are (runtime-spec, config-linux.md).
    fn set_unified(&self, name: &str, key: &str, value: &str) -> Result<(), Error> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let file = key.split_once('.').is_some_and(|(controller, rest)| !controller.is_empty() && !rest.is_empty());
        if !file || !key.bytes().all(word) {
            return Err(Error::Invalid(format!("{key:?} is no file of a cgroup")));
        }
        if key.starts_with("cgroup.") {
            return Err(Error::Invalid(format!("{key} is no limit")));
        }
        self.parent.limit(name, key, value)
    }
}

/// Bytes, or "max" for -1.
fn bytes(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// v2 limits swap alone, v1 memory and swap together. `None` leaves it as it is.
fn swap_alone(memory: &Memory) -> Result<Option<i64>, Error> {
    let limit = memory.limit.filter(|limit| *limit != 0);
    match (memory.swap.filter(|swap| *swap != 0), limit) {
        (Some(both), _) if both < 0 => Ok(Some(-1)),
        (Some(both), Some(limit)) if limit < 0 => Ok(Some(both)),
        (Some(both), Some(limit)) if both >= limit => Ok(Some(both - limit)),
        (Some(both), Some(limit)) => {
            Err(Error::Invalid(format!("memory and swap together ({both}) are less than memory ({limit})")))
        }
        (Some(_), None) => Err(Error::Invalid("a limit of swap needs a limit of memory".to_owned())),
        (None, Some(limit)) if limit < 0 => Ok(Some(-1)),
        (None, _) => Ok(None),
    }
}

/// 2..=262144 to 1..=10000, as runc does.
fn weight_of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// 10..=1000 to 1..=10000, as runc does.
fn weight_of_block_io(weight: u16) -> u32 {
    1 + (u32::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

/// The text for `cpu.max`; what is not asked for stays as in `old`, or at the kernel's default.
fn bandwidth(quota: Option<i64>, period: Option<u64>, old: &str) -> String {
    let mut old = old.split_whitespace();
    let (old_quota, old_period) = (old.next().unwrap_or("max"), old.next().unwrap_or("100000"));
    let quota = quota.map_or_else(|| old_quota.to_owned(), bytes);
    let period = period.map_or_else(|| old_period.to_owned(), |period| period.to_string());
    format!("{quota} {period}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_weights_keep_their_bounds_and_order() {
        assert_eq!([0, 2, 1024, 262_144, u64::MAX].map(weight_of_shares), [1, 1, 39, 10_000, 10_000]);
        assert_eq!([0, 10, 500, 1000, u16::MAX].map(weight_of_block_io), [1, 1, 4950, 10_000, 10_000]);
    }

    #[test]
    fn swap_is_what_remains_without_memory() {
        let alone = |limit, swap| swap_alone(&Memory { limit, swap, ..Memory::default() });
        assert_eq!(alone(Some(100), Some(300)).unwrap(), Some(200));
        assert_eq!(alone(Some(100), Some(100)).unwrap(), Some(0));
        assert_eq!(alone(Some(100), Some(-1)).unwrap(), Some(-1));
        assert_eq!(alone(Some(-1), None).unwrap(), Some(-1));
        assert_eq!(alone(Some(-1), Some(300)).unwrap(), Some(300));
        assert_eq!(alone(Some(100), None).unwrap(), None);
        assert_eq!(alone(None, Some(0)).unwrap(), None);
        assert!(alone(Some(100), Some(99)).is_err());
        assert!(alone(None, Some(99)).is_err());
    }

    #[test]
    fn half_a_bandwidth_keeps_the_other_half() {
        assert_eq!(bandwidth(Some(50_000), None, "max 100000\n"), "50000 100000");
        assert_eq!(bandwidth(None, Some(20_000), "50000 100000\n"), "50000 20000");
        assert_eq!(bandwidth(Some(-1), None, "50000 20000\n"), "max 20000");
        assert_eq!(bandwidth(Some(1000), None, ""), "1000 100000");
    }
}
