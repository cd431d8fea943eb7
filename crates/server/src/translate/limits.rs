//! Limits: memory, processors, processes, block devices; checked in Docker's order and words (moby, daemon/daemon_unix.go).

use super::{Around, list};
use crate::status::Refusal;
use api::types::{HostConfig, ThrottleDevice};
use container::Ulimit;
use oci::runtime::{BlockIo, Cpu, DeviceRule, Memory, Pids, Resources, Throttle, WeightDevice};

/// Below this a runtime cannot even start a process.
const LEAST_MEMORY: i64 = 6 << 20;
/// Microseconds; the period that `--cpus` is a quota of.
const PERIOD: u64 = 100_000;

/// What limits are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Create,
    /// What is not asked for stays as it is.
    Update,
}

/// The limits of `host`, or why they are not ones.
pub fn resources(host: &HostConfig, around: &dyn Around, warnings: &mut Vec<String>) -> Result<Resources, Refusal> {
    check_decoded(host, around)?;
    let host = &checked(host, around, Purpose::Create, warnings)?;
    Ok(Resources {
        devices: list(&host.device_cgroup_rules).iter().map(|text| device_rule(text)).collect::<Result<_, _>>()?,
        memory: memory(host),
        cpu: cpu(host),
        pids: host.pids_limit.filter(|limit| *limit > 0).map(|limit| Pids { limit }),
        block_io: block_io(host, around)?,
        ..Resources::default()
    })
}

/// `host` without what this machine cannot do, of which the asker is warned.
pub fn checked(
    host: &HostConfig,
    around: &dyn Around,
    purpose: Purpose,
    warnings: &mut Vec<String>,
) -> Result<HostConfig, Refusal> {
    let mut host = host.clone();
    check_memory(&mut host, around, purpose, warnings)?;
    check_cpu(&host, around.processors())?;
    if host.cpu_percent > 0 {
        warnings.push("linux does not support CPU percent. Percent discarded.".to_owned());
    }
    check_sets(&host, around)?;
    check_block_io(&mut host, around, warnings)?;
    Ok(host)
}

/// `--cgroup-parent`
pub fn parent(host: &HostConfig, around: &dyn Around, warnings: &mut Vec<String>) -> Result<String, Refusal> {
    let parent = host.cgroup_parent.as_str();
    if parent.is_empty() {
        return Ok(String::new());
    }
    if !around.limits() {
        warnings.push("This user was delegated no cgroup: the cgroup parent is discarded.".to_owned());
        return Ok(String::new());
    }
    if around.cgroup_driver() == cgroup::Driver::Systemd && (parent.len() <= 6 || !parent.ends_with(".slice")) {
        let text = "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"";
        return Err(Refusal::invalid(text));
    }
    Ok(parent.to_owned())
}

/// `--ulimit`
pub fn ulimit(asked: &api::types::Ulimit) -> Ulimit {
    Ulimit { name: asked.name.to_lowercase(), soft: asked.soft, hard: asked.hard }
}

/// Swap as Docker understands it: twice the memory when only memory is limited.
pub fn default_swap(memory: i64, swap: i64) -> i64 {
    if memory > 0 && swap == 0 { memory.saturating_mul(2) } else { swap }
}

/// What Docker says while it reads a request for a new container (moby, runconfig/hostconfig_unix.go).
pub fn check_decoded(host: &HostConfig, around: &dyn Around) -> Result<(), Refusal> {
    let realtime = around.abilities().is_none_or(|abilities| abilities.cpu_realtime);
    let (period, runtime) = (host.cpu_realtime_period, host.cpu_realtime_runtime);
    let text = match () {
        () if host.io_maximum_bandwidth != 0 => {
            "invalid option: QoS maximum bandwidth configuration is not supported on linux".to_owned()
        }
        () if host.io_maximum_iops != 0 => {
            "invalid option: QoS maximum IOPs configuration is not supported on linux".to_owned()
        }
        () if period > 0 && !realtime => "kernel does not support CPU real-time scheduler".to_owned(),
        () if runtime > 0 && !realtime => "kernel does not support CPU real-time scheduler".to_owned(),
        () if period != 0 && runtime > period => {
            "cpu real-time runtime cannot be higher than cpu real-time period".to_owned()
        }
        () if host.cpu_shares < 0 => {
            format!("invalid CPU shares ({}): value must be a positive integer", host.cpu_shares)
        }
        () => return Ok(()),
    };
    Err(Refusal::invalid(text))
}

/// In the words of moby for what a machine cannot do.
fn discarded(what: &str) -> String {
    format!("Your kernel does not support {what} or the cgroup is not mounted. ")
}

fn check_memory(
    host: &mut HostConfig,
    around: &dyn Around,
    purpose: Purpose,
    warnings: &mut Vec<String>,
) -> Result<(), Refusal> {
    if host.memory != 0 && host.memory < LEAST_MEMORY {
        return Err(Refusal::invalid("Minimum memory limit allowed is 6MB"));
    }
    // An engine without groups says it once for all limits.
    if let Some(abilities) = around.abilities() {
        discard_memory(host, abilities, warnings);
    }
    host.memory_swappiness = host.memory_swappiness.filter(|swappiness| *swappiness != -1);
    let (memory, swap, reservation) = (host.memory, host.memory_swap, host.memory_reservation);
    let fault = match () {
        () if memory > 0 && swap > 0 && swap < memory => {
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        }
        () if memory == 0 && swap > 0 && purpose == Purpose::Create => {
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        }
        () if reservation > 0 && reservation < LEAST_MEMORY => "Minimum memory reservation allowed is 6MB",
        () if memory > 0 && reservation > 0 && memory < reservation => {
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        }
        () => "",
    };
    if !fault.is_empty() {
        return Err(Refusal::invalid(fault));
    }
    if let Some(swappiness) = host.memory_swappiness.filter(|s| !(0..=100).contains(s)) {
        return Err(Refusal::invalid(format!("Invalid value: {swappiness}, valid memory swappiness range is 0-100")));
    }
    if host.kernel_memory > 0 {
        // Gone since Linux 5.16, and before that not what it seemed to be.
        warnings.push(discarded("kernel memory limit capabilities") + "Limitation discarded.");
    }
    if host.oom_kill_disable == Some(true) && memory == 0 {
        warnings.push("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".to_owned());
    }
    Ok(())
}

fn discard_memory(host: &mut HostConfig, abilities: cgroup::Abilities, warnings: &mut Vec<String>) {
    if host.memory > 0 && host.memory_swap != -1 && !abilities.swap {
        warnings.push(discarded("swap limit capabilities") + "Memory limited without swap.");
        host.memory_swap = -1;
    }
    if host.memory_swappiness.is_some_and(|swappiness| swappiness != -1) && !abilities.swappiness {
        warnings.push(discarded("memory swappiness capabilities") + "Memory swappiness discarded.");
        host.memory_swappiness = None;
    }
    if host.oom_kill_disable == Some(true) && !abilities.oom_kill_disable {
        warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
        host.oom_kill_disable = None;
    }
}

fn check_cpu(host: &HostConfig, processors: usize) -> Result<(), Refusal> {
    let most = i64::try_from(processors).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    let fault = match () {
        () if host.nano_cpus > 0 && host.cpu_period > 0 => {
            "Conflicting options: Nano CPUs and CPU Period cannot both be set".to_owned()
        }
        () if host.nano_cpus > 0 && host.cpu_quota > 0 => {
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set".to_owned()
        }
        () if host.nano_cpus < 0 || host.nano_cpus > most => {
            format!("range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available")
        }
        () if host.cpu_period != 0 && !(1000..=1_000_000).contains(&host.cpu_period) => {
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".to_owned()
        }
        () if host.cpu_quota > 0 && host.cpu_quota < 1000 => {
            "CPU cfs quota can not be less than 1ms (i.e. 1000)".to_owned()
        }
        () => return Ok(()),
    };
    Err(Refusal::invalid(fault))
}

fn check_sets(host: &HostConfig, around: &dyn Around) -> Result<(), Refusal> {
    let processors = around.processors();
    let last = members(&host.cpuset_cpus).ok_or_else(|| {
        Refusal::invalid(format!("Invalid value {0} for cpuset cpus: invalid format: {0}", host.cpuset_cpus))
    })?;
    if last.is_some_and(|last| last >= processors) {
        return Err(Refusal::invalid(format!(
            "Requested CPUs are not available - requested {}, available: 0-{}",
            host.cpuset_cpus,
            processors.saturating_sub(1)
        )));
    }
    let last = members(&host.cpuset_mems).ok_or_else(|| {
        Refusal::invalid(format!("Invalid value {0} for cpuset mems: invalid format: {0}", host.cpuset_mems))
    })?;
    let Some(last) = last else { return Ok(()) };
    let nodes = around.memory_nodes();
    if members(&nodes).flatten().is_some_and(|most| last > most) {
        return Err(Refusal::invalid(format!(
            "Requested memory nodes are not available - requested {}, available: {nodes}",
            host.cpuset_mems
        )));
    }
    Ok(())
}

/// The largest member of `0-2,4`; `None` when it is no such list.
fn members(text: &str) -> Option<Option<usize>> {
    let mut largest = None;
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last {
            return None;
        }
        largest = largest.max(Some(last));
    }
    Some(largest)
}

pub fn memory(host: &HostConfig) -> Option<Memory> {
    let given = |value: i64| Some(value).filter(|v| *v != 0);
    let memory = Memory {
        limit: given(host.memory),
        reservation: given(host.memory_reservation),
        swap: given(default_swap(host.memory, host.memory_swap)),
        swappiness: host.memory_swappiness.and_then(|s| u64::try_from(s).ok()),
        disable_oom_killer: host.oom_kill_disable.filter(|disable| *disable),
        ..Memory::default()
    };
    Some(memory).filter(|m| *m != Memory::default())
}

pub fn cpu(host: &HostConfig) -> Option<Cpu> {
    let positive = |value: i64| u64::try_from(value).ok().filter(|v| *v > 0);
    let text = |text: &String| Some(text.clone()).filter(|t| !t.is_empty());
    let mut cpu = Cpu {
        shares: positive(host.cpu_shares),
        quota: Some(host.cpu_quota).filter(|quota| *quota != 0),
        period: positive(host.cpu_period),
        realtime_runtime: Some(host.cpu_realtime_runtime).filter(|v| *v != 0),
        realtime_period: positive(host.cpu_realtime_period),
        cpus: text(&host.cpuset_cpus),
        mems: text(&host.cpuset_mems),
        ..Cpu::default()
    };
    if host.nano_cpus > 0 {
        cpu.period = Some(PERIOD);
        cpu.quota = Some(host.nano_cpus / 10_000);
    }
    Some(cpu).filter(|c| *c != Cpu::default())
}

fn check_block_io(host: &mut HostConfig, around: &dyn Around, warnings: &mut Vec<String>) -> Result<(), Refusal> {
    let abilities = around.abilities();
    let lacks = |has: fn(&cgroup::Abilities) -> bool| abilities.as_ref().is_some_and(|abilities| !has(abilities));
    if host.blkio_weight > 0 && lacks(|can| can.block_io_weight) {
        warnings.push(discarded("Block I/O weight") + "Weight discarded.");
        host.blkio_weight = 0;
    }
    if host.blkio_weight > 0 && !(10..=1000).contains(&host.blkio_weight) {
        return Err(Refusal::invalid("Range of blkio weight is from 10 to 1000"));
    }
    if !list(&host.blkio_weight_device).is_empty() && lacks(|can| can.block_io_weight_device) {
        warnings.push(discarded("Block I/O weight_device") + "Weight-device discarded.");
        host.blkio_weight_device = None;
    }
    let rates = [
        (&mut host.blkio_device_read_bps, "BPS Block I/O read limit", "Block I/O BPS read limit"),
        (&mut host.blkio_device_write_bps, "BPS Block I/O write limit", "Block I/O BPS write limit"),
        (&mut host.blkio_device_read_iops, "IOPS Block read limit", "Block I/O IOPS read limit"),
        (&mut host.blkio_device_write_iops, "IOPS Block write limit", "Block I/O IOPS write limit"),
    ];
    for (devices, what, which) in rates {
        if !list(devices).is_empty() && lacks(|can| can.block_io_throttle) {
            warnings.push(discarded(what) + &format!("{which} discarded."));
            *devices = None;
        }
    }
    Ok(())
}

fn block_io(host: &HostConfig, around: &dyn Around) -> Result<Option<BlockIo>, Refusal> {
    let throttles = |devices: &Option<Vec<ThrottleDevice>>| -> Result<Vec<Throttle>, Refusal> {
        let of = |device: &ThrottleDevice| {
            around.device(&device.path).map(|(major, minor)| Throttle { major, minor, rate: device.rate })
        };
        list(devices).iter().map(of).collect()
    };
    let weight = |device: &api::types::WeightDevice| {
        let (major, minor) = around.device(&device.path)?;
        Ok(WeightDevice { major, minor, weight: Some(device.weight), leaf_weight: None })
    };
    let io = BlockIo {
        weight: Some(host.blkio_weight).filter(|weight| *weight != 0),
        weight_device: list(&host.blkio_weight_device).iter().map(weight).collect::<Result<_, Refusal>>()?,
        throttle_read_bps_device: throttles(&host.blkio_device_read_bps)?,
        throttle_write_bps_device: throttles(&host.blkio_device_write_bps)?,
        throttle_read_iops_device: throttles(&host.blkio_device_read_iops)?,
        throttle_write_iops_device: throttles(&host.blkio_device_write_iops)?,
        ..BlockIo::default()
    };
    Ok(Some(io).filter(|io| *io != BlockIo::default()))
}

/// `c 1:3 rwm`, `a *:* rwm`
fn device_rule(text: &str) -> Result<DeviceRule, Refusal> {
    let wrong = || Refusal::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let [kind, numbers, access] = text.split(' ').collect::<Vec<_>>().try_into().map_err(|_| wrong())?;
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits.parse::<u32>().map(|n| Some(i64::from(n))).map_err(|_| wrong()),
    };
    let letters = !access.is_empty() && access.len() <= 3 && access.bytes().all(|b| b"rwm".contains(&b));
    if !matches!(kind, "a" | "b" | "c") || !letters {
        return Err(wrong());
    }
    let (major, minor) = (number(major)?, number(minor)?);
    Ok(DeviceRule { allow: true, kind: Some(kind.to_owned()), major, minor, access: Some(access.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_processors_are_read() {
        assert_eq!(members(""), Some(None));
        assert_eq!(members("0-2,4"), Some(Some(4)));
        for text in ["x", "2-1", ",", "1,", "-"] {
            assert_eq!(members(text), None, "{text}");
        }
    }

    #[test]
    fn device_rules_are_read_as_docker_does() {
        let rule = device_rule("c 1:* rw").expect("a rule");
        assert_eq!((rule.major, rule.minor, rule.access.as_deref()), (Some(1), None, Some("rw")));
        for text in ["", "c 1:1  rwm", " c 1:1 rwm", "z 1:1 rwm", "c 11 rwm", "c a:a rwm", "c 1:1 rwx", "c 1:1 "] {
            assert!(device_rule(text).is_err(), "{text}");
        }
    }
}
