//! The CPUs that a process may run on, sched_setaffinity(2).

use crate::failure::at;
use crate::{Failure, Step};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Binds this process to CPUs by number.
pub(crate) fn set(cpus: &[u32]) -> Result<(), Failure> {
    let mut wanted = CpuSet::new();
    for cpu in cpus {
        match usize::try_from(*cpu) {
            Ok(cpu) if cpu < CpuSet::MAX_CPU => wanted.set(cpu),
            _ => return Err(Failure::new(Step::Scheduler, Errno::INVAL, format!("CPU {cpu}"))),
        }
    }
    sched_setaffinity(None, &wanted).map_err(at(Step::Scheduler, "CPU affinity"))
}

/// Every CPU there may be: the kernel keeps to those that are there and that the cgroup allows.
pub(crate) fn all() -> Vec<u32> {
    (0..CpuSet::MAX_CPU).filter_map(|cpu| u32::try_from(cpu).ok()).collect()
}

/// Does something bound to `cpus` (empty: as it is), and is then bound as before.
pub(crate) fn bound<T>(cpus: &[u32], act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    if cpus.is_empty() {
        return act();
    }
    let before = sched_getaffinity(None).map_err(at(Step::Scheduler, "CPU affinity"))?;
    set(cpus)?;
    let done = act();
    let _ = sched_setaffinity(None, &before);
    done
}
