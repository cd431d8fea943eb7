//! What the parts of a specification share, and the refusals. Whole specifications are compared in `tests/spec.rs`.

use super::*;
use base::{Digest, Id};

pub(super) const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

pub(super) fn found() -> user::Found {
    user::Found { uid: 0, gid: 0, groups: vec![0, 10], home: "/root".to_owned() }
}

pub(super) fn container() -> Container {
    Container {
        id: Id::random(),
        name: "test".to_owned(),
        created_at: 0,
        image_id: Digest::from_bytes([0; 32]),
        config: Config { cmd: Some(vec!["true".to_owned()]), ..Config::default() },
        mounts: Vec::new(),
        own_user_namespace: true,
    }
}

pub(super) fn surroundings() -> Surroundings {
    Surroundings {
        user: found(),
        id_map: vec![IdMapping { container_id: 0, host_id: 0x7000_0000, size: 65536 }],
        hostname_file: "/run/dhow/c/hostname".into(),
        hosts_file: "/run/dhow/c/hosts".into(),
        resolv_file: "/run/dhow/c/resolv.conf".into(),
        binary: "/usr/bin/dhow".into(),
        cgroup_version: CgroupVersion::V1,
        cgroup_hierarchies: vec!["cpu,cpuacct".to_owned(), "memory".to_owned(), "name=systemd".to_owned()],
        join_pid: None,
        join_ipc: None,
        join_shm: None,
        capability_bound: ALL_CAPABILITIES,
        host_gateway: None,
        nofile: (1024, 524_288),
    }
}

fn refusal(config: Config) -> String {
    build(&Container { config, ..container() }, &surroundings()).unwrap_err().to_string()
}

#[test]
fn a_container_to_join_must_run() {
    let id = "abc".to_owned();
    let text = refusal(Config { pid: PidMode::Container(id.clone()), ..Config::default() });
    assert_eq!(text, "failed to join PID namespace: container abc is not running");
    assert!(refusal(Config { ipc: IpcMode::Container(id), ..Config::default() }).contains("IPC"));
}

#[test]
fn host_gateway_needs_a_bridge() {
    let extra_hosts = vec![("h".to_owned(), "host-gateway".to_owned())];
    assert_eq!(refusal(Config { extra_hosts, ..Config::default() }), "unable to derive the IP value for host-gateway");
}

#[test]
fn devices_are_checked_before_anything_is_made() {
    let device = |host: &str, inside: &str, access: &str| Config {
        devices: vec![crate::DeviceRequest {
            host_path: host.to_owned(),
            container_path: inside.to_owned(),
            access: access.to_owned(),
        }],
        ..Config::default()
    };
    assert_eq!(refusal(device("/dev/null", "/dev/x", "rwx")), "bad mode specified: rwx");
    assert_eq!(refusal(device("/dev/nothing-here", "/dev/x", "rwm")), "cannot use device /dev/nothing-here");
    assert_eq!(refusal(device("/etc/hostname", "/dev/x", "rwm")), "cannot use device /etc/hostname");
    assert!(refusal(device("/dev/null", "x", "rwm")).contains("not absolute"));
    assert!(refusal(device("/dev/null", "/proc/sys/kernel/core_pattern", "rwm")).contains("inside /proc"));
}

#[test]
fn a_folder_of_devices_brings_its_nodes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let make = |name: &str, minor| {
        let number = rustix::fs::makedev(1, minor);
        let mode = rustix::fs::Mode::from_raw_mode(0o640);
        let kind = rustix::fs::FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, folder.path().join(name), kind, mode, number).unwrap();
    };
    make("one", 3);
    make("sub/two", 5);
    std::os::unix::fs::symlink("one", folder.path().join("link")).unwrap();
    let devices = vec![crate::DeviceRequest {
        host_path: folder.path().to_str().unwrap().to_owned(),
        container_path: "/dev/mine".to_owned(),
        access: "r".to_owned(),
    }];
    let config = Config { devices, ..Config::default() };
    let linux = build(&Container { config, ..container() }, &surroundings()).unwrap().linux.unwrap();
    let paths: Vec<_> = linux.devices.iter().map(|device| (device.path.as_str(), device.major, device.minor)).collect();
    assert_eq!(paths, [("/dev/mine/one", 1, 3), ("/dev/mine/sub/two", 1, 5)]);
    let rules = linux.resources.unwrap().devices;
    assert!(rules.iter().any(|rule| rule.minor == Some(5) && rule.access.as_deref() == Some("r")));
}

#[test]
fn a_privileged_container_sees_the_hosts_devices_but_not_twice() {
    let config = Config { privileged: true, ..Config::default() };
    let own = Container { config, own_user_namespace: false, ..container() };
    let linux = build(&own, &surroundings()).unwrap().linux.unwrap();
    assert!(
        !linux.devices.iter().any(|device| ["/dev/null", "/dev/ptmx", "/dev/console"].contains(&device.path.as_str()))
    );
    assert!(!linux.devices.iter().any(|device| device.path.starts_with("/dev/pts/")));
    let rules = linux.resources.unwrap().devices;
    assert_eq!((rules.len(), rules[0].allow, rules[0].kind.as_deref()), (1, true, Some("a")));
}

#[test]
fn a_container_that_asks_for_nothing_has_the_ordinary_resources() {
    let linux = build(&container(), &surroundings()).unwrap().linux.unwrap();
    assert_eq!(linux.resources, Some(ordinary_resources()));
}
