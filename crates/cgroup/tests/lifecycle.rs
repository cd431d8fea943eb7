//! A group's life on this machine's own cgroups. Each test has a parent of its own and removes it. Root only.

mod groups;

use cgroup::{Error, Group, Groups, Version};
use groups::{enter, eventually};
use oci::runtime::{Cpu, DeviceRule, Memory, Pids, Resources};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A parent that is removed with all below it, whatever happens.
struct Place {
    groups: Groups,
    parent: String,
    children: Vec<Child>,
}

impl Place {
    fn new() -> Option<Place> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let parent = format!("cgtest-{}", base::Id::random().short());
        Some(Place { groups: Groups::open(&parent).unwrap(), parent, children: Vec::new() })
    }

    /// A shell that runs `script` after it was put into the group and got a line to read.
    fn run_in(&mut self, group: &Group, script: &str) -> usize {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("read line; {script}")]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let pid = child.id();
        self.children.push(child);
        attach(group, pid);
        stdin.write_all(b"go\n").unwrap();
        self.children.len() - 1
    }

    /// Where a v1 controller's or the v2 group is.
    fn folder(&self, controller: &str, name: &str) -> PathBuf {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let v2 = self.groups.version() == Version::V2;
        let fits = |line: &&str| {
            let (_, right) = line.split_once(" - ").unwrap();
            let mut right = right.split(' ');
            let (kind, options) = (right.next().unwrap(), right.nth(1).unwrap());
            if v2 { kind == "cgroup2" } else { kind == "cgroup" && options.split(',').any(|one| one == controller) }
        };
        let mount = mounts.lines().find(fits).unwrap().split(' ').nth(4).unwrap();
        Path::new(mount).join(&self.parent).join(name)
    }

    fn read(&self, controller: &str, name: &str, file: &str) -> String {
        std::fs::read_to_string(self.folder(controller, name).join(file)).unwrap().trim().to_owned()
    }

    fn leftovers(&self) -> Vec<String> {
        self.groups.names().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in self.groups.names().unwrap_or_default() {
            let group = self.groups.get(&name);
            let _ = group.kill();
        }
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in self.groups.names().unwrap_or_default() {
            let _ = self.groups.get(&name).remove();
        }
        self.groups.close();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
        let left: Vec<_> =
            points.map(|point| Path::new(point).join(&self.parent)).filter(|path| path.exists()).collect();
        assert!(left.is_empty() || std::thread::panicking(), "{left:?}");
    }
}

fn attach(group: &Group, pid: u32) {
    let entry = group.entry().unwrap();
    assert!(!matches!(entry, sys::CgroupEntry::Hybrid(..)), "a group of ours is in v1 or in v2");
    enter(&entry, pid);
}

fn rule(allow: bool, kind: &str, major: Option<i64>, minor: Option<i64>) -> DeviceRule {
    DeviceRule { allow, kind: Some(kind.to_owned()), major, minor, access: Some("rwm".to_owned()) }
}

fn ordinary() -> Resources {
    let devices = vec![rule(false, "a", None, None), rule(true, "c", Some(1), Some(3)), rule(true, "c", Some(5), None)];
    Resources { devices, ..Resources::default() }
}

#[test]
fn a_group_is_made_filled_frozen_counted_killed_and_removed() {
    let Some(mut place) = Place::new() else { return };
    let group = place.groups.create("one", &ordinary()).unwrap();
    assert_eq!(place.leftovers(), ["one"]);
    let child = place.run_in(&group, "sleep 600 & exec sleep 600");
    let first = i32::try_from(place.children[child].id()).unwrap();
    assert!(eventually(|| group.pids().unwrap().len() == 2));
    assert!(group.pids().unwrap().contains(&first));
    group.freeze().unwrap();
    group.freeze().unwrap();
    group.thaw().unwrap();
    let usage = group.usage().unwrap();
    assert!(usage.cpu_total > 0, "{usage:?}");
    assert_eq!(usage.oom_kills, 0);
    assert!(matches!(group.remove(), Err(Error::Io { .. })), "it is in use");
    group.kill().unwrap();
    assert!(!place.children[child].wait().unwrap().success());
    group.remove().unwrap();
    group.remove().unwrap();
    assert!(place.leftovers().is_empty());
    assert!(group.usage().is_err());
    assert_eq!(group.oom_kills(), 0);
}

#[test]
fn killing_takes_frozen_and_nested_processes_and_forking_ones() {
    let Some(mut place) = Place::new() else { return };
    let group = place.groups.create("crowd", &ordinary()).unwrap();
    place.run_in(&group, "while :; do (sleep 0.01 &) ; done");
    place.run_in(&group, "exec sleep 600");
    assert!(eventually(|| group.pids().unwrap().len() > 2));
    group.freeze().unwrap();
    group.kill().unwrap();
    assert!(eventually(|| group.pids().unwrap().is_empty()));
    for child in &mut place.children {
        child.wait().unwrap();
    }
    group.remove().unwrap();
}

#[test]
fn only_devices_of_the_rules_can_be_opened() {
    let Some(mut place) = Place::new() else { return };
    let group = place.groups.create("devices", &ordinary()).unwrap();
    let mut opens = |group: &Group, device: &str| {
        let child = place.run_in(group, &format!("exec < {device}"));
        place.children[child].wait().unwrap().success()
    };
    assert!(opens(&group, "/dev/null"));
    assert!(!opens(&group, "/dev/zero"));
    let more = [ordinary().devices, vec![rule(true, "c", Some(1), Some(5))]].concat();
    group.update(&Resources { devices: more, ..Resources::default() }).unwrap();
    assert!(opens(&group, "/dev/zero"));
    assert!(!opens(&group, "/dev/full"));
    group.update(&Resources { devices: vec![rule(true, "a", None, None)], ..Resources::default() }).unwrap();
    assert!(opens(&group, "/dev/full"));
}

#[test]
fn a_process_beyond_the_limit_is_not_forked() {
    let Some(mut place) = Place::new() else { return };
    let limits = Resources { pids: Some(Pids { limit: 2 }), ..Resources::default() };
    let group = match place.groups.create("few", &limits) {
        Err(Error::Unsupported(_)) if place.groups.version() == Version::V2 => return,
        group => group.unwrap(),
    };
    let child = place.run_in(&group, "sleep 600 & sleep 600 & wait");
    assert!(!place.children[child].wait().unwrap().success());
    assert_eq!(group.usage().unwrap().pids, 1);
    group.update(&Resources { pids: Some(Pids { limit: -1 }), ..Resources::default() }).unwrap();
    assert_eq!(place.read("pids", "few", "pids.max"), "max");
}

#[test]
fn memory_limits_go_up_and_down_in_the_order_the_kernel_wants() {
    let Some(mut place) = Place::new() else { return };
    if place.groups.version() == Version::V2 {
        return;
    }
    const MIB: i64 = 1 << 20;
    let memory =
        |limit, swap| Resources { memory: Some(Memory { limit, swap, ..Memory::default() }), ..Resources::default() };
    let group = place.groups.create("memory", &memory(Some(64 * MIB), Some(128 * MIB))).unwrap();
    for (limit, swap) in [(256, 512), (32, 64), (64, 64), (512, 512), (100, 200)] {
        group.update(&memory(Some(limit * MIB), Some(swap * MIB))).unwrap();
        assert_eq!(place.read("memory", "memory", "memory.limit_in_bytes"), (limit * MIB).to_string());
        assert_eq!(place.read("memory", "memory", "memory.memsw.limit_in_bytes"), (swap * MIB).to_string());
    }
    assert_eq!(group.usage().unwrap().memory_limit, Some(100 << 20));
    assert!(matches!(group.update(&memory(Some(300 * MIB), None)), Err(Error::Invalid(_))), "more than with swap");
    assert!(matches!(group.update(&memory(Some(3 * MIB), Some(2 * MIB))), Err(Error::Invalid(_))));
    let child = place.run_in(&group, "x=$(head -c 20000000 /dev/zero | tr '\\0' 'a'); sleep 600; echo $x");
    assert!(eventually(|| group.usage().unwrap().memory > 20 << 20));
    let refused = group.update(&memory(Some(MIB), Some(MIB))).unwrap_err();
    assert!(matches!(&refused, Error::Invalid(text) if text.contains("in use")), "{refused}");
    group.update(&memory(Some(-1), None)).unwrap();
    assert_eq!(group.usage().unwrap().memory_limit, None);
    place.children[child].kill().unwrap();
}

#[test]
fn a_greedy_process_is_killed_and_counted() {
    let Some(mut place) = Place::new() else { return };
    let memory = Memory { limit: Some(8 << 20), swap: Some(8 << 20), ..Memory::default() };
    let group = match place.groups.create("greedy", &Resources { memory: Some(memory), ..Resources::default() }) {
        Err(Error::Unsupported(_)) if place.groups.version() == Version::V2 => return,
        group => group.unwrap(),
    };
    let child = place.run_in(&group, "exec tail /dev/zero");
    assert!(!place.children[child].wait().unwrap().success());
    assert!(eventually(|| group.oom_kills() == 1), "{:?}", group.usage());
}

#[test]
fn a_failed_creation_leaves_nothing() {
    let Some(place) = Place::new() else { return };
    for wrong in [
        Resources { cpu: Some(Cpu { cpus: Some("4000-5000".to_owned()), ..Cpu::default() }), ..Resources::default() },
        Resources { devices: vec![rule(true, "x", None, None)], ..Resources::default() },
        Resources { unified: [("../evil.max".to_owned(), "1".to_owned())].into(), ..Resources::default() },
    ] {
        let error = place.groups.create("wrong", &wrong).unwrap_err();
        assert!(matches!(error, Error::Invalid(_) | Error::Unsupported(_) | Error::NoUnified), "{error}");
        assert!(place.leftovers().is_empty());
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let Some(place) = Place::new() else { return };
    for name in ["", ".", "..", "a/b", "/a", "a\n", "memory.max", "ä", &"x".repeat(300)] {
        assert!(matches!(place.groups.create(name, &Resources::default()), Err(Error::Invalid(_))), "{name:?}");
        assert!(matches!(place.groups.get(name).remove(), Err(Error::Invalid(_))), "{name:?}");
        assert!(matches!(Groups::open(name), Err(Error::Invalid(_))), "{name:?}");
    }
}

#[test]
fn a_group_left_behind_is_replaced_and_nested_ones_are_removed() {
    let Some(mut place) = Place::new() else { return };
    drop(place.groups.create("left", &ordinary()).unwrap());
    let group = place.groups.create("left", &ordinary()).unwrap();
    let nested = place.folder("pids", "left").join("inner/innermost");
    std::fs::create_dir_all(&nested).unwrap();
    let child = place.run_in(&group, "exec sleep 600");
    let pid = place.children[child].id();
    if place.groups.version() == Version::V1 {
        let nested = place.folder("freezer", "left").join("inner/innermost");
        std::fs::create_dir_all(&nested).unwrap();
        std::fs::write(nested.join("cgroup.procs"), pid.to_string()).unwrap();
    } else {
        std::fs::write(nested.join("cgroup.procs"), pid.to_string()).unwrap();
    }
    assert_eq!(group.pids().unwrap(), [i32::try_from(pid).unwrap()]);
    group.kill().unwrap();
    place.children[child].wait().unwrap();
    group.remove().unwrap();
    assert!(place.leftovers().is_empty());
}

#[test]
fn a_rename_happens_everywhere_or_nowhere() {
    let Some(place) = Place::new() else { return };
    let mut group = place.groups.create("parked", &ordinary()).unwrap();
    if place.groups.version() == Version::V2 {
        assert!(matches!(group.rename("other"), Err(Error::Unsupported(_))));
        return;
    }
    group.rename("started").unwrap();
    assert_eq!((place.leftovers(), group.name()), (vec!["started".to_owned()], "started"));
    assert!(group.entry().is_ok());
    std::fs::create_dir(place.folder("pids", "taken")).unwrap();
    assert!(matches!(group.rename("taken"), Err(Error::Io { .. })));
    assert_eq!(group.name(), "started");
    std::fs::remove_dir(place.folder("pids", "taken")).unwrap();
    assert_eq!(place.leftovers(), ["started"]);
    assert!(group.entry().is_ok());
}

#[test]
fn processor_limits_are_set_and_changed() {
    let Some(place) = Place::new() else { return };
    if place.groups.version() == Version::V2 {
        return;
    }
    let cpu = |quota, period| Resources {
        cpu: Some(Cpu { shares: Some(512), quota, period, cpus: Some("0".to_owned()), ..Cpu::default() }),
        ..Resources::default()
    };
    let group = place.groups.create("cpu", &cpu(Some(50_000), Some(100_000))).unwrap();
    assert_eq!(place.read("cpu", "cpu", "cpu.shares"), "512");
    assert_eq!(place.read("cpu", "cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(place.read("cpuset", "cpu", "cpuset.cpus"), "0");
    assert!(!place.read("cpuset", "cpu", "cpuset.mems").is_empty());
    group.update(&cpu(Some(1000), Some(2000))).unwrap();
    group.update(&cpu(Some(-1), None)).unwrap();
    assert_eq!(place.read("cpu", "cpu", "cpu.cfs_quota_us"), "-1");
    assert!(matches!(group.update(&cpu(Some(1), Some(1))), Err(Error::Invalid(_))));
}
