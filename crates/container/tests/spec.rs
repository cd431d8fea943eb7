//! Whole specifications of typical configurations, compared with the files in `tests/specs/`.
//!
//! After a wanted change: `DHOW_BLESS=1 cargo test -p container --test spec`, and read the difference.

use container::spec::{self, CgroupVersion, Surroundings};
use container::{
    CgroupNamespaceMode, Config, Container, IpcMode, MountPoint, MountRequest, MountSource, NetworkMode, PidMode,
    Ulimit, UtsMode, user,
};
use oci::runtime::{Cpu, IdMapping, Memory, Pids, Resources};
use std::collections::BTreeMap;
use std::path::Path;

fn surroundings() -> Surroundings {
    Surroundings {
        user: user::Found { uid: 0, gid: 0, groups: vec![0, 10], home: "/root".to_owned() },
        id_map: vec![IdMapping { container_id: 0, host_id: 0x7000_0000, size: 65536 }],
        hostname_file: "/run/dhow/containers/1/hostname".into(),
        hosts_file: "/run/dhow/containers/1/hosts".into(),
        resolv_file: "/run/dhow/containers/1/resolv.conf".into(),
        binary: "/usr/bin/dhow".into(),
        cgroup_version: CgroupVersion::V2,
        cgroup_hierarchies: Vec::new(),
        join_pid: None,
        join_ipc: None,
        join_shm: None,
        capability_bound: (1 << 41) - 1,
        host_gateway: None,
        nofile: (1024, 524_288),
    }
}

fn container(config: Config) -> Container {
    Container {
        id: "0123456789ab".repeat(5).chars().chain("cdef".chars()).collect::<String>().parse().expect("an id"),
        name: "test".to_owned(),
        created_at: 0,
        image_id: base::Digest::from_bytes([0; 32]),
        config,
        mounts: Vec::new(),
        own_user_namespace: true,
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn command(list: &[&str]) -> Config {
    Config { cmd: Some(words(list)), ..Config::default() }
}

/// Compares with the checked-in file; which processors throttle is the machine's own.
fn check(name: &str, container: &Container, around: &Surroundings) {
    let mut spec = spec::build(container, around).expect("a specification");
    if let Some(linux) = &mut spec.linux {
        linux.masked_paths.retain(|path| !path.ends_with("/thermal_throttle"));
    }
    let text = serde_json::to_string_pretty(&spec).expect("JSON") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/specs").join(format!("{name}.json"));
    if std::env::var_os("DHOW_BLESS").is_some() {
        std::fs::write(&path, text).expect("the file can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).expect("the file can be read");
    assert!(expected == text, "{name} differs from {}:\n{text}", path.display());
}

#[test]
fn the_default() {
    check("default", &container(command(&["sh", "-c", "true"])), &surroundings());
}

#[test]
fn cgroup_v1_shows_every_hierarchy() {
    let hierarchies = words(&["cpu,cpuacct", "memory", "pids", "name=systemd"]);
    let around = Surroundings { cgroup_version: CgroupVersion::V1, cgroup_hierarchies: hierarchies, ..surroundings() };
    check("cgroup-v1", &container(command(&["true"])), &around);
}

#[test]
fn a_service_as_people_run_it() {
    let config = Config {
        entrypoint: Some(words(&["/docker-entrypoint.sh"])),
        cmd: Some(words(&["nginx", "-g", "daemon off;"])),
        env: words(&["PATH=/usr/local/bin:/usr/bin", "NGINX_VERSION=1.27", "HOME=/srv"]),
        working_dir: "/srv".to_owned(),
        hostname: "web".to_owned(),
        domainname: "example.org".to_owned(),
        tty: true,
        cap_add: words(&["NET_ADMIN"]),
        cap_drop: words(&["MKNOD", "cap_net_raw"]),
        no_new_privileges: true,
        readonly_rootfs: true,
        init: true,
        shm_size: 128 << 20,
        oom_score_adj: Some(100),
        sysctls: [
            ("net.core.somaxconn".to_owned(), "1024".to_owned()),
            ("net/ipv4/ip_forward".to_owned(), "1".to_owned()),
        ]
        .into(),
        ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: 1024, hard: -1 }],
        resources: Resources {
            memory: Some(Memory { limit: Some(64 << 20), swap: Some(128 << 20), ..Memory::default() }),
            cpu: Some(Cpu { quota: Some(50_000), period: Some(100_000), ..Cpu::default() }),
            pids: Some(Pids { limit: 100 }),
            ..Resources::default()
        },
        ..Config::default()
    };
    let mounts = vec![
        point(
            "/srv/html/cache",
            false,
            MountSource::Tmpfs { size: Some(1 << 20), mode: Some(0o700), options: words(&["exec"]) },
            "",
        ),
        point("/srv/html", true, bind("rslave"), "/home/me/html"),
        point("/var/cache", false, volume(), "/var/lib/dhow/volumes/cache/_data"),
        point("/etc/resolv.conf", true, bind(""), "/etc/resolv.conf"),
    ];
    let user = user::Found { uid: 101, gid: 101, groups: vec![101, 4], home: "/nonexistent".to_owned() };
    check("service", &Container { mounts, ..container(config) }, &Surroundings { user, ..surroundings() });
}

fn point(target: &str, readonly: bool, source: MountSource, host: &str) -> MountPoint {
    let request = MountRequest { target: target.to_owned(), readonly, source };
    MountPoint::plain(request, host.to_owned())
}

fn bind(propagation: &str) -> MountSource {
    let propagation = propagation.to_owned();
    MountSource::Bind { path: String::new(), create: false, recursive: true, propagation, recursive_readonly: true }
}

fn volume() -> MountSource {
    MountSource::Volume {
        name: Some("cache".to_owned()),
        copy_up: true,
        subpath: None,
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
    }
}

#[test]
fn everything_of_the_hosts() {
    let config = Config {
        hostname: "box".to_owned(),
        network: NetworkMode::Host,
        pid: PidMode::Host,
        ipc: IpcMode::Host,
        uts: UtsMode::Host,
        cgroup_namespace: CgroupNamespaceMode::Host,
        init: true,
        ..command(&["true"])
    };
    check("host", &Container { own_user_namespace: false, ..container(config) }, &surroundings());
}

/// A user namespace cannot mount what belongs to the host's namespaces: it gets the host's mounts.
#[test]
fn everything_of_the_hosts_in_an_own_user_namespace() {
    let config = Config {
        hostname: "box".to_owned(),
        network: NetworkMode::Host,
        pid: PidMode::Host,
        cgroup_namespace: CgroupNamespaceMode::Host,
        ..command(&["true"])
    };
    check("host-userns", &container(config), &surroundings());
}

/// Its devices are the machine's own: only the rest is compared.
#[test]
fn privileged() {
    let config = Config { privileged: true, ..command(&["sh"]) };
    let privileged = Container { own_user_namespace: false, ..container(config) };
    let mut spec = spec::build(&privileged, &surroundings()).expect("a specification");
    let linux = spec.linux.as_mut().expect("the Linux part");
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    let is_readonly = |path: &str| {
        let mount = spec.mounts.iter().find(|mount| mount.destination == path).expect("a mount");
        mount.options.iter().any(|option| option == "ro")
    };
    assert!(!is_readonly("/sys") && !is_readonly("/sys/fs/cgroup"));
    assert_eq!(spec.process.expect("a process").capabilities.expect("capabilities").effective.len(), 41);
}

#[test]
fn another_containers_namespaces() {
    let config = Config {
        network: NetworkMode::Container("other".to_owned()),
        pid: PidMode::Container("other".to_owned()),
        ipc: IpcMode::Container("other".to_owned()),
        init: true,
        ..command(&["true"])
    };
    let around = Surroundings {
        join_pid: Some("/proc/77/ns/pid".to_owned()),
        join_ipc: Some("/proc/77/ns/ipc".to_owned()),
        join_shm: Some("/proc/77/root/dev/shm".to_owned()),
        ..surroundings()
    };
    check("joined", &container(config), &around);
}
