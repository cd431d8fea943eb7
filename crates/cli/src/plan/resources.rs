//! Limits and devices.

use serde_json::{Value, json};

use super::{Object, put, put_list, put_number, put_text};
use crate::grammar::container::ContainerFlags;
use crate::grammar::values::DeviceAmount;

pub(super) fn write(flags: &ContainerFlags, host: &mut Object) -> Result<(), String> {
    if let Some(swappiness) = flags.memory_swappiness.filter(|value| *value != -1) {
        if !(0..=100).contains(&swappiness) {
            return Err(format!("invalid value: {swappiness}. Valid memory swappiness range is 0-100"));
        }
        host.insert("MemorySwappiness".to_owned(), json!(swappiness));
    }
    for (key, value) in [
        ("Memory", flags.memory),
        ("MemoryReservation", flags.memory_reservation),
        ("MemorySwap", flags.memory_swap),
        ("NanoCpus", flags.cpus),
        ("CpuShares", flags.cpu_shares),
        ("CpuPeriod", flags.cpu_period),
        ("CpuQuota", flags.cpu_quota),
        ("CpuRealtimePeriod", flags.cpu_rt_period),
        ("CpuRealtimeRuntime", flags.cpu_rt_runtime),
        ("CpuCount", flags.cpu_count),
        ("CpuPercent", flags.cpu_percent),
        ("PidsLimit", flags.pids_limit),
        ("BlkioWeight", flags.blkio_weight),
        ("OomScoreAdj", flags.oom_score_adj),
        ("ShmSize", flags.shm_size),
    ] {
        put_number(host, key, value);
    }
    put(host, "OomKillDisable", flags.oom_kill_disable);
    put_text(host, "CpusetCpus", &flags.cpuset_cpus);
    put_text(host, "CpusetMems", &flags.cpuset_mems);
    put_text(host, "CgroupParent", &flags.cgroup_parent);
    put_list(host, "DeviceCgroupRules", &flags.device_cgroup_rule);
    amounts(host, "BlkioWeightDevice", "Weight", &flags.blkio_weight_device);
    amounts(host, "BlkioDeviceReadBps", "Rate", &flags.device_read_bps);
    amounts(host, "BlkioDeviceWriteBps", "Rate", &flags.device_write_bps);
    amounts(host, "BlkioDeviceReadIOps", "Rate", &flags.device_read_iops);
    amounts(host, "BlkioDeviceWriteIOps", "Rate", &flags.device_write_iops);
    ulimits(flags, host);
    devices(flags, host)
}

fn amounts(host: &mut Object, key: &str, unit: &str, values: &[DeviceAmount]) {
    if !values.is_empty() {
        let list: Vec<Value> = values.iter().map(|v| json!({ "Path": v.path, unit: v.amount })).collect();
        host.insert(key.to_owned(), Value::Array(list));
    }
}

/// The last limit of a name wins; docker sends them in the order of their names.
fn ulimits(flags: &ContainerFlags, host: &mut Object) {
    let by_name: std::collections::BTreeMap<_, _> = flags.ulimit.iter().map(|limit| (&limit.name, limit)).collect();
    if by_name.is_empty() {
        return;
    }
    let list = by_name.values().map(|l| json!({ "Name": l.name, "Soft": l.soft, "Hard": l.hard })).collect();
    host.insert("Ulimits".to_owned(), Value::Array(list));
}

fn devices(flags: &ContainerFlags, host: &mut Object) -> Result<(), String> {
    let (named, paths): (Vec<&String>, Vec<&String>) = flags.device.iter().partition(|text| is_cdi_name(text));
    let mappings = paths.into_iter().map(|text| mapping(text)).collect::<Result<Vec<Value>, String>>()?;
    if !mappings.is_empty() {
        host.insert("Devices".to_owned(), Value::Array(mappings));
    }
    let mut requests = flags.gpus.iter().map(|text| gpus(text)).collect::<Result<Vec<Value>, String>>()?;
    if !named.is_empty() {
        requests.push(json!({ "Driver": "cdi", "DeviceIDs": named }));
    }
    if !requests.is_empty() {
        host.insert("DeviceRequests".to_owned(), Value::Array(requests));
    }
    Ok(())
}

/// A Container Device Interface name: `vendor.com/class=name`.
fn is_cdi_name(text: &str) -> bool {
    text.split_once('=').and_then(|(kind, name)| Some((kind.split_once('/')?, name))).is_some_and(
        |((vendor, class), name)| {
            vendor.starts_with(|c: char| c.is_ascii_alphabetic()) && !class.is_empty() && !name.is_empty()
        },
    )
}

/// `HOST[:CONTAINER][:MODE]`, where MODE is made of `r`, `w` and `m`.
fn mapping(text: &str) -> Result<Value, String> {
    let is_mode = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b"rwm".contains(&b))
            && b"rwm".iter().all(|letter| text.bytes().filter(|b| b == letter).count() <= 1)
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, mode] if is_mode(mode) => (*source, *source, *mode),
        [source, target] => (*source, *target, "rwm"),
        [source, target, mode] if is_mode(mode) => (*source, *target, *mode),
        [_, _, mode] => return Err(format!("bad mode specified: {mode}")),
        _ => return Err(format!("bad format for path: {text}")),
    };
    if source.is_empty() || target.is_empty() {
        return Err(format!("bad format for path: {text}"));
    }
    if !target.starts_with('/') {
        return Err(format!("{target} is not an absolute path"));
    }
    Ok(json!({ "PathOnHost": source, "PathInContainer": target, "CgroupPermissions": mode }))
}

/// `all`, a number, or fields such as `device=0,capabilities=utility`.
fn gpus(text: &str) -> Result<Value, String> {
    let mut count = None;
    let mut ids: Vec<String> = Vec::new();
    let mut capabilities = vec!["gpu".to_owned()];
    let mut driver = String::new();
    for field in super::mount::fields(text)? {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        match key {
            "count" if value == "all" => count = Some(-1),
            "count" => {
                let number = value.parse::<i64>();
                count = Some(
                    number
                        .map_err(|_| format!("invalid count ({value}): value must be either \"all\" or an integer"))?,
                );
            }
            "device" => ids = value.split(',').map(str::to_owned).collect(),
            "driver" => driver = value.to_owned(),
            "capabilities" => {
                capabilities = value.split(',').map(str::to_owned).chain(["gpu".to_owned()]).collect();
            }
            "options" => {}
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    let count = count.unwrap_or(i64::from(ids.is_empty()));
    Ok(json!({ "Driver": driver, "Count": count, "DeviceIDs": ids, "Capabilities": [capabilities] }))
}
