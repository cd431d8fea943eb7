//! Tests of v2: limits on a tree of plain files, processes and devices on the machine's v2 hierarchy where one is mounted.

use super::*;
use oci::runtime::{BlockIo, Cpu, Memory, Pids, Throttle};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A tree of plain files that looks like a v2 hierarchy with one group in it.
struct Fake {
    folder: tempfile::TempDir,
    tree: Tree,
}

const FILES: &[&str] = &[
    "cpu.max",
    "cpu.stat",
    "cpu.weight",
    "cpuset.cpus",
    "io.max",
    "io.weight",
    "memory.current",
    "memory.events",
    "memory.low",
    "memory.max",
    "memory.stat",
    "memory.swap.max",
    "pids.current",
    "pids.max",
];

impl Fake {
    fn new() -> Fake {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("dhow");
        fs::create_dir_all(parent.join("one")).unwrap();
        for place in [folder.path(), &parent] {
            fs::write(place.join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
            fs::write(place.join("cgroup.subtree_control"), "cpuset cpu io memory pids\n").unwrap();
        }
        for file in FILES {
            fs::write(parent.join("one").join(file), "").unwrap();
        }
        let tree = Tree::open(folder.path(), "dhow").unwrap();
        Fake { folder, tree }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("dhow/one").join(file)
    }

    /// What was written last; kernel files forget, plain ones keep what is longer.
    fn update(&self, resources: &Resources) -> Result<(), Error> {
        for file in FILES {
            let _ = fs::write(self.path(file), "");
        }
        self.tree.update("one", resources)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }
}

#[test]
fn limits_are_written_in_the_words_of_v2() {
    let fake = Fake::new();
    let rate = vec![Throttle { major: 8, minor: 16, rate: 1000 }];
    let resources = Resources {
        memory: Some(Memory { limit: Some(1000), swap: Some(3000), reservation: Some(500), ..Memory::default() }),
        cpu: Some(Cpu { shares: Some(1024), quota: Some(50_000), cpus: Some("0-1".to_owned()), ..Cpu::default() }),
        pids: Some(Pids { limit: -1 }),
        block_io: Some(BlockIo { weight: Some(500), throttle_write_iops_device: rate, ..BlockIo::default() }),
        ..Resources::default()
    };
    fake.update(&resources).unwrap();
    for (file, wanted) in [
        ("memory.max", "1000"),
        ("memory.swap.max", "2000"),
        ("memory.low", "500"),
        ("cpu.weight", "100"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "0-1"),
        ("pids.max", "max"),
        ("io.weight", "4950"),
        ("io.max", "8:16 wiops=1000"),
    ] {
        assert_eq!(fake.read(file), wanted, "{file}");
    }
}

#[test]
fn what_is_not_asked_for_is_not_written() {
    let fake = Fake::new();
    let nothing = Resources { memory: Some(Memory::default()), cpu: Some(Cpu::default()), ..Resources::default() };
    fake.update(&nothing).unwrap();
    assert!(FILES.iter().all(|file| fake.read(file).is_empty()));
}

#[test]
fn a_kernel_that_does_not_count_swap_is_no_error_and_a_missing_controller_is() {
    let fake = Fake::new();
    fs::remove_file(fake.path("memory.swap.max")).unwrap();
    fs::remove_file(fake.path("pids.max")).unwrap();
    let memory = Memory { limit: Some(1000), swap: Some(3000), ..Memory::default() };
    fake.tree.update("one", &Resources { memory: Some(memory), ..Resources::default() }).unwrap();
    let pids = Resources { pids: Some(Pids { limit: 5 }), ..Resources::default() };
    assert!(matches!(fake.tree.update("one", &pids), Err(Error::Unsupported(file)) if file == "pids.max"));
}

#[test]
fn unified_entries_are_files_of_the_group_and_of_no_other_place() {
    let fake = Fake::new();
    let unified = |key: &str| Resources { unified: [(key.to_owned(), "77".to_owned())].into(), ..Resources::default() };
    fake.update(&unified("memory.max")).unwrap();
    assert_eq!(fake.read("memory.max"), "77");
    for key in
        ["../cgroup.procs", "memory.max/../../x", "cgroup.procs", "cgroup.freeze", ".max", "memory", "memory.", ""]
    {
        assert!(matches!(fake.update(&unified(key)), Err(Error::Invalid(_))), "{key:?}");
    }
    let missing = fake.update(&unified("hugetlb.2MB.max")).unwrap_err().to_string();
    assert_eq!(missing, "unified resource \"hugetlb.2MB.max\" can't be set: controller \"hugetlb\" not available");
}

#[test]
fn usage_is_read_in_nanoseconds_and_bytes() {
    let fake = Fake::new();
    for (file, text) in [
        ("cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\n"),
        ("memory.current", "4096\n"),
        ("memory.max", "max\n"),
        ("memory.stat", "anon 1\ninactive_file 1024\n"),
        ("memory.events", "low 0\noom 2\noom_kill 1\n"),
        ("pids.current", "3\n"),
    ] {
        fs::write(fake.path(file), text).unwrap();
    }
    let usage = fake.tree.usage("one").unwrap();
    assert_eq!((usage.cpu_total, usage.cpu_user, usage.cpu_system), (30_000, 20_000, 10_000));
    assert_eq!((usage.memory, usage.memory_inactive_file, usage.memory_limit), (4096, 1024, None));
    assert_eq!((usage.pids, usage.oom_kills), (3, 1));
    fs::write(fake.path("memory.max"), "8192\n").unwrap();
    assert_eq!(fake.tree.usage("one").unwrap().memory_limit, Some(8192));
    assert!(fake.tree.usage("two").is_err());
}

#[test]
fn controllers_are_turned_on_where_they_are_off() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cgroup.controllers"), "cpu misc perf_event\n").unwrap();
    fs::write(folder.path().join("cgroup.subtree_control"), "cpu\n").unwrap();
    enable(&Folder::open(folder.path()).unwrap()).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("cgroup.subtree_control")).unwrap(), "+misc");
}

/// A parent on a real v2 hierarchy, with or without controllers, that is removed whatever happens.
struct Real {
    tree: Tree,
    child: Option<Child>,
}

impl Real {
    fn new() -> Option<Real> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let root = PathBuf::from(line.split(' ').nth(4).unwrap());
        let tree = Tree::open(&root, &format!("cgtest-{}", base::Id::random().short())).unwrap();
        Some(Real { tree, child: None })
    }

    /// A shell in the group that runs `script`.
    fn run_in(&mut self, name: &str, script: &str) -> &mut Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("read line; {script}")]).stdin(Stdio::piped()).stderr(Stdio::null());
        let child = self.child.insert(command.spawn().unwrap());
        fs::write(self.tree.parent.path().join(name).join("cgroup.procs"), child.id().to_string()).unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        child
    }

    fn opens(&mut self, name: &str, device: &str) -> bool {
        self.run_in(name, &format!("exec < {device}")).wait().unwrap().success()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in self.tree.names().unwrap_or_default() {
            let _ = self.tree.kill(&name);
            let _ = self.tree.remove(&name);
        }
        self.tree.close();
        assert!(!self.tree.parent.path().exists() || std::thread::panicking());
    }
}

fn allow(kind: &str, major: i64, minor: i64) -> DeviceRule {
    DeviceRule { allow: true, kind: Some(kind.to_owned()), major: Some(major), minor: Some(minor), access: None }
}

fn devices(devices: &[DeviceRule]) -> Resources {
    Resources { devices: devices.to_vec(), ..Resources::default() }
}

#[test]
fn a_device_program_is_attached_replaced_and_taken_off() {
    let Some(mut real) = Real::new() else { return };
    let null = [DeviceRule::default(), allow("c", 1, 3)];
    real.tree.create("one", &devices(&null)).unwrap();
    assert!(real.opens("one", "/dev/null"));
    assert!(!real.opens("one", "/dev/zero"));
    let attached = |real: &Real| sys::bpf::device_programs(real.tree.open_group("one").unwrap().as_fd()).unwrap().len();
    assert_eq!(attached(&real), 1);
    real.tree.update("one", &devices(&[&null[..], &[allow("c", 1, 5)]].concat())).unwrap();
    assert_eq!(attached(&real), 1);
    assert!(real.opens("one", "/dev/zero"));
    assert!(!real.opens("one", "/dev/full"));
    real.tree.update("one", &devices(&[DeviceRule { allow: true, ..DeviceRule::default() }])).unwrap();
    assert_eq!(attached(&real), 0);
    assert!(real.opens("one", "/dev/full"));
    real.tree.create("two", &devices(&null)).unwrap();
    assert_eq!(real.tree.programs.lock().unwrap().len(), 2);
}

#[test]
fn processes_are_frozen_thawed_killed_and_waited_for() {
    let Some(mut real) = Real::new() else { return };
    real.tree.create("one", &Resources::default()).unwrap();
    real.run_in("one", "sleep 600 & exec sleep 600");
    real.tree.freeze("one").unwrap();
    let events = |real: &Real| real.tree.parent.get("one", "cgroup.events").unwrap();
    assert!(events(&real).contains("frozen 1"));
    real.tree.thaw("one").unwrap();
    assert!(!real.tree.pids("one").unwrap().is_empty());
    let nested = real.tree.parent.path().join("one/inner/innermost");
    fs::create_dir_all(&nested).unwrap();
    let pid = real.child.as_ref().unwrap().id().to_string();
    fs::write(nested.join("cgroup.procs"), &pid).unwrap();
    assert!(real.tree.pids("one").unwrap().contains(&pid.parse().unwrap()));
    real.tree.freeze("one").unwrap();
    real.tree.kill("one").unwrap();
    real.tree.remove("one").unwrap();
    assert!(real.tree.names().unwrap().is_empty());
    assert!(!real.child.as_mut().unwrap().wait().unwrap().success());
}

#[test]
fn killing_by_list_works_where_the_kernel_has_no_file_for_it() {
    let Some(mut real) = Real::new() else { return };
    real.tree.create("one", &Resources::default()).unwrap();
    real.run_in("one", "while :; do (sleep 0.01 &) ; done");
    real.tree.kill_by_list("one").unwrap();
    assert!(real.tree.pids("one").unwrap().is_empty());
    real.tree.remove("one").unwrap();
}

#[test]
fn a_group_in_use_is_not_removed() {
    let Some(mut real) = Real::new() else { return };
    real.tree.create("one", &Resources::default()).unwrap();
    real.run_in("one", "exec sleep 600");
    assert!(matches!(real.tree.remove("one"), Err(Error::Io { action: "remove", .. })));
}
