//! Changes against what containers have.

use super::*;
use container::{Config, RestartPolicy};
use serde_json::json;

fn container(host: Value) -> Container {
    let config = Config { asked: json!({ "HostConfig": host }).into(), ..Config::default() };
    Container {
        id: base::Id::random(),
        name: "one".into(),
        created_at: 0,
        image_id: format!("sha256:{}", "0".repeat(64)).parse().expect("a digest"),
        config,
        mounts: Vec::new(),
        own_user_namespace: true,
    }
}

fn apply(host: Value, asked: Value) -> Result<Update, String> {
    let asked: UpdateRequest = serde_json::from_value(asked).expect("a request");
    let change = Change(wide(asked));
    change.apply(&container(host)).map_err(|refusal| {
        let (_, why) = refusal.message.split_once(": ").expect("an id and a reason");
        why.to_owned()
    })
}

#[test]
fn what_contradicts_the_container_is_refused() {
    for (host, asked, why) in [
        (json!({}), json!({"Memory": 10_000_000}), "Memory limit should be smaller than already set memoryswap"),
        (
            json!({"NanoCpus": 1}),
            json!({"CpuPeriod": 5000}),
            "Conflicting options: CPU Period cannot be updated as NanoCPUs",
        ),
        (
            json!({"NanoCpus": 1}),
            json!({"CpuQuota": 5000}),
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs",
        ),
        (
            json!({"CpuQuota": 5000}),
            json!({"NanoCpus": 1}),
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota",
        ),
        (
            json!({"CpuPeriod": 5000}),
            json!({"NanoCpus": 1}),
            "Conflicting options: Nano CPUs cannot be updated as CPU Period",
        ),
    ] {
        let refused = apply(host, asked).expect_err(why);
        assert!(refused.starts_with(why), "{refused}");
    }
}

#[test]
fn memory_and_swap_are_told_together() {
    let update = apply(json!({"Memory": 100_000_000}), json!({"Memory": 150_000_000})).expect("a change");
    let memory = update.live.memory.expect("memory");
    assert_eq!((memory.limit, memory.swap), (Some(150_000_000), Some(200_000_000)));
    assert_eq!(update.config.asked.value()["HostConfig"], json!({"Memory": 150_000_000, "MemorySwap": 200_000_000}));
    assert_eq!(update.config.resources.memory.expect("memory").limit, Some(150_000_000));
    assert!(update.live.cpu.is_none() && update.live.pids.is_none());
}

#[test]
fn unlimited_swap_is_in_the_way_of_memory_alone_only() {
    let has = json!({"Memory": 100_000_000, "MemorySwap": -1});
    assert!(apply(has.clone(), json!({"CpuShares": 100})).is_ok());
    assert!(apply(has.clone(), json!({"Memory": 150_000_000})).is_err());
    let update = apply(has, json!({"Memory": 150_000_000, "MemorySwap": -1})).expect("a change");
    assert_eq!(update.live.memory.expect("memory").swap, Some(-1));
}

#[test]
fn no_limit_of_processes_takes_the_limit_away() {
    let update = apply(json!({"PidsLimit": 5}), json!({"PidsLimit": -1})).expect("a change");
    assert_eq!(update.live.pids, Some(Pids { limit: -1 }));
    assert_eq!(update.config.resources.pids, None);
    assert_eq!(update.config.asked.value()["HostConfig"]["PidsLimit"], json!(0));
}

#[test]
fn processors_are_a_quota_and_what_is_not_asked_stays() {
    let update = apply(json!({"CpuShares": 100}), json!({"NanoCpus": 1_500_000_000})).expect("a change");
    let live = update.live.cpu.expect("processors");
    assert_eq!((live.period, live.quota, live.shares), (Some(100_000), Some(150_000), None));
    assert_eq!(update.config.resources.cpu.expect("processors").shares, Some(100));
}

#[test]
fn a_restart_policy_is_changed_unless_the_container_removes_itself() {
    let asked = json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}});
    let update = apply(json!({}), asked.clone()).expect("a change");
    assert_eq!(update.config.restart, RestartPolicy::OnFailure { most: 3 });
    assert_eq!(update.config.asked.value()["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], json!(3));
    let mut own = container(json!({}));
    own.config.auto_remove = true;
    let change = Change(wide(serde_json::from_value(asked).expect("a request")));
    let refused = change.apply(&own).expect_err("refused");
    assert_eq!(refused.status, http::StatusCode::CONFLICT);
    assert!(refused.message.ends_with("AutoRemove is enabled for the container"), "{}", refused.message);
}
