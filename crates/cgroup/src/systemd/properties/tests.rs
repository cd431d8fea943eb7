//! What limits and annotations become.

use super::*;
use oci::runtime::Pids;

const NEW: Systemd = Systemd { release: 252, version: Version::V2 };
const OLD: Systemd = Systemd { release: 239, version: Version::V1 };

fn shown(properties: &[Property]) -> String {
    properties.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn resources(text: &str) -> Resources {
    let list: Vec<(&str, i64)> = text
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(k, v)| (k, v.parse().unwrap()))
        .collect();
    let get = |key: &str| list.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let positive = |key: &str| get(key).map(|value| u64::try_from(value).unwrap());
    Resources {
        memory: Some(Memory { limit: get("memory"), swap: get("swap"), reservation: get("low"), ..Memory::default() }),
        cpu: Some(Cpu {
            shares: positive("shares"),
            quota: get("quota"),
            period: positive("period"),
            idle: get("idle"),
            ..Cpu::default()
        }),
        pids: get("pids").map(|limit| Pids { limit }),
        ..Resources::default()
    }
}

fn of(text: &str, systemd: Systemd) -> String {
    shown(&of_resources(&resources(text), systemd).unwrap())
}

#[test]
fn limits_are_properties_of_v2() {
    assert_eq!(of("", NEW), "");
    assert_eq!(of("memory=1000 swap=1500 low=10", NEW), "MemoryMax=1000 MemoryLow=10 MemorySwapMax=500");
    assert_eq!(of("memory=-1", NEW), format!("MemoryMax={INFINITY} MemorySwapMax={INFINITY}"));
    assert_eq!(of("pids=0", NEW), "TasksMax=1");
    assert_eq!(of("pids=-1", NEW), format!("TasksMax={INFINITY}"));
    assert_eq!(of("idle=1 shares=200", NEW), "CPUWeight=0");
    assert_eq!(of("shares=2", NEW), "CPUWeight=1");
}

#[test]
fn limits_are_properties_of_v1() {
    assert_eq!(of("memory=1000 swap=1500 low=10", OLD), "MemoryLimit=1000");
    assert_eq!(of("idle=1 shares=200", OLD), "CPUShares=200");
    assert_eq!(of("quota=5000 period=50000", OLD), "CPUQuotaPerSecUSec=100000");
}

#[test]
fn a_quota_is_rounded_up_to_whole_percents() {
    assert_eq!(of("quota=4000 period=10000", NEW), "CPUQuotaPeriodUSec=10000 CPUQuotaPerSecUSec=400000");
    assert_eq!(of("quota=30000", NEW), "CPUQuotaPerSecUSec=300000");
    assert_eq!(of("quota=1001", NEW), "CPUQuotaPerSecUSec=20000");
    assert_eq!(of("quota=-1", NEW), format!("CPUQuotaPerSecUSec={INFINITY}"));
    assert_eq!(of("period=50000", NEW), format!("CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec={INFINITY}"));
    let kept = |text: &str| rounded(&resources(text)).cpu.unwrap().quota;
    assert_eq!(kept("quota=1001"), Some(2000));
    assert_eq!(kept("quota=4000 period=10000"), Some(4000));
    assert_eq!((kept("quota=-1"), kept("period=7"), kept("quota=0")), (Some(-1), None, Some(0)));
}

#[test]
fn lists_of_processors_are_masks() {
    assert_eq!(bits("0-2,7"), Some(vec![0b1000_0111]));
    assert_eq!(bits("5-8"), Some(vec![0b1110_0000, 1]));
    assert_eq!(bits(" 1 , ,"), Some(vec![2]));
    for list in ["", ",", "3-1", "a", "1-", "99999999"] {
        assert_eq!(bits(list), None, "{list}");
    }
    assert_eq!(of_list("AllowedCPUs", "cpus", "0", OLD).unwrap(), None);
}

#[test]
fn files_of_v2_are_properties_where_systemd_has_one() {
    let of = |pairs: &[(&str, &str)]| {
        let unified = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        of_unified(&unified, NEW).map(|properties| shown(&properties)).map_err(|e| e.to_string())
    };
    let all = of(&[
        ("cpu.max", "max 50000"),
        ("cpu.weight", " 42\n"),
        ("cpuset.cpus", "0"),
        ("io.latency", "1:2 target=3"),
        ("memory.high", "max"),
        ("memory.swap.max", "0"),
        ("pids.max", "0"),
    ]);
    let wanted = format!(
        "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec={INFINITY} CPUWeight=42 AllowedCPUs=[1] MemoryHigh={INFINITY} \
         MemorySwapMax=0 TasksMax=1"
    );
    assert_eq!(all, Ok(wanted));
    assert_eq!(of(&[("cpu.idle", "1"), ("cpu.weight", "8")]), Ok("CPUWeight=0".to_owned()));
    assert_eq!(of(&[("cpu.idle", "0"), ("cpu.weight", "8")]), Ok("CPUWeight=8".to_owned()));
    for wrong in [("a/b", "1"), ("memory", "1"), (".x", "1"), ("cpu.max", ""), ("cpu.max", "1 2 3"), ("pids.max", "x")]
    {
        assert!(of(&[wrong]).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_group_s_end_is_told_where_systemd_knows_it() {
    let unified = BTreeMap::from([("memory.oom.group".to_owned(), "1".to_owned())]);
    let resources = Resources { unified, ..Resources::default() };
    assert_eq!(of_memory_policy(&resources, NEW).unwrap(), None);
    let newer = Systemd { release: 253, ..NEW };
    assert_eq!(shown(&Vec::from_iter(of_memory_policy(&resources, newer).unwrap())), "OOMPolicy=\"kill\"");
}

#[test]
fn annotations_set_properties() {
    let of = |key: &str, value: &str| {
        let annotations = BTreeMap::from([(key.to_owned(), value.to_owned()), ("other".to_owned(), "(".to_owned())]);
        of_annotations(&annotations).map(|properties| shown(&properties)).map_err(|e| e.to_string())
    };
    assert_eq!(
        of("org.systemd.property.CollectMode", "'inactive-or-failed'").unwrap(),
        "CollectMode=\"inactive-or-failed\""
    );
    assert_eq!(of("org.systemd.property.TimeoutStopSec", "uint64 5").unwrap(), "TimeoutStopUSec=5000000");
    assert_eq!(of("org.systemd.property.TimeoutStopSec", "1.5").unwrap(), "TimeoutStopUSec=1500000");
    assert_eq!(of("org.systemd.property.TimeoutStopUSec", "uint64 5").unwrap(), "TimeoutStopUSec=5");
    let said = of("org.systemd.property.a1b", "true").unwrap_err();
    assert_eq!(said, "annotation org.systemd.property.a1b name incorrect: contains non-alphabetic character");
    assert!(of("org.systemd.property.ab", "true").unwrap_err().ends_with("name incorrect: too short"));
    let said = of("org.systemd.property.RuntimeMaxSec", "'5'").unwrap_err();
    assert_eq!(said, "annotation org.systemd.property.RuntimeMaxSec='5' value parse error: not a number");
    assert!(of("org.systemd.property.Wants", "multi-user.target").is_err());
}
