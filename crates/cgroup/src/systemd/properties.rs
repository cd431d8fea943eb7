//! Limits as properties of a unit (systemd.resource-control(5), org.freedesktop.systemd1(5)), and those that annotations set.

use super::failure::Failure;
use super::value::Value;
use super::{devices, message, text};
use crate::limits::amount;
use crate::v2::{swap_alone, weight_of_shares};
use crate::{Error, Version};
use oci::runtime::{Cpu, Memory, Resources};
use std::collections::BTreeMap;

/// USEC_INFINITY, CGROUP_LIMIT_MAX: no limit.
const INFINITY: u64 = u64::MAX;
/// The kernel's default period, in microseconds (sched-bwc.rst, cgroup-v2.rst).
const PERIOD: u64 = 100_000;
const SECOND: u64 = 1_000_000;
/// systemd keeps whole percents of a processor: steps of 10 ms per second.
const STEP: u64 = 10_000;
const ANNOTATION: &str = "org.systemd.property.";

/// What systemd can do here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Systemd {
    pub(super) release: u32,
    pub(super) version: Version,
}

impl Systemd {
    /// Runs only when nobody else wants to: CPUWeight=idle.
    fn idles(self) -> bool {
        self.version == Version::V2 && self.release >= 252
    }
}

/// A name and a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: Value,
}

impl Property {
    pub(super) fn new(name: impl Into<String>, value: Value) -> Property {
        Property { name: name.into(), value }
    }

    fn number(name: &str, number: u64) -> Property {
        Property::new(name, Value::U64(number))
    }
}

impl std::fmt::Display for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// As methods take them.
pub(super) fn array(properties: &[Property]) -> Value {
    let entry = |property: &Property| {
        Value::Struct(vec![Value::text(&property.name), Value::Variant(Box::new(property.value.clone()))])
    };
    Value::Array("(sv)".to_owned(), properties.iter().map(entry).collect())
}

/// `org.systemd.property.NAME`: the value is GVariant's text. `...Sec` in seconds is what systemd calls `...USec`.
pub(super) fn of_annotations(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, Failure> {
    let ours = annotations.iter().filter_map(|(key, text)| Some((key, key.strip_prefix(ANNOTATION)?, text)));
    ours.map(|(key, name, text)| {
        check_name(name).map_err(|why| Failure::Name(key.clone(), why))?;
        let unreadable = |why: String| Failure::Value(key.clone(), text.clone(), why);
        let value = text::parse(text).map_err(|e| unreadable(e.to_string()))?;
        if !message::sendable(&value) {
            return Err(unreadable("its type is too long".to_owned()));
        }
        match name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase())) {
            None => Ok(Property::new(name, value)),
            Some(stem) => match microseconds(&value) {
                Some(number) => Ok(Property::number(&format!("{stem}USec"), number)),
                None => Err(unreadable("not a number".to_owned())),
            },
        }
    })
    .collect()
}

fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        _ if name.len() < 3 => Err("too short"),
        _ if !name.bytes().all(|byte| byte.is_ascii_alphabetic()) => Err("contains non-alphabetic character"),
        _ => Ok(()),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float stops at the bounds")]
fn microseconds(value: &Value) -> Option<u64> {
    let whole = |number: i128| u64::try_from(number * i128::from(SECOND)).ok();
    match *value {
        Value::Byte(seconds) => whole(seconds.into()),
        Value::I16(seconds) => whole(seconds.into()),
        Value::U16(seconds) => whole(seconds.into()),
        Value::I32(seconds) => whole(seconds.into()),
        Value::U32(seconds) => whole(seconds.into()),
        Value::I64(seconds) => whole(seconds.into()),
        Value::U64(seconds) => whole(seconds.into()),
        Value::Double(seconds) if seconds >= 0.0 => Some((seconds * SECOND as f64) as u64),
        _ => None,
    }
}

/// Those that `resources` ask for; device rules only where there are some.
pub(super) fn of_resources(resources: &Resources, systemd: Systemd) -> Result<Vec<Property>, Error> {
    let mut properties = Vec::new();
    if !resources.devices.is_empty() {
        properties.extend(devices::properties(&resources.devices, systemd)?);
    }
    if let Some(memory) = &resources.memory {
        properties.extend(of_memory(memory, systemd.version)?);
    }
    if let Some(cpu) = &resources.cpu {
        properties.extend(of_cpu(cpu, systemd)?);
    }
    if let Some(pids) = &resources.pids {
        // 0 is nothing that systemd knows.
        let most = if pids.limit < 0 { INFINITY } else { pids.limit.max(1).unsigned_abs() };
        properties.push(Property::number("TasksMax", most));
    }
    let weight = resources.block_io.as_ref().and_then(|io| amount(io.weight));
    if let Some(weight) = weight.filter(|_| systemd.version == Version::V1) {
        properties.push(Property::number("BlockIOWeight", weight.into()));
    }
    properties.extend(of_unified(&resources.unified, systemd)?);
    Ok(properties)
}

fn of_memory(memory: &Memory, version: Version) -> Result<Vec<Property>, Error> {
    let bytes = |name, bytes: i64| Property::number(name, u64::try_from(bytes).unwrap_or(INFINITY));
    let limit = amount(memory.limit);
    if version == Version::V1 {
        return Ok(limit.map(|limit| bytes("MemoryLimit", limit)).into_iter().collect());
    }
    let both =
        [("MemoryMax", limit), ("MemoryLow", amount(memory.reservation)), ("MemorySwapMax", swap_alone(memory)?)];
    Ok(both.into_iter().filter_map(|(name, value)| Some(bytes(name, value?))).collect())
}

fn of_cpu(cpu: &Cpu, systemd: Systemd) -> Result<Vec<Property>, Error> {
    let mut properties = Vec::new();
    let idle = cpu.idle == Some(1) && systemd.idles();
    if idle {
        properties.push(Property::number("CPUWeight", 0));
    }
    match (amount(cpu.shares), systemd.version) {
        (Some(_), _) if idle => {
            tracing::warn!("unable to apply both CPUWeight and CpuIdle to systemd, ignoring CPUWeight");
        }
        (Some(shares), Version::V1) => properties.push(Property::number("CPUShares", shares)),
        (Some(shares), Version::V2) => properties.push(Property::number("CPUWeight", weight_of_shares(shares))),
        (None, _) => {}
    }
    properties.extend(of_bandwidth(amount(cpu.quota), amount(cpu.period), systemd));
    for (name, key, list) in [("AllowedCPUs", "cpus", &cpu.cpus), ("AllowedMemoryNodes", "mems", &cpu.mems)] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            properties.extend(of_list(name, key, list, systemd)?);
        }
    }
    Ok(properties)
}

/// A negative quota is none.
fn of_bandwidth(quota: Option<i64>, period: Option<u64>, systemd: Systemd) -> Vec<Property> {
    let mut properties = Vec::new();
    if let Some(period) = period.filter(|_| systemd.release >= 242) {
        properties.push(Property::number("CPUQuotaPeriodUSec", period));
    }
    if quota.is_some() || period.is_some() {
        let share = quota.and_then(|quota| per_second(quota, period.unwrap_or(PERIOD))).unwrap_or(INFINITY);
        properties.push(Property::number("CPUQuotaPerSecUSec", share));
    }
    properties
}

/// Microseconds for each second, in whole steps; `None` without a limit.
fn per_second(quota: i64, period: u64) -> Option<u64> {
    let share = u128::from(u64::try_from(quota).ok()?) * u128::from(SECOND) / u128::from(period.max(1));
    u64::try_from(share).ok()?.checked_next_multiple_of(STEP)
}

/// The quota as systemd keeps it, for the files: else the next `daemon-reload` would change them.
pub(crate) fn rounded(resources: &Resources) -> Resources {
    let mut resources = resources.clone();
    if let Some(cpu) = &mut resources.cpu {
        let period = amount(cpu.period).unwrap_or(PERIOD);
        let share = amount(cpu.quota).and_then(|quota| per_second(quota, period));
        let quota = share.map(|share| u128::from(share) * u128::from(period) / u128::from(SECOND));
        cpu.quota = quota.and_then(|quota| i64::try_from(quota).ok()).or(cpu.quota);
    }
    resources
}

fn of_list(name: &str, key: &str, list: &str, systemd: Systemd) -> Result<Option<Property>, Error> {
    let bits = bits(list).ok_or_else(|| invalid(key, list, "it is no list such as 0-2,7"))?;
    // Known since 244; the file is written anyway.
    Ok((systemd.release >= 244).then(|| Property::new(name, Value::bytes(&bits))))
}

/// `0-2,7` as a mask, the lowest number in the lowest bit of the first byte.
fn bits(list: &str) -> Option<Vec<u8>> {
    const MOST: usize = 1 << 16;
    let mut mask = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        mask.resize(mask.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|bit| mask[bit / 8] |= 1 << (bit % 8));
    }
    Some(mask).filter(|mask| !mask.is_empty())
}

/// Names of v2's files that systemd has properties for; the others are only written.
fn of_unified(unified: &BTreeMap<String, String>, systemd: Systemd) -> Result<Vec<Property>, Error> {
    let mut properties = Vec::new();
    let value = |key: &str| unified.get(key).map(|value| value.trim());
    let idle = value("cpu.idle") == Some("1") && systemd.idles();
    for (key, value) in unified.iter().map(|(key, value)| (key.as_str(), value.trim())) {
        if key.contains('/') {
            return Err(invalid(key, value, "a unified resource must be a file name (no slashes)"));
        }
        if key.find('.').is_none_or(|at| at == 0) {
            return Err(invalid(key, value, "a unified resource must be in the form CONTROLLER.PARAMETER"));
        }
        match key {
            "cpu.idle" if idle => properties.push(Property::number("CPUWeight", 0)),
            "cpu.max" => properties.extend(of_maximum(value, systemd)?),
            "cpu.weight" if idle => {
                tracing::warn!("unable to apply both cpu.weight and cpu.idle to systemd, ignoring cpu.weight");
            }
            "cpu.weight" => properties.push(Property::number("CPUWeight", number(key, value)?)),
            "cpuset.cpus" => properties.extend(of_list("AllowedCPUs", key, value, systemd)?),
            "cpuset.mems" => properties.extend(of_list("AllowedMemoryNodes", key, value, systemd)?),
            "pids.max" => properties.push(Property::number("TasksMax", limit(key, value)?.max(1))),
            _ => {
                if let Some((_, name)) = MEMORY.iter().find(|(file, _)| *file == key) {
                    properties.push(Property::number(name, limit(key, value)?));
                }
            }
        }
    }
    Ok(properties)
}

const MEMORY: &[(&str, &str)] = &[
    ("memory.high", "MemoryHigh"),
    ("memory.low", "MemoryLow"),
    ("memory.max", "MemoryMax"),
    ("memory.min", "MemoryMin"),
    ("memory.swap.max", "MemorySwapMax"),
];

/// `memory.oom.group` must be told when the unit starts: systemd refuses it later.
pub(super) fn of_memory_policy(resources: &Resources, systemd: Systemd) -> Result<Option<Property>, Error> {
    let key = "memory.oom.group";
    let Some(value) = resources.unified.get(key).filter(|_| systemd.release >= 253) else { return Ok(None) };
    let policy = match number(key, value.trim())? {
        0 => "continue",
        1 => "kill",
        _ => return Ok(None),
    };
    Ok(Some(Property::new("OOMPolicy", Value::text(policy))))
}

/// `QUOTA [PERIOD]`, the quota perhaps `max`.
fn of_maximum(value: &str, systemd: Systemd) -> Result<Vec<Property>, Error> {
    let wrong = || invalid("cpu.max", value, "it is not QUOTA or QUOTA PERIOD");
    let mut words = value.split_whitespace();
    let quota = match words.next().ok_or_else(wrong)? {
        "max" => -1,
        quota => quota.parse().map_err(|_| wrong())?,
    };
    let period = words.next().map_or(Ok(PERIOD), str::parse).map_err(|_| wrong())?;
    match words.next() {
        None => Ok(of_bandwidth(Some(quota), Some(period), systemd)),
        Some(_) => Err(wrong()),
    }
}

fn limit(key: &str, value: &str) -> Result<u64, Error> {
    if value == "max" { Ok(INFINITY) } else { number(key, value) }
}

fn number(key: &str, value: &str) -> Result<u64, Error> {
    value.parse().map_err(|_| invalid(key, value, "it is no number"))
}

fn invalid(key: &str, value: &str, why: &'static str) -> Error {
    Failure::Limit { key: key.to_owned(), value: value.to_owned(), why }.into()
}

#[cfg(test)]
mod tests;
