//! How the kernel treats the process: scheduling, I/O priority, CPUs, memory nodes, personality. Words become numbers.

use super::{PrepareError, Result};
use crate::{CpuAffinity, MemoryPolicy, ProcessPlan, Scheduler};
use oci::runtime::{IoPriority, Linux, Process};

/// sched.h
const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];
const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];
/// linux/ioprio.h
const CLASSES: [(&str, u32); 3] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
const CLASS_SHIFT: u32 = 13;
/// linux/mempolicy.h
const MODES: [(&str, u32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];
const MODE_FLAGS: [(&str, u32); 3] =
    [("MPOL_F_STATIC_NODES", 1 << 15), ("MPOL_F_RELATIVE_NODES", 1 << 14), ("MPOL_F_NUMA_BALANCING", 1 << 13)];
/// linux/personality.h
const DOMAINS: [(&str, u32); 2] = [("LINUX", 0), ("LINUX32", 8)];

/// More nodes, or CPUs, than any kernel can be built for (MAX_NUMNODES is 1024, NR_CPUS 8192).
const MOST_NODES: u32 = 1 << 10;
const MOST_CPUS: u32 = 1 << 13;

fn refused<T>(text: String) -> Result<T> {
    Err(PrepareError::Refused(text))
}

fn find<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == word).map(|(_, number)| *number)
}

/// What the process itself asks for.
pub(super) fn of_process(process: &Process, plan: &mut ProcessPlan) -> Result<()> {
    plan.scheduler = process.scheduler.as_ref().map(scheduler).transpose()?;
    plan.io_priority = process.io_priority.as_ref().map(io_priority).transpose()?;
    if let Some(affinity) = &process.exec_cpu_affinity {
        let cpus = |list: &str| {
            let read = numbers(list, MOST_CPUS);
            read.map_err(|why| PrepareError::Refused(format!("bad CPU affinity: invalid CPU list {list:?}: {why}")))
        };
        plan.cpu_affinity = CpuAffinity { initial: cpus(&affinity.initial)?, last: cpus(&affinity.last)? };
    }
    Ok(())
}

/// What the container asks for all its processes.
pub(super) fn of_container(linux: &Linux, plan: &mut ProcessPlan) -> Result<()> {
    plan.personality = linux.personality.as_ref().map(personality).transpose()?;
    plan.memory_policy = linux.memory_policy.as_ref().map(memory_policy).transpose()?;
    if let Some(scheduler) = &mut plan.scheduler {
        let cpu = linux.resources.as_ref().and_then(|resources| resources.cpu.as_ref());
        scheduler.cpus = cpu.and_then(|cpu| cpu.cpus.clone()).filter(|cpus| !cpus.is_empty());
    }
    Ok(())
}

fn scheduler(asked: &oci::runtime::Scheduler) -> Result<Scheduler> {
    let name = asked.policy.as_str();
    if name.is_empty() {
        return refused("scheduler policy is required".into());
    }
    let Some(policy) = find(&POLICIES, name) else {
        return refused(format!("invalid scheduler policy: {name}"));
    };
    if matches!(name, "SCHED_OTHER" | "SCHED_BATCH") && !(-20..=19).contains(&asked.nice) {
        return refused(format!("invalid scheduler.nice: {} when scheduler.policy is {name}", asked.nice));
    }
    if asked.priority != 0 && !matches!(name, "SCHED_FIFO" | "SCHED_RR") {
        return refused("scheduler.priority can only be specified for SchedFIFO or SchedRR policy".into());
    }
    if name != "SCHED_DEADLINE" && (asked.runtime, asked.deadline, asked.period) != (0, 0, 0) {
        return refused("scheduler runtime/deadline/period can only be specified for SchedDeadline policy".into());
    }
    let mut flags = 0;
    for flag in &asked.flags {
        match find(&FLAGS, flag) {
            Some(bit) => flags |= bit,
            None => return refused(format!("invalid scheduler flag: {flag}")),
        }
    }
    let Ok(priority) = u32::try_from(asked.priority) else {
        return refused(format!("invalid scheduler.priority: {}", asked.priority));
    };
    let (runtime, deadline, period) = (asked.runtime, asked.deadline, asked.period);
    Ok(Scheduler { policy, flags, nice: asked.nice, priority, runtime, deadline, period, cpus: None })
}

fn io_priority(asked: &IoPriority) -> Result<u32> {
    let level = u32::try_from(asked.priority).ok().filter(|level| *level <= 7);
    match (level, find(&CLASSES, &asked.class)) {
        (None, _) => refused(format!("invalid ioPriority.Priority: {}", asked.priority)),
        (_, None) => refused(format!("invalid ioPriority.Class: {:?}", asked.class)),
        (Some(level), Some(class)) => Ok(class << CLASS_SHIFT | level),
    }
}

fn personality(asked: &oci::runtime::Personality) -> Result<u32> {
    if let Some(flag) = asked.flags.first() {
        return Err(PrepareError::Unsupported(format!("the personality flag {flag}")));
    }
    match find(&DOMAINS, &asked.domain) {
        Some(domain) => Ok(domain),
        None => refused(format!("invalid personality domain {}", asked.domain)),
    }
}

fn memory_policy(asked: &oci::runtime::MemoryPolicy) -> Result<MemoryPolicy> {
    let Some(mut mode) = find(&MODES, &asked.mode) else {
        return refused(format!("invalid memory policy mode {:?}", asked.mode));
    };
    let nodes = numbers(&asked.nodes, MOST_NODES)
        .map_err(|why| PrepareError::Refused(format!("invalid memory policy nodes {:?}: {why}", asked.nodes)))?;
    match asked.mode.as_str() {
        "MPOL_DEFAULT" | "MPOL_LOCAL" if !nodes.is_empty() => {
            return refused(format!("memory policy mode requires 0 nodes but got {}", nodes.len()));
        }
        // The kernel takes this one with nodes and without.
        "MPOL_DEFAULT" | "MPOL_LOCAL" | "MPOL_PREFERRED" => {}
        _ if nodes.is_empty() => {
            return refused("memory policy mode requires at least one node but got 0".into());
        }
        _ => {}
    }
    for flag in &asked.flags {
        match find(&MODE_FLAGS, flag) {
            Some(bit) => mode |= bit,
            None => return refused(format!("invalid memory policy flag {flag:?}")),
        }
    }
    Ok(MemoryPolicy { mode, nodes })
}

/// Reads a list like `0-3,7`: sorted, each number once, all below `limit` (cpuset(7), "List format").
fn numbers(list: &str, limit: u32) -> std::result::Result<Vec<u32>, String> {
    let mut all = std::collections::BTreeSet::new();
    let number = |text: &str| match text.trim().parse::<u32>() {
        Ok(number) if number < limit => Ok(number),
        Ok(_) => Err(format!("{text} is too large: the largest is {}", limit - 1)),
        Err(e) => Err(format!("{text:?}: {e}")),
    };
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{part} runs backwards"));
        }
        all.extend(first..=last);
    }
    Ok(all.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn lists_of_numbers_are_read() {
        assert_eq!(numbers("0-2, 7,1", 8).unwrap(), [0, 1, 2, 7]);
        assert_eq!(numbers("", 8).unwrap(), [0_u32; 0]);
        for list in ["8", "2-1", "a", "-1", "1-", "0-9876543210"] {
            assert!(numbers(list, 8).is_err(), "{list}");
        }
    }

    #[test]
    fn memory_policies_are_read_and_refused_as_runc_does() {
        let policy = |mode: &str, nodes: &str, flags: &[&str]| {
            let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            memory_policy(&oci::runtime::MemoryPolicy { mode: mode.into(), nodes: nodes.into(), flags })
        };
        let bind = policy("MPOL_BIND", "0-1", &["MPOL_F_STATIC_NODES"]).unwrap();
        assert_eq!((bind.mode, bind.nodes), (2 | 1 << 15, vec![0, 1]));
        assert!(policy("MPOL_DEFAULT", "", &[]).is_ok());
        assert!(text(policy("", "0-7", &[])).contains("invalid memory policy mode"));
        assert!(text(policy("INTERLEAVE", "0", &[])).contains("invalid memory policy"));
        assert!(text(policy("MPOL_PREFERRED", "0", &["badflag"])).contains("invalid memory policy flag"));
        assert!(text(policy("MPOL_DEFAULT", "0-7", &[])).contains("mode requires 0 nodes but got 8"));
        assert!(text(policy("MPOL_BIND", "0-9876543210", &[])).contains("invalid memory policy node"));
        assert!(text(policy("MPOL_BIND", "", &[])).contains("at least one node"));
    }

    #[test]
    fn schedulers_are_checked() {
        let of = |policy: &str| oci::runtime::Scheduler { policy: policy.into(), ..Default::default() };
        assert_eq!(scheduler(&of("SCHED_BATCH")).unwrap().policy, 3);
        let flags = vec!["SCHED_FLAG_RESET_ON_FORK".to_owned()];
        let deadline = oci::runtime::Scheduler { runtime: 42_000, flags, ..of("SCHED_DEADLINE") };
        assert_eq!(scheduler(&deadline).unwrap().flags, 1);
        assert_eq!(text(scheduler(&of(""))), "scheduler policy is required");
        assert!(scheduler(&of("SCHED_BEER")).is_err());
        assert!(scheduler(&oci::runtime::Scheduler { nice: 20, ..of("SCHED_OTHER") }).is_err());
        assert!(scheduler(&oci::runtime::Scheduler { priority: 1, ..of("SCHED_OTHER") }).is_err());
        assert!(scheduler(&oci::runtime::Scheduler { period: 1, ..of("SCHED_RR") }).is_err());
        assert!(scheduler(&oci::runtime::Scheduler { flags: vec!["x".into()], ..of("SCHED_RR") }).is_err());
    }

    #[test]
    fn io_priorities_and_personalities_become_numbers() {
        let priority = |class: &str, priority| io_priority(&IoPriority { class: class.into(), priority });
        assert_eq!(priority("IOPRIO_CLASS_BE", 4).unwrap(), 2 << 13 | 4);
        assert!(priority("IOPRIO_CLASS_BE", 8).is_err());
        assert!(priority("IOPRIO_CLASS_NONE", 0).is_err());
        let domain = |domain: &str| oci::runtime::Personality { domain: domain.into(), flags: Vec::new() };
        assert_eq!(personality(&domain("LINUX32")).unwrap(), 8);
        assert_eq!(text(personality(&domain("BSD"))), "invalid personality domain BSD");
        assert!(personality(&oci::runtime::Personality { flags: vec!["x".into()], ..domain("LINUX") }).is_err());
    }
}
