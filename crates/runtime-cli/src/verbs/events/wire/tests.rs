//! Lines as others read them.

use super::*;
use cgroup::{IoEntry, Stall};

#[test]
fn an_empty_line_has_what_is_always_there() {
    let statistics = Statistics::default();
    let line = serde_json::to_string(&Event::stats("x", Stats::of(&statistics, Rdt::default(), None))).unwrap();
    let expected = r#"{"type":"stats","id":"x","data":{"cpu":{},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"memory":{},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}}"#;
    assert_eq!(line, expected);
    assert_eq!(serde_json::to_string(&Event::oom("x")).unwrap(), r#"{"type":"oom","id":"x"}"#);
}

#[test]
fn numbers_have_the_names_of_runc() {
    let some = Stall { avg10: 1234, avg60: 5, avg300: 0, total: 9 };
    let statistics = Statistics {
        cpu: cgroup::Cpu {
            total: 3,
            user: 2,
            kernel: 1,
            per_cpu: vec![3],
            throttled_time: 4,
            pressure: Some(Pressure { some, full: Stall::default() }),
            ..cgroup::Cpu::default()
        },
        cpuset: cgroup::Cpuset { cpus: vec![0, 1], mems: vec![0], flags: vec![("cpu_exclusive".into(), 1)] },
        memory: cgroup::Memory {
            usage: Counter { limit: u64::MAX, usage: 7, max: 8, failures: 0 },
            raw: vec![("b".into(), 2), ("a".into(), 1)],
            ..cgroup::Memory::default()
        },
        pids: cgroup::Pids { current: 2, limit: 0 },
        io: cgroup::Io {
            service_bytes: vec![IoEntry { major: 8, minor: 0, operation: "Read".into(), value: 512 }],
            ..cgroup::Io::default()
        },
        hugetlb: vec![("2MB".into(), cgroup::Hugetlb { usage: 1, max: 2, failures: 3 })],
    };
    let stats = serde_json::to_value(Stats::of(&statistics, Rdt::default(), Some(Vec::new()))).unwrap();
    let expected = serde_json::json!({
        "cpu": {
            "usage": { "total": 3, "percpu": [3], "kernel": 1, "user": 2 },
            "throttling": { "throttledTime": 4 },
            "psi": { "some": { "avg10": 12.34, "avg60": 0.05, "avg300": 0.0, "total": 9 },
                     "full": { "avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 0 } }
        },
        "cpuset": {
            "cpus": [0, 1], "cpu_exclusive": 1, "mems": [0], "mem_hardwall": 0, "mem_exclusive": 0, "memory_migrate": 0,
            "memory_spread_page": 0, "memory_spread_slab": 0, "memory_pressure": 0, "sched_load_balance": 0,
            "sched_relax_domain_level": 0
        },
        "memory": { "usage": { "limit": u64::MAX, "usage": 7, "max": 8, "failcnt": 0 }, "raw": { "a": 1, "b": 2 } },
        "pids": { "current": 2 },
        "blkio": { "ioServiceBytesRecursive": [{ "major": 8, "op": "Read", "value": 512 }] },
        "hugetlb": { "2MB": { "usage": 1, "max": 2, "failcnt": 3 } },
        "intel_rdt": {},
        "network_interfaces": []
    });
    assert_eq!(stats, expected);
}

#[test]
fn a_line_of_proc_net_dev_is_one_interface() {
    let line = "  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
    let parsed = serde_json::to_string(&NetworkInterface::parse(line).unwrap()).unwrap();
    let expected = r#"{"Name":"eth0","RxBytes":1,"RxPackets":2,"RxErrors":3,"RxDropped":4,"TxBytes":9,"TxPackets":10,"TxErrors":11,"TxDropped":12}"#;
    assert_eq!(parsed, expected);
    assert_eq!(NetworkInterface::parse("Inter-|   Receive  |  Transmit"), None);
    assert_eq!(NetworkInterface::parse(" face |bytes"), None);
}
