//! What `update` asks of the kernel and what it remembers.

use super::*;
use oci::runtime::{BlockIo, Cpu, Memory, Throttle};

fn resources(json: &str) -> Resources {
    serde_json::from_str(json).unwrap()
}

#[test]
fn options_become_resources_and_what_is_not_given_is_left_alone() {
    let options = Update {
        memory: Some("32m".to_owned()),
        memory_swap: Some("-1".to_owned()),
        cpu_quota: Some("500".to_owned()),
        pids_limit: Some(0),
        blkio_weight: Some(0),
        ..Update::default()
    };
    let read = flags::read(&options).unwrap();
    assert_eq!(read.memory, Some(Memory { limit: Some(32 << 20), swap: Some(-1), ..Memory::default() }));
    assert_eq!(read.cpu, Some(Cpu { quota: Some(500), ..Cpu::default() }));
    assert_eq!(read.pids.unwrap().limit, 0);
    assert_eq!(read.block_io, None);
    assert_eq!(flags::read(&Update::default()).unwrap(), Resources::default());
}

#[test]
fn a_wrong_value_is_told_with_the_name_of_its_option() {
    let told = |options: Update| flags::read(&options).unwrap_err().message;
    let memory = told(Update { memory: Some("much".to_owned()), ..Update::default() });
    assert_eq!(memory, "invalid value for memory: invalid size: 'much'");
    let cpu = told(Update { cpu_period: Some("-1".to_owned()), ..Update::default() });
    assert!(cpu.starts_with("invalid value for cpu-period: "), "{cpu}");
    let weight = told(Update { blkio_weight: Some(70_000), ..Update::default() });
    assert!(weight.starts_with("invalid value for blkio-weight: "), "{weight}");
}

#[test]
fn halves_get_their_other_half_from_what_is_in_force() {
    let before = resources(r#"{"memory":{"limit":10,"swap":20},"cpu":{"quota":5,"period":50}}"#);
    let complete = |json: &str| merge::complete(resources(json), &before);
    let memory = |json: &str| complete(json).memory.map(|memory| (memory.limit, memory.swap));
    assert_eq!(memory(r#"{"memory":{"swap":30}}"#), Some((Some(10), Some(30))));
    assert_eq!(memory(r#"{"memory":{"limit":15}}"#), Some((Some(15), Some(20))));
    assert_eq!(memory(r#"{"memory":{"limit":-1}}"#), Some((Some(-1), None)));
    assert_eq!(memory(r#"{"memory":{"reservation":1}}"#), Some((None, None)));
    let cpu = |json: &str| complete(json).cpu.map(|cpu| (cpu.quota, cpu.period));
    assert_eq!(cpu(r#"{"cpu":{"period":100}}"#), Some((Some(5), Some(100))));
    assert_eq!(cpu(r#"{"cpu":{"quota":-1}}"#), Some((Some(-1), Some(50))));
    assert_eq!(cpu(r#"{"cpu":{"shares":7}}"#), Some((None, None)));
}

#[test]
fn the_last_entry_of_a_device_is_changed_and_a_new_one_is_added() {
    let before = resources(
        r#"{"devices":[{"allow":false}],
            "blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":0,"rate":2}]}}"#,
    );
    let change = resources(
        r#"{"devices":[{"allow":true}],"unified":{"a.b":"1"},
            "blockIO":{"weight":100,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":3},{"major":9,"minor":0,"rate":4}]}}"#,
    );
    let after = merge::merged(before, change);
    assert!(!after.devices[0].allow);
    assert_eq!(after.unified["a.b"], "1");
    let BlockIo { weight, throttle_read_bps_device: throttles, .. } = after.block_io.unwrap();
    assert_eq!(weight, Some(100));
    let rate = |major, rate| Throttle { major, minor: 0, rate };
    assert_eq!(throttles, [rate(8, 1), rate(8, 3), rate(9, 4)]);
}
