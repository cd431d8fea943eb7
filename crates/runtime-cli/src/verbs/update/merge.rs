//! What a change of resources means together with what is in force.

use oci::runtime::{BlockIo, Cpu, Memory, Resources, Throttle, WeightDevice};

/// The change with the other half of what has two halves: a limit of memory and swap together means nothing without that of
/// memory, nor a quota without its period. Device rules are no matter of `update`.
pub fn complete(change: Resources, before: &Resources) -> Resources {
    let (old_memory, old_cpu) = (before.memory.clone().unwrap_or_default(), before.cpu.clone().unwrap_or_default());
    Resources {
        devices: Vec::new(),
        memory: change.memory.map(|memory| whole_memory(memory, &old_memory)),
        cpu: change.cpu.map(|cpu| whole_cpu(cpu, &old_cpu)),
        ..change
    }
}

fn whole_memory(new: Memory, old: &Memory) -> Memory {
    let unlimited = new.limit.is_some_and(|limit| limit < 0);
    let swap = match (new.swap, new.limit) {
        (None, Some(_)) if !unlimited => old.swap,
        (swap, _) => swap,
    };
    let limit = new.limit.or(swap.and(old.limit));
    Memory { limit, swap, kernel: None, kernel_tcp: None, ..new }
}

fn whole_cpu(new: Cpu, old: &Cpu) -> Cpu {
    let (quota, period) = match (new.quota.filter(|quota| *quota != 0), new.period.filter(|period| *period != 0)) {
        (Some(quota), None) => (Some(quota), old.period),
        (None, Some(period)) => (old.quota, Some(period)),
        both => both,
    };
    Cpu { quota, period, ..new }
}

/// What is in force, to be set once more.
pub fn again(before: &Resources) -> Resources {
    Resources { devices: Vec::new(), ..before.clone() }
}

/// What is in force after a change.
pub fn merged(before: Resources, change: Resources) -> Resources {
    let mut pages = before.hugepage_limits;
    for page in change.hugepage_limits {
        put(&mut pages, page, |old, new| old.page_size == new.page_size, |old, new| *old = new);
    }
    Resources {
        devices: before.devices,
        memory: either(before.memory, change.memory, merged_memory),
        cpu: either(before.cpu, change.cpu, merged_cpu),
        pids: change.pids.or(before.pids),
        block_io: either(before.block_io, change.block_io, merged_io),
        hugepage_limits: pages,
        network: change.network.or(before.network),
        rdma: before.rdma.into_iter().chain(change.rdma).collect(),
        unified: before.unified.into_iter().chain(change.unified).collect(),
    }
}

fn either<T>(old: Option<T>, new: Option<T>, both: impl FnOnce(T, T) -> T) -> Option<T> {
    match (old, new) {
        (Some(old), Some(new)) => Some(both(old, new)),
        (old, new) => new.or(old),
    }
}

fn merged_memory(old: Memory, new: Memory) -> Memory {
    Memory {
        limit: new.limit.or(old.limit),
        reservation: new.reservation.or(old.reservation),
        // Unlimited memory lifts the limit of swap.
        swap: new.swap.or(if new.limit.is_some_and(|limit| limit < 0) { None } else { old.swap }),
        swappiness: new.swappiness.or(old.swappiness),
        disable_oom_killer: new.disable_oom_killer.or(old.disable_oom_killer),
        check_before_update: new.check_before_update.or(old.check_before_update),
        ..old
    }
}

fn merged_cpu(old: Cpu, new: Cpu) -> Cpu {
    Cpu {
        shares: new.shares.or(old.shares),
        quota: new.quota.or(old.quota),
        period: new.period.or(old.period),
        realtime_runtime: new.realtime_runtime.or(old.realtime_runtime),
        realtime_period: new.realtime_period.or(old.realtime_period),
        cpus: new.cpus.or(old.cpus),
        mems: new.mems.or(old.mems),
        burst: new.burst.or(old.burst),
        idle: new.idle.or(old.idle),
    }
}

fn merged_io(old: BlockIo, new: BlockIo) -> BlockIo {
    let throttles = |mut all: Vec<Throttle>, more: Vec<Throttle>| {
        for one in more {
            put(&mut all, one, |a, b| (a.major, a.minor) == (b.major, b.minor), |old, new| old.rate = new.rate);
        }
        all
    };
    BlockIo {
        weight: new.weight.or(old.weight),
        leaf_weight: new.leaf_weight.or(old.leaf_weight),
        weight_device: merged_weights(old.weight_device, new.weight_device),
        throttle_read_bps_device: throttles(old.throttle_read_bps_device, new.throttle_read_bps_device),
        throttle_write_bps_device: throttles(old.throttle_write_bps_device, new.throttle_write_bps_device),
        throttle_read_iops_device: throttles(old.throttle_read_iops_device, new.throttle_read_iops_device),
        throttle_write_iops_device: throttles(old.throttle_write_iops_device, new.throttle_write_iops_device),
    }
}

fn merged_weights(mut all: Vec<WeightDevice>, more: Vec<WeightDevice>) -> Vec<WeightDevice> {
    for one in more {
        let same = |a: &WeightDevice, b: &WeightDevice| (a.major, a.minor) == (b.major, b.minor);
        put(&mut all, one, same, |old, new| {
            old.weight = new.weight.or(old.weight);
            old.leaf_weight = new.leaf_weight.or(old.leaf_weight);
        });
    }
    all
}

/// Changes the last one that is the same, or adds one: the last of several counts.
fn put<T>(all: &mut Vec<T>, one: T, same: impl Fn(&T, &T) -> bool, change: impl FnOnce(&mut T, T)) {
    match all.iter_mut().rev().find(|old| same(old, &one)) {
        Some(old) => change(old, one),
        None => all.push(one),
    }
}
