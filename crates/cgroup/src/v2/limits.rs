//! Limits in the v2 controllers' files, from values that were thought out for v1.

use super::{Tree, block_io};
use crate::limits::{self, amount};
use crate::{Error, Strictness};
use oci::runtime::{Cpu, HugepageLimit, Memory, Resources};
use rustix::io::Errno;

const BURST: &str = "cpu.max.burst";

impl Tree {
    pub(super) fn set_limits(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        if let Some(memory) = &resources.memory {
            self.set_memory(name, memory)?;
        }
        if let Some(cpu) = &resources.cpu {
            self.set_cpu(name, cpu)?;
        }
        if let Some(pids) = &resources.pids {
            self.parent.limit(name, "pids.max", &limits::most_pids(pids.limit))?;
        }
        if let Some(io) = &resources.block_io {
            block_io::set(&self.parent, name, io, self.strictness)?;
        }
        self.set_hugepages(name, &resources.hugepage_limits)?;
        for (device, rdma) in &resources.rdma {
            self.parent.limit(name, "rdma.max", &limits::rdma(device, rdma)?)?;
        }
        if resources.network.as_ref().is_some_and(|network| *network != oci::runtime::Network::default()) {
            return Err(Error::Unsupported("marks for network packets (net_cls and net_prio are v1's)".to_owned()));
        }
        // Last: they have the last word.
        for (key, value) in &resources.unified {
            self.set_unified(name, key, value)?;
        }
        Ok(())
    }

    fn set_memory(&self, name: &str, memory: &Memory) -> Result<(), Error> {
        let swap = swap_alone(memory)?;
        if memory.check_before_update == Some(true) {
            self.check_usage(name, memory)?;
        }
        // Swap first: a cut of memory then cannot flee into swap that is not allowed any more.
        if let Some(swap) = swap {
            self.set_swap(name, swap)?;
        }
        if let Some(limit) = amount(memory.limit) {
            self.parent.limit(name, "memory.max", &bytes(limit))?;
        }
        if let Some(reservation) = amount(memory.reservation) {
            self.parent.limit(name, "memory.low", &bytes(reservation))?;
        }
        if limits::swappiness(memory)?.is_some() || memory.disable_oom_killer == Some(true) {
            tracing::warn!("cgroup v2 has neither a swappiness nor a switch for the OOM killer, {name} goes without");
        }
        if amount(memory.kernel).is_some() || amount(memory.kernel_tcp).is_some() {
            tracing::warn!("limits of kernel memory are ignored, cgroup v2 has none");
        }
        Ok(())
    }

    fn set_swap(&self, name: &str, swap: i64) -> Result<(), Error> {
        let file = "memory.swap.max";
        match self.parent.put(name, file, &bytes(swap)) {
            // Where no swap is counted, none at all and no limit are what there is.
            Err(Errno::NOENT) if self.strictness == Strictness::Warn || swap <= 0 => {
                tracing::warn!("the kernel does not count swap, {name} has no limit of swap");
                Ok(())
            }
            Err(e) => Err(self.parent.refused(name, file, &bytes(swap), e)),
            Ok(()) => Ok(()),
        }
    }

    /// v2 would reclaim, and then kill, what is above the limit. A usage that cannot be read is no reason to refuse.
    fn check_usage(&self, name: &str, memory: &Memory) -> Result<(), Error> {
        let usage = self.parent.get(name, "memory.current").ok();
        let Some(usage) = usage.and_then(|text| text.trim().parse::<i64>().ok()) else { return Ok(()) };
        for (what, limit) in [("memory+swap", memory.swap), ("memory", memory.limit)] {
            if let Some(limit) = limit.filter(|limit| *limit > 0 && *limit <= usage) {
                return Err(Error::Invalid(format!("rejecting {what} limit {limit} <= usage {usage}")));
            }
        }
        Ok(())
    }

    fn set_cpu(&self, name: &str, cpu: &Cpu) -> Result<(), Error> {
        if amount(cpu.realtime_period).is_some() || amount(cpu.realtime_runtime).is_some() {
            return Err(Error::Unsupported("limits of real-time scheduling (v2)".to_owned()));
        }
        if let Some(idle) = cpu.idle {
            self.parent.limit(name, "cpu.idle", &idle.to_string())?;
        }
        if let Some(shares) = amount(cpu.shares) {
            self.parent.limit(name, "cpu.weight", &weight_of_shares(shares).to_string())?;
        }
        self.set_bandwidth(name, cpu)?;
        for (file, list) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
            if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
                self.parent.limit(name, file, list)?;
            }
        }
        Ok(())
    }

    /// A burst may not exceed the quota: one that is refused before the quota is set is set after it.
    fn set_bandwidth(&self, name: &str, cpu: &Cpu) -> Result<(), Error> {
        let (quota, period) = (amount(cpu.quota), amount(cpu.period));
        let burst = cpu.burst.map(|burst| burst.to_string());
        let late = burst.filter(|burst| self.parent.put(name, BURST, burst).is_err());
        if quota.is_some() || period.is_some() {
            let old = match (quota, period) {
                (Some(_), Some(_)) => String::new(),
                _ => self.parent.look(name, "cpu.max")?.unwrap_or_default(),
            };
            self.parent.limit(name, "cpu.max", &bandwidth(quota, period, &old))?;
        }
        late.map_or(Ok(()), |burst| self.parent.limit(name, BURST, &burst))
    }

    fn set_hugepages(&self, name: &str, wanted: &[HugepageLimit]) -> Result<(), Error> {
        for limit in wanted {
            let (size, most) = (limits::page_size(limit)?, limit.limit.to_string());
            self.parent.limit(name, &format!("hugetlb.{size}.max"), &most)?;
            // Reservations are counted since Linux 5.7.
            limits::optional(self.parent.limit(name, &format!("hugetlb.{size}.rsvd.max"), &most))?;
        }
        Ok(())
    }

    /// `unified` names files of the group as they are (runtime-spec, config-linux.md). A value of several lines is written
    /// line by line, as such files want it.
    fn set_unified(&self, name: &str, key: &str, value: &str) -> Result<(), Error> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if key.contains('/') {
            return Err(Error::Invalid(format!("unified resource {key:?} must be a file name (no slashes)")));
        }
        let Some((controller, _)) = key.split_once('.').filter(|(first, rest)| !first.is_empty() && !rest.is_empty())
        else {
            return Err(Error::Invalid(format!("unified resource {key:?} must be in the form CONTROLLER.PARAMETER")));
        };
        if !key.bytes().all(word) {
            return Err(Error::Invalid(format!("{key:?} is no file of a cgroup")));
        }
        if controller == "cgroup" && !key.starts_with("cgroup.max.") && key != "cgroup.pressure" {
            return Err(Error::Invalid(format!("{key} is no limit")));
        }
        let lines = value.split('\n').filter(|line| !line.is_empty());
        // An empty value says something, too.
        let lines: Vec<_> = if value.is_empty() { vec![""] } else { lines.collect() };
        lines.into_iter().try_for_each(|line| self.parent.limit(name, key, line)).map_err(|e| match e {
            Error::Unsupported(_) if !self.has_controller(name, controller) => {
                Error::NoController { resource: key.to_owned(), controller: controller.to_owned() }
            }
            e => e,
        })
    }

    fn has_controller(&self, name: &str, controller: &str) -> bool {
        let text = self.parent.get(name, "cgroup.controllers").unwrap_or_default();
        text.split_whitespace().any(|one| one == controller)
    }
}

/// Bytes, or "max" for -1.
fn bytes(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// v2 limits swap alone, v1 memory and swap together. `None` leaves it as it is.
pub(crate) fn swap_alone(memory: &Memory) -> Result<Option<i64>, Error> {
    let limit = amount(memory.limit);
    match (amount(memory.swap), limit) {
        (Some(both), _) if both < 0 => Ok(Some(-1)),
        (Some(both), Some(limit)) if limit < 0 => Ok(Some(both)),
        (Some(both), Some(limit)) if both >= limit => Ok(Some(both - limit)),
        (Some(both), Some(limit)) => {
            Err(Error::Invalid(format!("memory+swap limit should be >= memory limit, {both} is less than {limit}")))
        }
        (Some(_), None) => Err(Error::Invalid("unable to set swap limit without memory limit".to_owned())),
        (None, Some(limit)) if limit < 0 => Ok(Some(-1)),
        (None, _) => Ok(None),
    }
}

/// 2..=262144 to 1..=10000, 1024 to 100: both defaults meet (runc 1.4, crun 1.23 and systemd agree on this curve; the
/// straight line of before made 39 of 1024). The weight's logarithm is a parabola through the three points:
/// lg w = (l² + 125 l) / 612 - 7 / 34, where l is the binary logarithm of the shares.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    let log = match u32::try_from(shares) {
        Ok(shares @ 3..262_144) => f64::from(shares).log2(),
        Ok(0..=2) => return 1,
        _ => return 10_000,
    };
    let weight = 10f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil();
    #[expect(clippy::cast_possible_truncation, reason = "between 1 and 10,000, see the curve")]
    let whole = weight as u64;
    whole
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
    fn shares_keep_their_bounds_and_order() {
        assert_eq!([0, 2, 1024, 3333, 262_144, u64::MAX].map(weight_of_shares), [1, 1, 100, 256, 10_000, 10_000]);
        let all: Vec<_> = (2..3000).map(weight_of_shares).collect();
        assert!(all.windows(2).all(|pair| pair[0] <= pair[1]));
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
