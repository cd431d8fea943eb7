//! `GET /info`

use super::version;
use crate::app::App;
use crate::registries::masked;
use crate::status::{self, Answer, Refusal};
use crate::times;
use api::types::{Info, Plugins, Runtime, Swarm};
use axum::extract::State;
use http::StatusCode;
use serde_json::json;
use std::collections::BTreeMap;

const HUB: &str = "docker.io";

pub async fn get(State(app): State<App>) -> Answer {
    let debug = app.debug();
    let info = app
        .blocking(move |engine| {
            let labels = engine.settings().labels.clone();
            let binary = engine.settings().binary.display().to_string();
            let told = engine.registries();
            let shown = |proxy: &Option<String>| proxy.as_deref().map(masked).unwrap_or_default();
            Ok::<_, Refusal>(Info {
                debug,
                labels,
                runtimes: runtimes(&binary),
                http_proxy: shown(&told.access.http_proxy),
                https_proxy: shown(&told.access.https_proxy),
                no_proxy: told.access.no_proxy.clone().unwrap_or_default(),
                registry_config: Some(registries(&told.access)),
                ..of(&engine.info())
            })
        })
        .await?;
    Ok(status::json(StatusCode::OK, &info))
}

fn of(info: &engine::Info) -> Info {
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
        driver_status: driver_status(info.rootless),
        plugins: Plugins {
            volume: texts(&["local"]),
            network: texts(&["bridge", "host", "null"]),
            authorization: None,
            log: texts(&["json-file", "none"]),
        },
        memory_limit: info.limits,
        swap_limit: info.limits,
        cpu_cfs_period: info.limits,
        cpu_cfs_quota: info.limits,
        cpu_shares: info.limits,
        cpu_set: info.limits,
        pids_limit: info.limits,
        ipv4_forwarding: true,
        n_fd: open_files(),
        oom_kill_disable: !is_v2 && info.limits,
        system_time: times::nano(times::now()),
        logging_driver: "json-file".to_owned(),
        cgroup_driver: if info.limits { "cgroupfs" } else { "none" }.to_owned(),
        cgroup_version: if is_v2 { "2" } else { "1" }.to_owned(),
        kernel_version: info.kernel.clone(),
        operating_system: info.operating_system.clone(),
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

fn security_options(info: &engine::Info) -> Vec<String> {
    let rootless = info.rootless.then_some("name=rootless");
    let all = ["name=seccomp,profile=builtin", "name=userns", "name=cgroupns"].into_iter().chain(rootless);
    all.map(str::to_owned).collect()
}

fn driver_status(user_marks: bool) -> Vec<(String, String)> {
    let rows = [
        ("Supports d_type", "true"),
        ("Using metacopy", "false"),
        ("Native Overlay Diff", "true"),
        ("userxattr", if user_marks { "true" } else { "false" }),
    ];
    rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn runtimes(binary: &str) -> BTreeMap<String, Runtime> {
    let runtime = Runtime { path: format!("{binary} runtime") };
    BTreeMap::from([("dhow".to_owned(), runtime.clone()), ("runc".to_owned(), runtime)])
}

/// Loopback is always among the insecure ones.
fn registries(told: &registry::Settings) -> serde_json::Value {
    let (networks, hosts): (Vec<_>, Vec<_>) =
        told.insecure.iter().cloned().partition(|text| text.parse::<ipnet::IpNet>().is_ok());
    // As moby keeps them: with a slash at the end.
    let mirrors: Vec<String> = told.mirrors.iter().map(|mirror| format!("{mirror}/")).collect();
    let hub = json!({"Name": HUB, "Mirrors": mirrors, "Secure": true, "Official": true});
    let insecure =
        |host: &String| (host.clone(), json!({"Name": host, "Mirrors": [], "Secure": false, "Official": false}));
    let mut indexes: serde_json::Map<String, serde_json::Value> = hosts.iter().map(insecure).collect();
    indexes.insert(HUB.to_owned(), hub);
    json!({
        "InsecureRegistryCIDRs": std::iter::once("127.0.0.0/8".to_owned()).chain(networks).collect::<Vec<_>>(),
        "IndexConfigs": indexes,
        "Mirrors": Some(&mirrors).filter(|mirrors| !mirrors.is_empty()),
    })
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_shown_as_dockerd_does() {
        let plain = registries(&registry::Settings::default());
        assert_eq!(plain["InsecureRegistryCIDRs"], json!(["127.0.0.0/8"]));
        assert_eq!((&plain["Mirrors"], &plain["IndexConfigs"]["docker.io"]["Secure"]), (&json!(null), &json!(true)));
        let told = registries(&registry::Settings {
            mirrors: vec!["https://m".into()],
            insecure: vec!["r:1".into(), "10.0.0.0/8".into()],
            ..registry::Settings::default()
        });
        assert_eq!(told["InsecureRegistryCIDRs"], json!(["127.0.0.0/8", "10.0.0.0/8"]));
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
            architecture: "x86_64".into(),
            processors: 2,
            memory: 1 << 30,
            hostname: "h".into(),
            data_root: "/d".into(),
            cgroup_version: cgroup::Version::V2,
            limits: true,
            rootless: true,
            keeper_pid: 1,
            bridge: "dhow0".into(),
            gateway: [172, 17, 0, 1].into(),
            subnet: "172.17.0.0/16".parse().expect("a subnet"),
        };
        let answer = serde_json::to_value(of(&info)).expect("json");
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
        assert_eq!(answer["Swarm"]["LocalNodeState"], "inactive");
        assert_eq!(answer["SecurityOptions"][1], "name=userns");
        assert_eq!(answer["SecurityOptions"][3], "name=rootless");
    }
}
