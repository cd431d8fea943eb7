//! Whole answers, made from records as the engine keeps them.

use super::summary::{FILTERS, Wanted};
use super::{inspect, kept, summary};
use crate::filters::Filters;
use crate::query::Query;
use crate::translate::{Around, Asked, Neighbour, meant};
use api::types::CreateRequest;
use base::{Digest, Id};
use container::{Container, MountPoint, State, Status};
use engine::Snapshot;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;
const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

struct Machine;

impl Around for Machine {
    fn runtime(&self, _name: &str) -> crate::translate::Runtime {
        crate::translate::Runtime::Own
    }
    fn cgroup_driver(&self) -> cgroup::Driver {
        cgroup::Driver::Cgroupfs
    }
    fn abilities(&self) -> Option<cgroup::Abilities> {
        None
    }
    fn limits(&self) -> bool {
        true
    }

    fn processors(&self) -> usize {
        4
    }
    fn memory_nodes(&self) -> String {
        "0".to_owned()
    }
    fn neighbour(&self, name: &str) -> Result<Neighbour, crate::status::Refusal> {
        Err(crate::status::Refusal::not_found(name))
    }
    fn exists(&self, _path: &Path) -> bool {
        true
    }
    fn device(&self, _path: &str) -> Result<(i64, i64), crate::status::Refusal> {
        Ok((8, 0))
    }
}

/// A container as it stands after this request, with what the engine resolves.
fn snapshot(request: Value, state: State) -> Snapshot {
    let typed: CreateRequest = serde_json::from_value(request.clone()).expect("a request");
    let asked = Asked { request: &typed, version: crate::version::MAX };
    let mut config = meant(asked, &Machine).expect("a configuration").config;
    config.asked = kept(request).into();
    let mounts = config.mounts.iter().map(|mount| MountPoint {
        request: mount.clone(),
        volume: match &mount.source {
            container::MountSource::Volume { name, .. } => name.clone().unwrap_or_else(|| "anon".into()),
            _ => String::new(),
        },
        source: match &mount.source {
            container::MountSource::Bind { path, .. } => path.clone(),
            container::MountSource::Volume { .. } => "/volumes/x/_data".into(),
            _ => String::new(),
        },
        anonymous: matches!(mount.source, container::MountSource::Volume { name: None, .. }),
        restrictions: Vec::new(),
    });
    let id: Id = ID.parse().expect("an id");
    let record = Container {
        id,
        name: "web".into(),
        created_at: 1_700_000_000 * SECOND,
        image_id: Digest::from_bytes([0xab; 32]),
        mounts: mounts.collect(),
        config,
        own_user_namespace: true,
    };
    let endpoint = (state.pid != 0).then(|| network::Endpoint {
        id: "ab".repeat(32),
        network: "cd".repeat(32),
        host_link: "veth1".into(),
        link: "eth0".into(),
        address: [172, 17, 0, 2].into(),
        prefix: 16,
        gateway: Some([172, 17, 0, 1].into()),
        ipv6: None,
        gateway6: None,
        is_way: false,
        name_servers: Vec::new(),
        mac: "02:42:ac:11:00:02".into(),
        ports: vec![network::Port {
            container_port: 80,
            protocol: network::Protocol::Tcp,
            host_ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
            host_port: 8080,
        }],
    });
    Snapshot {
        container: Arc::new(record),
        name: "web".into(),
        state,
        networks: vec![engine::Attached {
            network: "bridge".into(),
            network_id: "cd".repeat(32),
            endpoint,
            ..engine::Attached::default()
        }],
        image: "busybox".into(),
        log_path: String::new(),
        execs: Vec::new(),
        hostname_path: "/d/hostname".into(),
        hosts_path: "/d/hosts".into(),
        resolv_path: "/d/resolv.conf".into(),
        upper_path: "/d/upper".into(),
    }
}

fn running() -> Snapshot {
    let request = json!({
        "Image": "busybox", "Cmd": ["sh", "-c", "sleep 5"], "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Labels": {"a": "b"},
        "Volumes": {"/anon": {}},
        "HostConfig": {
            "Binds": ["/tmp:/x:ro", "data:/data"], "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "Tmpfs": {"/run": ""},
            "Memory": 67108864, "MemorySwappiness": -1, "PidsLimit": 0, "NetworkMode": "default"
        }
    });
    let state = State { status: Status::Running, pid: 42, started_at: 1_700_000_001 * SECOND, ..State::default() };
    snapshot(request, state)
}

#[test]
fn inspect_shows_what_was_asked_with_dockers_defaults() {
    let answer = serde_json::to_value(inspect::of(&running())).expect("json");
    for (path, value) in [
        ("/Id", json!(ID)),
        ("/Name", json!("/web")),
        ("/Path", json!("sh")),
        ("/Args", json!(["-c", "sleep 5"])),
        ("/State/Running", json!(true)),
        ("/State/Pid", json!(42)),
        ("/State/StartedAt", json!("2023-11-14T22:13:21Z")),
        ("/State/FinishedAt", json!("0001-01-01T00:00:00Z")),
        ("/Config/Hostname", json!(&ID[..12])),
        ("/Config/Env", Value::Null),
        ("/Config/Entrypoint", Value::Null),
        ("/Config/ExposedPorts", json!({"53/udp": {}, "80/tcp": {}})),
        ("/Config/Volumes", json!({"/anon": {}})),
        ("/HostConfig/NetworkMode", json!("bridge")),
        ("/HostConfig/Memory", json!(67_108_864)),
        ("/HostConfig/MemorySwap", json!(134_217_728)),
        ("/HostConfig/MemorySwappiness", Value::Null),
        ("/HostConfig/PidsLimit", Value::Null),
        ("/HostConfig/ShmSize", json!(67_108_864)),
        ("/HostConfig/RestartPolicy", json!({"Name": "no", "MaximumRetryCount": 0})),
        ("/HostConfig/LogConfig", json!({"Type": "json-file", "Config": {}})),
        ("/HostConfig/Tmpfs", json!({"/run": ""})),
        ("/HostConfig/Binds", json!(["/tmp:/x:ro", "data:/data"])),
        ("/NetworkSettings/Ports/80~1tcp", json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}])),
        ("/NetworkSettings/Ports/53~1udp", Value::Null),
        ("/NetworkSettings/IPAddress", json!("172.17.0.2")),
        ("/NetworkSettings/Networks/bridge/Gateway", json!("172.17.0.1")),
        ("/ExecIDs", Value::Null),
    ] {
        assert_eq!(answer.pointer(path), Some(&value), "{path}");
    }
    assert_eq!(
        answer["HostConfig"].as_object().map(serde_json::Map::len),
        Some(64),
        "71 fields, 7 of them left out when empty"
    );
}

#[test]
fn mounts_are_shown_as_docker_does() {
    let answer = serde_json::to_value(inspect::of(&running())).expect("json");
    let volume = |name: &str, target: &str, mode: &str| {
        json!({"Type": "volume", "Name": name, "Source": "/volumes/x/_data", "Destination": target, "Driver": "local",
            "Mode": mode, "RW": true, "Propagation": ""})
    };
    let bind = json!({"Type": "bind", "Source": "/tmp", "Destination": "/x", "Mode": "ro", "RW": false, "Propagation": "rprivate"});
    assert_eq!(answer["Mounts"], json!([volume("anon", "/anon", ""), volume("data", "/data", "z"), bind]));
}

#[test]
fn a_container_that_does_not_run_has_no_addresses() {
    let state = State { status: Status::Exited, exit_code: 3, finished_at: SECOND, has_run: true, ..State::default() };
    let answer = inspect::of(&snapshot(json!({"Image": "busybox"}), state));
    let answer = serde_json::to_value(answer).expect("json");
    assert_eq!(answer["NetworkSettings"]["Ports"], json!({}));
    assert_eq!(answer["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], "");
    assert_eq!(answer["State"]["Status"], "exited");
}

#[test]
fn a_row_has_what_docker_ps_prints() {
    let row = summary::of(&running(), 1_700_000_181 * SECOND);
    let row = serde_json::to_value(row).expect("json");
    for (path, value) in [
        ("/Names", json!(["/web"])),
        ("/Image", json!("busybox")),
        ("/Command", json!("sh -c 'sleep 5'")),
        ("/Created", json!(1_700_000_000)),
        ("/State", json!("running")),
        ("/Status", json!("Up 3 minutes")),
        ("/Ports/0", json!({"PrivatePort": 53, "Type": "udp"})),
        ("/Ports/1", json!({"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"})),
        ("/HostConfig/NetworkMode", json!("bridge")),
        ("/Labels", json!({"a": "b"})),
    ] {
        assert_eq!(row.pointer(path), Some(&value), "{path}");
    }
    assert_eq!(row.get("SizeRw"), None);
}

#[test]
fn filters_choose_containers() {
    let chosen = |json: &str| {
        let text: String = json.bytes().map(|b| format!("%{b:02x}")).collect();
        let uri = format!("/x?filters={text}").parse().expect("a uri");
        let filters = Filters::of(&Query::of(&uri).expect("a query"), &FILTERS).expect("filters");
        let images = [Digest::from_bytes([0xab; 32])].into();
        Wanted { all: true, limit: 0, filters, images }
            .choose(vec![running()])
            .map(|chosen| chosen.len())
            .map_err(|r| r.message)
    };
    for (asked, count) in [
        (r#"{"name":["^/web$"]}"#, 1),
        (r#"{"name":["other"]}"#, 0),
        (r#"{"id":["0011"]}"#, 1),
        (r#"{"label":["a=b"]}"#, 1),
        (r#"{"label":["a=b","c"]}"#, 0),
        (r#"{"status":["running"]}"#, 1),
        (r#"{"status":["exited"]}"#, 0),
        (r#"{"exited":["0"]}"#, 0),
        (r#"{"ancestor":["busybox:latest"]}"#, 1),
        (r#"{"network":["bridge"]}"#, 1),
        (r#"{"network":["host"]}"#, 0),
        (r#"{"volume":["data"]}"#, 1),
        (r#"{"publish":["8080"]}"#, 1),
        (r#"{"publish":["9090"]}"#, 0),
        (r#"{"publish":["8000-9000/tcp"]}"#, 1),
        (r#"{"publish":["9090"],"expose":["80"]}"#, 1),
        (r#"{"expose":["53/udp"]}"#, 1),
        (r#"{"health":["healthy"]}"#, 0),
    ] {
        assert_eq!(chosen(asked), Ok(count), "{asked}");
    }
    for wrong in [r#"{"status":["nope"]}"#, r#"{"health":["nope"]}"#, r#"{"publish":["80:80"]}"#, r#"{"expose":["x"]}"#]
    {
        assert!(chosen(wrong).is_err(), "{wrong}");
    }
    assert!(chosen(r#"{"exited":["x"]}"#).is_err());
    assert_eq!(chosen(r#"{"before":["nobody"]}"#), Err("No such container: nobody".to_owned()));
}

#[test]
fn a_row_reads_of_the_request_what_all_of_it_would_say() {
    let snapshot = snapshot(
        json!({"Image": "busybox", "HostConfig": {
            "NetworkMode": "host", "Annotations": {"a": "b"}, "Tmpfs": null, "Binds": ["/srv:/data:ro"], "Memory": 8_388_608,
        }}),
        State::default(),
    );
    let config = &snapshot.container.config;
    let (row, whole) = (super::Typed::for_row(config).host, super::Typed::of(config).host);
    assert_eq!((row.network_mode, row.annotations), (whole.network_mode, whole.annotations));
    assert_eq!((row.binds, row.tmpfs), (whole.binds, whole.tmpfs));
}
