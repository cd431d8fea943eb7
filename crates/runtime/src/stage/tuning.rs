//! How the kernel is to treat the process: personality, scheduling, I/O priority, memory nodes.

use crate::failure::at;
use crate::{Failure, MemoryPolicy, ProcessPlan, Scheduler, Step};
use rustix::io::Errno;
use std::io;
use sys::schedule::{self, SchedulingAttributes};

/// Done with the rights of the container's root, before its filter could forbid it.
pub(super) fn tune(plan: &ProcessPlan) -> Result<(), Failure> {
    if let Some(domain) = plan.personality {
        schedule::set_personality(domain).map_err(at(Step::Personality, "domain"))?;
    }
    if let Some(scheduler) = &plan.scheduler {
        set_scheduler(scheduler)?;
    }
    if let Some(priority) = plan.io_priority {
        schedule::set_io_priority(priority).map_err(at(Step::Scheduler, "I/O priority"))?;
    }
    if let Some(policy) = &plan.memory_policy {
        schedule::set_memory_policy(policy.mode, &bits(policy)).map_err(at(Step::MemoryPolicy, "nodes"))?;
    }
    Ok(())
}

fn set_scheduler(plan: &Scheduler) -> Result<(), Failure> {
    let attributes = SchedulingAttributes {
        policy: plan.policy,
        flags: plan.flags,
        nice: plan.nice,
        priority: plan.priority,
        runtime: plan.runtime,
        deadline: plan.deadline,
        period: plan.period,
        ..SchedulingAttributes::default()
    };
    schedule::set_scheduling(attributes).map_err(|e: io::Error| {
        let bound = e.raw_os_error() == Some(Errno::PERM.raw_os_error()) && plan.cpus.is_some();
        // sched_setattr(2): a deadline is promised for all CPUs or for none.
        let subject = if bound { "process scheduler can't be used together with AllowedCPUs" } else { "scheduler" };
        at(Step::Scheduler, subject)(e)
    })
}

/// Node n is bit n; as many words as the highest needs.
fn bits(policy: &MemoryPolicy) -> Vec<u64> {
    let mut words = Vec::new();
    for node in &policy.nodes {
        let word = usize::try_from(node / u64::BITS).unwrap_or_default();
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= 1 << (node % u64::BITS);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_become_bits() {
        assert_eq!(bits(&MemoryPolicy { mode: 0, nodes: vec![0, 3, 65] }), [0b1001, 2]);
        assert!(bits(&MemoryPolicy::default()).is_empty());
    }
}
