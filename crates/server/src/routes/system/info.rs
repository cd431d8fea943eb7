//! `GET /info`

use super::version;
use crate::app::App;
use crate::registries::masked;
use crate::status::{self, Answer, Refusal};
use crate::times;
use crate::version::ApiVersion;
use api::types::{AddressPool, FirewallBackend, Info, Plugins, Runtime, Swarm};
use axum::extract::State;
use http::StatusCode;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

const HUB: &str = "docker.io";

pub async fn get(State(app): State<App>, version: ApiVersion) -> Answer {
    let options = app.options();
    let info = app
        .blocking(move |engine| {
            let binary = engine.settings().binary.display().to_string();
            let told = engine.registries();
            let shown = |proxy: &Option<String>| proxy.as_deref().map(masked).unwrap_or_default();
            Ok::<_, Refusal>(Info {
                debug: options.debug,
                experimental_build: options.experimental,
                labels: options.labels.clone(),
                live_restore_enabled: options.live_restore,
                runtimes: runtimes(&binary, &options.runtimes),
                http_proxy: shown(&told.access.http_proxy),
                https_proxy: shown(&told.access.https_proxy),
                no_proxy: told.access.no_proxy.clone().unwrap_or_default(),
                registry_config: Some(registries(&told.access, version)),
                cdi_spec_dirs: cdi_folders(&options.cdi_folders),
                default_address_pools: options.address_pools.iter().map(pool).collect(),
                logging_driver: options.defaults.log_driver.clone().unwrap_or_else(|| "json-file".to_owned()),
                ..of(&engine.info(), version)
            })
        })
        .await?;
    Ok(status::json(StatusCode::OK, &info))
}

/// Fields that came or went with a version of the API (moby, api/server/router/system).
fn of(info: &engine::Info, version: ApiVersion) -> Info {
    let until = |minor: u32, value: bool| (!version.has(minor)).then_some(value);
    Info {
        kernel_memory: until(42, false),
        bridge_nf_iptables: until(50, info.bridge_filters.0),
        bridge_nf_ip6tables: until(50, info.bridge_filters.1),
        firewall_backend: version.has(49).then(|| FirewallBackend { driver: "nftables".to_owned() }),
        ..newest(info)
    }
}

fn newest(info: &engine::Info) -> Info {
    let is_v2 = info.cgroup_version == cgroup::Version::V2;
    let counts = info.counts;
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Info {
        id: info.id.clone(),
        containers: counts.running + counts.paused + counts.stopped,
        containers_running: counts.running,
        containers_paused: counts.paused,
        containers_stopped: counts.stopped,
        images: info.images,
        driver: "overlay2".to_owned(),
        driver_status: driver_status(info),
        plugins: Plugins {
            volume: texts(&["local"]),
            network: texts(&["bridge", "host", "ipvlan", "macvlan", "null"]),
            authorization: None,
            log: engine::logging::DRIVERS.iter().filter(|name| **name != "none").map(|&name| name.to_owned()).collect(),
        },
        memory_limit: info.abilities.memory,
        swap_limit: info.abilities.swap,
        cpu_cfs_period: info.abilities.cpu_quota,
        cpu_cfs_quota: info.abilities.cpu_quota,
        cpu_shares: info.abilities.cpu_shares,
        cpu_set: info.abilities.cpu_set,
        pids_limit: info.abilities.pids,
        ipv4_forwarding: true,
        n_fd: open_files(),
        oom_kill_disable: info.abilities.oom_kill_disable,
        system_time: times::nano(times::now()),
        n_goroutines: info.threads,
        n_events_listener: info.listeners,
        cgroup_driver: cgroup_driver(info).to_owned(),
        cgroup_version: if is_v2 { "2" } else { "1" }.to_owned(),
        kernel_version: info.kernel.clone(),
        operating_system: info.operating_system.clone(),
        os_version: info.os_version.clone(),
        os_type: "linux".to_owned(),
        architecture: info.architecture.clone(),
        index_server_address: "https://index.docker.io/v1/".to_owned(),
        n_cpu: info.processors,
        mem_total: info.memory,
        docker_root_dir: info.data_root.clone(),
        name: info.hostname.clone(),
        server_version: version::OWN.to_owned(),
        default_runtime: "dhow".to_owned(),
        swarm: Swarm { local_node_state: "inactive".to_owned(), ..Swarm::default() },
        live_restore_enabled: true,
        init_binary: "docker-init".to_owned(),
        security_options: security_options(info),
        ..Info::default()
    }
}

fn cdi_folders(told: &[PathBuf]) -> Vec<String> {
    match told {
        [] => container::cdi::FOLDERS.map(str::to_owned).to_vec(),
        told => told.iter().map(|folder| folder.display().to_string()).collect(),
    }
}

fn pool((base, size): &(ipnet::IpNet, u8)) -> AddressPool {
    AddressPool { base: base.to_string(), size: *size }
}

fn cgroup_driver(info: &engine::Info) -> &'static str {
    match (info.limits, info.cgroup_driver) {
        (false, _) => "none",
        (true, cgroup::Driver::Cgroupfs) => "cgroupfs",
        (true, cgroup::Driver::Systemd) => "systemd",
    }
}

fn security_options(info: &engine::Info) -> Vec<String> {
    let rootless = info.rootless.then_some("name=rootless");
    let all = ["name=seccomp,profile=builtin", "name=userns", "name=cgroupns"].into_iter().chain(rootless);
    all.map(str::to_owned).collect()
}

fn driver_status(info: &engine::Info) -> Vec<(String, String)> {
    let rows = [
        ("Backing Filesystem", info.file_system),
        ("Supports d_type", "true"),
        ("Using metacopy", "false"),
        ("Native Overlay Diff", "true"),
        ("userxattr", if info.rootless { "true" } else { "false" }),
    ];
    rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Those of the settings, and the names of this program's own.
fn runtimes(binary: &str, told: &BTreeMap<String, String>) -> BTreeMap<String, Runtime> {
    let own = Runtime { path: format!("{binary} runtime") };
    let others = told.iter().map(|(name, path)| (name.clone(), Runtime { path: path.clone() }));
    others.chain(["dhow", "runc"].map(|name| (name.to_owned(), own.clone()))).collect()
}

/// Loopback is always among the insecure ones.
fn registries(told: &registry::Settings, version: ApiVersion) -> serde_json::Value {
    let (networks, hosts): (Vec<_>, Vec<_>) =
        told.insecure.iter().cloned().partition(|text| text.parse::<ipnet::IpNet>().is_ok());
    // As moby keeps them: with a slash at the end.
    let mirrors: Vec<String> = told.mirrors.iter().map(|mirror| format!("{mirror}/")).collect();
    let hub = json!({"Name": HUB, "Mirrors": mirrors, "Secure": true, "Official": true});
    let insecure =
        |host: &String| (host.clone(), json!({"Name": host, "Mirrors": [], "Secure": false, "Official": false}));
    let mut indexes: serde_json::Map<String, serde_json::Value> = hosts.iter().map(insecure).collect();
    indexes.insert(HUB.to_owned(), hub);
    let loopback = ["::1/128", "127.0.0.0/8"].map(str::to_owned).into_iter();
    let mut shown = json!({
        "InsecureRegistryCIDRs": loopback.chain(networks).collect::<Vec<_>>(),
        "IndexConfigs": indexes,
        "Mirrors": Some(&mirrors).filter(|mirrors| !mirrors.is_empty()),
    });
    if !version.has(49) {
        shown["AllowNondistributableArtifactsCIDRs"] = json!(null);
        shown["AllowNondistributableArtifactsHostnames"] = json!(null);
    }
    shown
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::MAX;

    #[test]
    fn registries_are_shown_as_dockerd_does() {
        let plain = registries(&registry::Settings::default(), MAX);
        assert_eq!(plain["InsecureRegistryCIDRs"], json!(["::1/128", "127.0.0.0/8"]));
        assert_eq!((&plain["Mirrors"], &plain["IndexConfigs"]["docker.io"]["Secure"]), (&json!(null), &json!(true)));
        let told = registries(
            &registry::Settings {
                mirrors: vec!["https://m".into()],
                insecure: vec!["r:1".into(), "10.0.0.0/8".into()],
                ..registry::Settings::default()
            },
            MAX,
        );
        assert_eq!(told["InsecureRegistryCIDRs"], json!(["::1/128", "127.0.0.0/8", "10.0.0.0/8"]));
        assert_eq!(told["IndexConfigs"]["r:1"]["Secure"], json!(false));
        assert_eq!(
            (&told["Mirrors"], &told["IndexConfigs"]["docker.io"]["Mirrors"]),
            (&json!(["https://m/"]), &json!(["https://m/"]))
        );
    }

    #[test]
    fn info_has_the_fields_that_clients_read() {
        let info = engine::Info {
            id: "id".into(),
            counts: engine::Counts { running: 2, paused: 1, stopped: 3 },
            images: 4,
            kernel: "6.18".into(),
            operating_system: "Debian".into(),
            os_version: "12".into(),
            file_system: "extfs",
            threads: 3,
            listeners: 1,
            bridge_filters: (true, false),
            architecture: "x86_64".into(),
            processors: 2,
            memory: 1 << 30,
            hostname: "h".into(),
            data_root: "/d".into(),
            cgroup_version: cgroup::Version::V2,
            limits: true,
            abilities: cgroup::Abilities { cpu_shares: true, ..cgroup::Abilities::default() },
            cgroup_driver: cgroup::Driver::Cgroupfs,
            rootless: true,
            keeper_pid: 1,
            bridge: "dhow0".into(),
            gateway: [172, 17, 0, 1].into(),
            subnet: "172.17.0.0/16".parse().expect("a subnet"),
        };
        let answer = serde_json::to_value(of(&info, MAX)).expect("json");
        for (key, value) in [
            ("Containers", json!(6)),
            ("NCPU", json!(2)),
            ("OSType", json!("linux")),
            ("CgroupVersion", json!("2")),
            ("OomKillDisable", json!(false)),
            ("MemTotal", json!(1 << 30)),
            ("HttpProxy", json!("")),
            ("CPUShares", json!(true)),
            ("IPv4Forwarding", json!(true)),
            ("ServerVersion", json!(version::OWN)),
        ] {
            assert_eq!(answer[key], value, "{key}");
        }
        let old = serde_json::to_value(of(&info, ApiVersion(1, 41))).expect("json");
        assert_eq!((&old["BridgeNfIptables"], &old["BridgeNfIp6tables"]), (&json!(true), &json!(false)));
        assert_eq!((old.get("FirewallBackend"), answer.get("BridgeNfIptables")), (None, None));
        assert_eq!(answer["Swarm"]["LocalNodeState"], "inactive");
        assert_eq!(answer["SecurityOptions"][1], "name=userns");
        assert_eq!(answer["SecurityOptions"][3], "name=rootless");
    }
}
