//! How the kernel treats the calling thread: scheduling, I/O priority, memory nodes, personality.

use std::io;

/// `struct sched_attr` of linux/sched/types.h, as of Linux 3.14.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct SchedulingAttributes {
    /// Filled in by [`set_scheduling`].
    pub size: u32,
    /// SCHED_ number.
    pub policy: u32,
    /// SCHED_FLAG_ bits.
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// Nanoseconds, like the next two.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// Sets policy and attributes of the calling thread (sched_setattr(2)).
///
/// EPERM: without CAP_SYS_NICE, or a deadline policy for a thread that may not run on every CPU.
pub fn set_scheduling(attributes: SchedulingAttributes) -> io::Result<()> {
    let size = u32::try_from(size_of::<SchedulingAttributes>()).map_err(io::Error::other)?;
    let attributes = SchedulingAttributes { size, ..attributes };
    // SAFETY: the structure lives through the call and says its own size; thread 0 is the calling one.
    done(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })
}

/// Sets the I/O priority of the calling process: class in the bits from 13 on, level below (ioprio_set(2)).
pub fn set_io_priority(priority: u32) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: no pointers; process 0 is the calling one.
    done(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority) })
}

/// Sets from which memory nodes the calling thread gets its pages: MPOL_ mode with its flags, node n is bit n
/// (set_mempolicy(2)).
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    // The kernel reads one bit less than it is told (get_nodes in mm/mempolicy.c).
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    let pointer = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: `pointer` is null, or `nodes` has the bits that are told and lives through the call.
    done(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) })
}

/// Sets the execution domain of the calling process (personality(2)).
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: no pointers; execution domains change what later calls mean, and no memory.
    done(unsafe { libc::syscall(libc::SYS_personality, u64::from(domain)) }.min(0))
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_numbers_are_refused() {
        let policy = SchedulingAttributes { policy: 99, ..SchedulingAttributes::default() };
        assert_eq!(set_scheduling(policy).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(set_io_priority(7 << 13).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert!(set_memory_policy(99, &[1]).is_err());
    }

    #[test]
    fn the_default_policy_can_be_set() {
        set_memory_policy(0, &[]).unwrap();
        set_scheduling(SchedulingAttributes::default()).unwrap();
    }
}
