//! Whole requests, as the docker CLI and others send them, and what they mean.

use super::*;
use container::{MountSource, NetworkMode, PidMode, PortProtocol, Protocol, PublishRequest, SeccompChoice};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What `docker run` with many flags sends.
const CLI_REQUEST: &str = r#"{
    "Hostname": "", "Domainname": "", "User": "1000:1000", "AttachStdin": false, "AttachStdout": true, "AttachStderr": true,
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Tty": false, "OpenStdin": false, "StdinOnce": false,
    "Env": ["A=b", "C"], "Cmd": ["sh", "-c", "true"], "Image": "busybox", "Volumes": {"/anon": {}}, "WorkingDir": "/w",
    "Entrypoint": null, "OnBuild": null, "Labels": {"a": "b"}, "StopSignal": "SIGINT", "StopTimeout": 3,
    "HostConfig": {
        "Binds": ["/tmp/x:/x:ro,z", "data:/data"], "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}},
        "NetworkMode": "default", "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "18080"}, {"HostIp": "127.0.0.1", "HostPort": ""}]},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5}, "AutoRemove": false, "ConsoleSize": [24, 80],
        "CapAdd": ["NET_ADMIN"], "CapDrop": null, "CgroupnsMode": "", "Dns": ["1.1.1.1"], "ExtraHosts": ["a:1.2.3.4", "b:[::1]", "c:host-gateway"],
        "GroupAdd": ["audio", 5], "Memory": 67108864, "NanoCpus": 500000000, "PidsLimit": 100, "ShmSize": 1024,
        "SecurityOpt": ["no-new-privileges", "seccomp=unconfined", "label=disable", "apparmor=unconfined"],
        "Tmpfs": {"/run": "rw,noexec,size=64k,mode=1777"}, "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}],
        "MaskedPaths": [], "ReadonlyPaths": [], "Init": true, "OomScoreAdj": 100, "PidMode": "container:other",
        "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}]
    },
    "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": {}, "Links": null, "Aliases": null}}}
}"#;

struct Machine;

impl Around for Machine {
    fn limits(&self) -> bool {
        true
    }

    fn processors(&self) -> usize {
        4
    }
    fn memory_nodes(&self) -> String {
        "0-1".to_owned()
    }
    fn runtime(&self, name: &str) -> Runtime {
        match name {
            "" | "runc" => Runtime::Own,
            "youki" => Runtime::Foreign("/usr/bin/youki".to_owned()),
            _ => Runtime::Unknown,
        }
    }
    fn cgroup_driver(&self) -> cgroup::Driver {
        cgroup::Driver::Systemd
    }
    fn abilities(&self) -> Option<cgroup::Abilities> {
        let v1 =
            cgroup::Abilities { swap: true, swappiness: true, oom_kill_disable: true, ..cgroup::Abilities::default() };
        Some(cgroup::Abilities { block_io_weight: true, block_io_weight_device: true, block_io_throttle: true, ..v1 })
    }
    fn neighbour(&self, name: &str) -> Result<Neighbour, Refusal> {
        match name {
            "other" => Ok(Neighbour { id: "ab".repeat(32), mounts: Vec::new() }),
            _ => Err(Refusal::not_found(format!("No such container: {name}"))),
        }
    }
    fn exists(&self, path: &Path) -> bool {
        path == Path::new("/srv")
    }
    fn device(&self, _path: &str) -> Result<(i64, i64), Refusal> {
        Ok((8, 0))
    }
}

fn read_at(version: ApiVersion, value: serde_json::Value) -> Result<Meant, Refusal> {
    let request: CreateRequest = serde_json::from_value(value).expect("a request");
    meant(Asked { request: &request, version }, &Machine)
}

fn read(value: serde_json::Value) -> Result<Meant, Refusal> {
    read_at(crate::version::MAX, value)
}

fn host(value: serde_json::Value) -> Result<Config, String> {
    read(json!({"Image": "busybox", "HostConfig": value})).map(|meant| meant.config).map_err(|refusal| refusal.message)
}

fn fault(value: serde_json::Value) -> String {
    host(value).expect_err("a fault")
}

#[test]
fn a_bare_request_means_defaults() {
    let meant = read(json!({"Image": "busybox"})).expect("meant");
    assert_eq!(meant.config, Config { image: "busybox".into(), log: json_file(), ..Config::default() });
    assert_eq!(meant.warnings, Vec::<String>::new());
}

fn json_file() -> LogConfig {
    LogConfig { driver: "json-file".into(), options: BTreeMap::new() }
}

#[test]
fn the_command_lines_of_the_docker_cli_are_understood() {
    let meant = read(serde_json::from_str(CLI_REQUEST).expect("json")).expect("meant");
    let config = meant.config;
    assert_eq!(
        (config.user.as_str(), config.stop_signal.as_deref(), config.stop_timeout),
        ("1000:1000", Some("SIGINT"), Some(3))
    );
    assert_eq!(config.entrypoint, None);
    assert_eq!(config.cmd, Some(vec!["sh".into(), "-c".into(), "true".into()]));
    let targets: Vec<_> = config.mounts.iter().map(|m| (m.target.as_str(), m.readonly)).collect();
    assert_eq!(targets, [("/anon", false), ("/data", false), ("/run", false), ("/x", true)]);
    assert!(
        matches!(&config.mounts[3].source, MountSource::Bind { path, create: true, recursive_readonly: true, .. } if path == "/tmp/x")
    );
    assert!(
        matches!(&config.mounts[2].source, MountSource::Tmpfs { size: Some(65536), mode: Some(0o1777), options } if options == &["noexec"])
    );
    let tcp = PortProtocol { port: 80, protocol: Protocol::Tcp };
    assert_eq!(
        config.ports,
        [
            PublishRequest { container: tcp, host_ip: None, host_ports: (18080, 18080) },
            PublishRequest { container: tcp, host_ip: Some([127, 0, 0, 1].into()), host_ports: (0, 0) },
        ]
    );
    assert_eq!(config.exposed_ports.len(), 2);
    let memory = config.resources.memory.expect("limits");
    assert_eq!((memory.limit, memory.swap), (Some(67_108_864), Some(134_217_728)));
    let cpu = config.resources.cpu.expect("limits");
    assert_eq!((cpu.quota, cpu.period), (Some(50_000), Some(100_000)));
    assert_eq!(config.resources.pids.map(|p| p.limit), Some(100));
    assert_eq!(config.seccomp, SeccompChoice::Unconfined);
    assert!(config.no_new_privileges && config.init);
    assert_eq!(config.masked_paths, Some(vec![]));
    assert_eq!(config.pid, PidMode::Container("ab".repeat(32)));
    assert_eq!(config.group_add, ["audio", "5"]);
    assert_eq!(config.extra_hosts[1], ("b".into(), "::1".into()));
    assert_eq!(config.restart, RestartPolicy::OnFailure { most: 5 });
}

#[test]
fn an_empty_entrypoint_is_not_a_missing_one() {
    let entrypoint = |value| read(json!({"Image": "x", "Entrypoint": value})).expect("meant").config.entrypoint;
    assert_eq!(entrypoint(json!([])), Some(vec![]));
    assert_eq!(entrypoint(json!(null)), None);
    assert_eq!(entrypoint(json!("sh")), Some(vec!["sh".into()]));
}

#[test]
fn networks_are_the_built_in_ones_or_anothers() {
    assert_eq!(host(json!({"NetworkMode": "host"})).map(|c| c.network), Ok(NetworkMode::Host));
    assert_eq!(
        host(json!({"NetworkMode": "container:other"})).map(|c| c.network),
        Ok(NetworkMode::Container("ab".repeat(32)))
    );
    assert_eq!(host(json!({"NetworkMode": "mine"})).map(|c| c.network), Ok(NetworkMode::User("mine".to_owned())));
    assert_eq!(
        fault(json!({"NetworkMode": "container:nobody"})),
        "joining network namespace of container: No such container: nobody"
    );
    assert_eq!(
        fault(json!({"NetworkMode": "container:"})),
        "invalid network mode: invalid container format container:<name|id>"
    );
    let ends = json!({"EndpointsConfig": {"mine": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.1.0.5"}}}});
    let host = json!({"NetworkMode": "mine"});
    let body = json!({"Image": "x", "MacAddress": "02:42:00:00:00:01", "HostConfig": host, "NetworkingConfig": ends});
    let mut meant = read(body).expect("a good request");
    let end = meant.config.endpoints.remove("mine").expect("an end");
    assert_eq!(
        (end.aliases, end.ipv4, end.mac.as_deref()),
        (vec!["a".to_owned()], Some([10, 1, 0, 5].into()), Some("02:42:00:00:00:01"))
    );
    let refusal = read(json!({"Image": "x", "Hostname": "h", "HostConfig": {"NetworkMode": "container:other"}}))
        .expect_err("refused");
    assert_eq!(refusal.message, "conflicting options: hostname and the network mode");
}

#[test]
fn ends_are_asked_for_in_dockers_words() {
    let create = |mac: &str, end: serde_json::Value| {
        read(json!({"Image": "x", "MacAddress": mac, "NetworkingConfig": {"EndpointsConfig": {"bridge": end}}}))
    };
    let told = create("02:42:00:00:00:01", json!({})).expect("a good request").warnings;
    assert!(told.iter().any(|warning| warning.starts_with("The container-wide MacAddress field is now deprecated.")));
    let meant = create("", json!({"IPAMConfig": {"LinkLocalIPs": ["169.254.8.8"]}})).expect("a good request");
    assert_eq!(meant.config.endpoints["bridge"].link_local, ["169.254.8.8".parse::<IpAddr>().expect("an address")]);
    let during = "invalid config for network bridge: invalid";
    for (mac, end, words) in [
        ("bad", json!({}), format!("{during} MAC address bad")),
        ("", json!({"MacAddress": "bad"}), format!("{during} MAC address bad")),
        (
            "",
            json!({"IPAMConfig": {"LinkLocalIPs": ["0.0.0.0"]}}),
            format!("{during} endpoint settings:\ninvalid link-local IP address: 0.0.0.0"),
        ),
    ] {
        assert_eq!(create(mac, end).expect_err("refused").message, words);
    }
    let other = create("02:42:00:00:00:01", json!({"MacAddress": "02:42:00:00:00:02"})).expect_err("refused");
    assert!(other.message.contains("must match the endpoint-specific MAC address"));
}

#[test]
fn limits_are_refused_in_dockers_words() {
    for (asked, words) in [
        (json!({"Memory": 1024}), "Minimum memory limit allowed is 6MB"),
        (json!({"Memory": -5}), "Minimum memory limit allowed is 6MB"),
        (
            json!({"Memory": 67108864, "MemorySwap": 6000000}),
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            json!({"MemorySwap": 6000000}),
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (json!({"NanoCpus": 5000000000_i64}), "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
        (json!({"NanoCpus": 1, "CpuQuota": 5}), "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
        (json!({"CpusetCpus": "0-9"}), "Requested CPUs are not available - requested 0-9, available: 0-3"),
        (json!({"CpusetCpus": "x"}), "Invalid value x for cpuset cpus: invalid format: x"),
        (json!({"ShmSize": -1}), "SHM size can not be less than 0"),
        (json!({"OomScoreAdj": 1001}), "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
        (json!({"BlkioWeight": 5}), "Range of blkio weight is from 10 to 1000"),
        (json!({"DeviceCgroupRules": ["c 1:1 x"]}), "invalid device cgroup rule format: 'c 1:1 x'"),
    ] {
        assert_eq!(fault(asked), words);
    }
}

#[test]
fn restart_policies_are_checked() {
    for (asked, words) in [
        (
            json!({"AutoRemove": true, "RestartPolicy": {"Name": "always"}}),
            "can't create 'AutoRemove' container with restart policy",
        ),
        (
            json!({"RestartPolicy": {"Name": "sometimes"}}),
            "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        (
            json!({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}}),
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        (
            json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -3}}),
            "invalid restart policy: maximum retry count cannot be negative",
        ),
    ] {
        assert_eq!(fault(asked), words);
    }
    assert!(host(json!({"AutoRemove": true, "RestartPolicy": {"Name": "no"}})).is_ok());
}

#[test]
fn mounts_are_refused_in_dockers_words() {
    for (asked, words) in [
        (json!({"Binds": ["a:b:c:d"]}), "invalid volume specification: 'a:b:c:d'"),
        (json!({"Binds": [":/x"]}), "invalid volume specification: ':/x'"),
        (json!({"Binds": ["/a:ro"]}), "invalid volume specification: '/a:ro'"),
        (json!({"Binds": ["/a:/b:nope"]}), "invalid mode: nope"),
        (
            json!({"Binds": ["/a:b"]}),
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
        ),
        (
            json!({"Binds": ["/a:/"]}),
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        ),
        (json!({"Binds": ["/a:/x/", "/b:/x"]}), "Duplicate mount point: /x"),
        (
            json!({"Mounts": [{"Type": "bind", "Source": "/nope", "Target": "/x"}]}),
            "invalid mount config for type \"bind\": bind source path does not exist: /nope",
        ),
        (
            json!({"Mounts": [{"Type": "bind", "Target": "/x"}]}),
            "invalid mount config for type \"bind\": field Source must not be empty",
        ),
        (
            json!({"Mounts": [{"Type": "tmpfs", "Source": "a", "Target": "/x"}]}),
            "invalid mount config for type \"tmpfs\": field Source must not be specified",
        ),
        (
            json!({"Mounts": [{"Type": "what", "Target": "/x"}]}),
            "invalid mount config for type \"what\": mount type unknown",
        ),
        (
            json!({"Mounts": [{"Type": "tmpfs", "Target": "/x", "BindOptions": {}}]}),
            "BindOptions must not be specified on mount type \"tmpfs\"",
        ),
        (
            json!({"Mounts": [{"Type": "volume", "Source": "v1", "Target": "/x", "VolumeOptions": {"Subpath": "../x"}}]}),
            "invalid mount config for type \"volume\": subpath must be a relative path within the volume",
        ),
        (json!({"Tmpfs": {"/x": "what"}}), "Invalid tmpfs option [\"what\"]"),
        (json!({"VolumesFrom": ["nobody"]}), "No such container: nobody"),
    ] {
        assert_eq!(fault(asked), words);
    }
    assert!(
        fault(json!({"Binds": ["sla/sh:/x"]})).starts_with("create sla/sh: \"sla/sh\" includes invalid characters")
    );
    assert!(host(json!({"Mounts": [{"Type": "bind", "Source": "/srv", "Target": "/x", "ReadOnly": true}]})).is_ok());
    assert!(host(json!({"Mounts": [{"Type": "bind", "Source": "/new", "Target": "/x", "BindOptions": {"CreateMountpoint": true}}]})).is_ok());
}

#[test]
fn what_is_missing_is_said_and_never_left_out() {
    for (asked, words) in [
        (json!({"Links": ["a:b:c"]}), "bad format for links: a:b:c"),
        (
            json!({"Runtime": "youki"}),
            "the runtime youki is /usr/bin/youki: this engine runs containers by itself and calls no other runtime",
        ),
        (json!({"Runtime": "kata"}), "unknown or invalid runtime name: kata"),
        (json!({"StorageOpt": {"size": "much"}}), "invalid size: 'much'"),
        (json!({"StorageOpt": {"colour": "red"}}), "Unknown option colour"),
        (json!({"SecurityOpt": ["writable-cgroups=maybe"]}), "invalid --security-opt 2: \"writable-cgroups=maybe\""),
        (json!({"SecurityOpt": ["nope=1"]}), "invalid --security-opt 2: \"nope=1\""),
        (json!({"SecurityOpt": ["nope"]}), "invalid --security-opt 1: \"nope\""),
        (json!({"PidMode": "x"}), "invalid PID mode: x"),
        (json!({"IpcMode": "x"}), "invalid IPC mode: x"),
        (json!({"UTSMode": "x"}), "invalid UTS mode: x"),
        (
            json!({"LogConfig": {"Type": "json-file", "Config": {"nope": "1"}}}),
            "unknown log opt 'nope' for json-file log driver",
        ),
        (json!({"ExtraHosts": ["x"]}), "bad format for add-host: \"x\""),
        (json!({"ExtraHosts": ["x:y"]}), "invalid IP address in add-host: \"y\""),
    ] {
        assert_eq!(fault(asked), words);
    }
}

#[test]
fn a_parent_of_systemds_groups_is_a_slice() {
    let words = "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"";
    for parent in ["/a", ".slice", "slice"] {
        assert_eq!(fault(json!({"CgroupParent": parent})), words);
    }
    let meant = host(json!({"CgroupParent": "a-b.slice"})).expect("meant");
    assert_eq!(meant.cgroup_parent, "a-b.slice");
}

#[test]
fn security_options_are_read() {
    let meant = host(
        json!({"SecurityOpt": ["writable-cgroups", "apparmor=unconfined", "no-new-privileges:true", "label=disable"]}),
    );
    let config = meant.expect("meant");
    assert!(config.writable_cgroups && config.no_new_privileges);
    assert_eq!(config.apparmor.as_deref(), Some("unconfined"));
}

#[test]
fn devices_of_drivers_are_kept_for_the_start() {
    let asked = json!([{"Driver": "cdi", "DeviceIDs": ["v.com/c=x"]}, {"Count": -1, "Capabilities": [["gpu"]]}]);
    let config = host(json!({"DeviceRequests": asked})).expect("meant");
    assert_eq!(config.driver_devices[0].ids, ["v.com/c=x"]);
    assert_eq!(
        (config.driver_devices[1].count, &config.driver_devices[1].capabilities),
        (-1, &vec![vec!["gpu".to_owned()]])
    );
}

#[test]
fn the_configuration_itself_is_checked() {
    for (asked, words) in [
        (json!({}), "no image specified"),
        (
            json!({"Image": "x", "WorkingDir": "w"}),
            "the working directory 'w' is invalid, it needs to be an absolute path",
        ),
        (json!({"Image": "x", "StopSignal": "SIGWHAT"}), "invalid signal: SIGWHAT"),
        (json!({"Image": "x", "Env": ["=a"]}), "invalid environment variable: =a"),
        (json!({"Image": "x", "ExposedPorts": {"x": {}}}), "invalid port specification: \"x\""),
    ] {
        assert_eq!(read(asked).expect_err("refused").message, words);
    }
}

#[test]
fn old_clients_have_read_only_mounts_that_are_not_recursive() {
    let request = json!({"Image": "x", "HostConfig": {"Binds": ["/a:/b:ro"]}});
    let meant = read_at(ApiVersion(1, 43), request).expect("meant");
    assert!(matches!(meant.config.mounts[0].source, MountSource::Bind { recursive_readonly: false, .. }));
}

#[test]
fn health_is_asked_for_as_it_was_typed() {
    let asked = json!({"Test": ["CMD", "true"], "Interval": 1_000_000, "Retries": 2});
    let meant = read(json!({"Image": "x", "Healthcheck": asked.clone()})).expect("meant");
    assert_eq!(meant.config.healthcheck, Some(asked));
    for (check, words) in [
        (json!({"Interval": 999_999}), "Interval in Healthcheck cannot be less than 1ms"),
        (json!({"Timeout": -1}), "Timeout in Healthcheck cannot be less than 1ms"),
        (json!({"StartPeriod": 5}), "StartPeriod in Healthcheck cannot be less than 1ms"),
        (json!({"Retries": -1}), "Retries in Healthcheck cannot be negative"),
    ] {
        let refusal = read(json!({"Image": "x", "Healthcheck": check})).expect_err("refused");
        assert_eq!(refusal, Refusal::invalid(words));
    }
    let label = json!({"Image": "x", "Labels": {"dhow.health.on-failure": "explode"}});
    assert!(read(label).is_err());
}
