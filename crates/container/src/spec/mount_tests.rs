//! Where mounts go, and where they may not.

use super::*;
use crate::MountRequest;
use crate::spec::tests::{container, surroundings};

fn point(target: &str, source: MountSource, host: &str) -> MountPoint {
    let request = MountRequest { target: target.to_owned(), readonly: false, source };
    MountPoint::plain(request, host.to_owned())
}

fn bound(target: &str, host: &str) -> MountPoint {
    let source = MountSource::Bind {
        path: host.to_owned(),
        create: false,
        recursive: true,
        propagation: String::new(),
        recursive_readonly: true,
    };
    point(target, source, host)
}

fn scratch(target: &str, options: &[&str]) -> MountPoint {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    point(target, MountSource::Tmpfs { size: None, mode: None, options }, "")
}

fn mounts(points: Vec<MountPoint>) -> Result<Vec<Mount>, String> {
    let container = Container { mounts: points, ..container() };
    all(&container, &surroundings()).map_err(|e| e.to_string())
}

fn destinations(points: Vec<MountPoint>) -> Vec<String> {
    mounts(points).unwrap().into_iter().map(|mount| mount.destination).collect()
}

/// CVE-2019-16884 and its kin.
#[test]
fn nothing_stands_in_place_of_proc() {
    for target in [
        "/proc",
        "/proc/",
        "/proc/self",
        "/proc/sys/kernel",
        "/x/../proc/self/attr",
        "//proc/./sys",
        "/proc/sys/kernel/core_pattern",
    ] {
        let text = mounts(vec![bound(target, "/tmp")]).unwrap_err();
        assert!(text.contains("cannot be mounted because it is"), "{target}: {text}");
        assert!(mounts(vec![scratch(target, &[])]).is_err(), "{target}");
    }
    assert_eq!(
        mounts(vec![bound("/proc/sys", "/tmp")]).unwrap_err(),
        "\"/proc/sys\" cannot be mounted because it is inside /proc"
    );
    for (target, host) in [
        ("/proc/meminfo", "/var/lib/lxcfs/meminfo"),
        ("/proc", "/proc/"),
        ("/process", "/tmp"),
        ("/host/proc", "/proc"),
    ] {
        assert!(mounts(vec![bound(target, host)]).is_ok(), "{target}");
    }
}

#[test]
fn a_target_is_an_absolute_path_below_the_root() {
    for target in ["", "x", "/", "/..", "/a/..", "/a\0b"] {
        assert!(mounts(vec![bound(target, "/tmp")]).is_err(), "{target:?}");
    }
}

#[test]
fn parents_come_before_what_is_below_them() {
    let list = destinations(vec![
        bound("/a/b/c", "/1"),
        bound("/a", "/2"),
        bound("/etc/hosts", "/3"),
        bound("/a/b/", "/4"),
        bound("/etc", "/5"),
    ]);
    let place =
        |path: &str| list.iter().position(|known| known == path).unwrap_or_else(|| panic!("{path} in {list:?}"));
    for (parent, child) in [
        ("/a", "/a/b"),
        ("/a/b", "/a/b/c"),
        ("/etc", "/etc/hosts"),
        ("/etc", "/etc/resolv.conf"),
        ("/dev", "/dev/pts"),
        ("/sys", "/sys/fs/cgroup"),
    ] {
        assert!(place(parent) < place(child), "{parent} {child} in {list:?}");
    }
    assert_eq!(list.iter().filter(|path| *path == "/etc/hosts").count(), 1);
}

#[test]
fn the_users_mounts_replace_the_defaults() {
    let list = destinations(vec![bound("/dev", "/dev"), bound("/sys/fs/cgroup", "/sys/fs/cgroup")]);
    assert!(!list.iter().any(|path| path.starts_with("/dev/") || path.starts_with("/sys/fs/cgroup/")), "{list:?}");
    let shm = mounts(vec![bound("/dev/shm/", "/tmp")]).unwrap();
    let shm: Vec<_> = shm.iter().filter(|mount| mount.destination == "/dev/shm").collect();
    assert_eq!(shm.len(), 1);
    assert_eq!(shm[0].source.as_deref(), Some("/tmp"));
}

#[test]
fn options_of_a_tmpfs_override_the_safe_ones_and_unknown_ones_are_refused() {
    let options = |asked: &[&str]| {
        let list = mounts(vec![scratch("/t", asked)])?;
        Ok::<_, String>(list.into_iter().find(|mount| mount.destination == "/t").unwrap().options)
    };
    assert_eq!(options(&[]).unwrap(), ["noexec", "nosuid", "nodev"]);
    assert_eq!(
        options(&["exec,size=1m", "size=2m", "defaults", "ro", "rw"]).unwrap(),
        ["nosuid", "nodev", "exec", "size=2m", "rw"]
    );
    assert_eq!(options(&["bogus=1"]).unwrap_err(), "invalid tmpfs option \"bogus\"");
    assert!(options(&["lowerdir=/x"]).is_err());
    assert!(options(&["size"]).is_err());
}

#[test]
fn a_mount_of_the_api_says_size_and_mode() {
    let source = MountSource::Tmpfs { size: Some(4096), mode: Some(0o1770), options: Vec::new() };
    let list = mounts(vec![point("/t", source, "")]).unwrap();
    let made = list.iter().find(|mount| mount.destination == "/t").unwrap();
    assert_eq!(made.options, ["noexec", "nosuid", "nodev", "mode=1770", "size=4096"]);
}

#[test]
fn propagation_is_one_of_the_six() {
    let mut mount = bound("/a", "/tmp");
    let set = |mount: &mut MountPoint, text: &str| {
        if let MountSource::Bind { propagation, .. } = &mut mount.request.source {
            text.clone_into(propagation);
        }
    };
    set(&mut mount, "rslave");
    assert!(mounts(vec![mount.clone()]).unwrap().iter().any(|made| made.options.contains(&"rslave".to_owned())));
    set(&mut mount, "remount,dev");
    assert_eq!(mounts(vec![mount]).unwrap_err(), "invalid propagation mode: remount,dev");
}
