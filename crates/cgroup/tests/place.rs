//! A runtime's groups on this machine's own cgroups, v1 or v2. Each test has a parent of its own and removes it. Root only.

mod groups;

use cgroup::{Driver, Error, Lenience, Oom, Place, Placed, Version};
use groups::{enter, eventually};
use oci::runtime::{BlockIo, Cpu, DeviceRule, HugepageLimit, Memory, Pids, Resources};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A parent group, and what runs below it.
struct Yard {
    parent: String,
    children: Vec<Child>,
}

impl Yard {
    fn new() -> Option<Yard> {
        let parent = format!("cgplace-{}", base::Id::random().short());
        rustix::process::geteuid().is_root().then(|| Yard { parent, children: Vec::new() })
    }

    fn path(&self, name: &str) -> String {
        format!("/{}/{name}", self.parent)
    }

    fn make(&self, name: &str, resources: &Resources) -> Result<Placed, Error> {
        let place = Place::read(Some(&self.path(name)), "id", Driver::Cgroupfs).unwrap();
        place.make(resources, &BTreeMap::new(), Lenience::Strict)
    }

    /// A shell that runs `script` once it is in the group.
    fn run_in(&mut self, placed: &Placed, script: &str) -> usize {
        self.run(script, |pid| enter(&placed.entry().unwrap(), pid))
    }

    fn run(&mut self, script: &str, enter: impl FnOnce(u32)) -> usize {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("read line; {script}")]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let pid = child.id();
        self.children.push(child);
        enter(pid);
        stdin.write_all(b"go\n").unwrap();
        self.children.len() - 1
    }

    fn pid(&self, child: usize) -> i32 {
        i32::try_from(self.children[child].id()).unwrap()
    }

    fn opens(&mut self, placed: &Placed, device: &str) -> bool {
        let child = self.run_in(placed, &format!("exec < {device}"));
        self.children[child].wait().unwrap().success()
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for root in roots().map(|root| root.join(&self.parent)).filter(|root| root.exists()) {
            let gone = eventually(|| remove_below(&root));
            assert!(gone || std::thread::panicking(), "{root:?}");
        }
    }
}

fn roots() -> impl Iterator<Item = PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    points.map(PathBuf::from).collect::<Vec<_>>().into_iter()
}

fn remove_below(folder: &Path) -> bool {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    std::fs::remove_dir(folder).is_ok() || !folder.exists()
}

/// Where a v1 controller's, or the v2 group is.
fn folder<'a>(placed: &'a Placed, controller: &str) -> &'a Path {
    let key = if placed.version() == Some(Version::V2) { "" } else { controller };
    &placed.record().paths[key]
}

fn read(placed: &Placed, controller: &str, file: &str) -> String {
    std::fs::read_to_string(folder(placed, controller).join(file)).unwrap().trim().to_owned()
}

fn pids(limit: i64) -> Resources {
    Resources { pids: Some(Pids { limit }), ..Resources::default() }
}

/// The groups of a process, as /proc tells them.
fn cgroups_of(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

#[test]
fn a_group_is_made_in_every_hierarchy_entered_counted_and_removed() {
    let Some(mut yard) = Yard::new() else { return };
    let placed = yard.make("pod/one", &pids(20)).unwrap();
    let child = yard.run_in(&placed, "sleep 600 & exec sleep 600");
    assert!(eventually(|| placed.pids().unwrap().len() == 2));
    let (path, lines) = (yard.path("pod/one"), cgroups_of(yard.pid(child)));
    let named = |line: &&str| !line.split(':').nth(1).unwrap().is_empty();
    match placed.version().unwrap() {
        Version::V1 => {
            assert!(lines.lines().filter(named).all(|line| line.ends_with(&path)), "{lines}");
            let hybrid = placed.record().paths.contains_key("");
            assert!(!hybrid || lines.lines().any(|line| line == format!("0::{path}")), "{lines}");
        }
        Version::V2 => assert!(lines.lines().any(|line| line == format!("0::{path}")), "{lines}"),
    }
    assert_eq!(read(&placed, "pids", "pids.max"), "20");
    let statistics = placed.statistics().unwrap();
    assert!(statistics.cpu.total > 0 && statistics.memory.usage.usage > 0, "{statistics:?}");
    assert_eq!((statistics.pids.current, statistics.pids.limit), (2, 20));
    assert!(!statistics.memory.raw.is_empty());
    placed.signal(9).unwrap();
    assert!(!yard.children[child].wait().unwrap().success());
    placed.remove().unwrap();
    placed.remove().unwrap();
    assert!(placed.record().paths.values().all(|path| !path.exists()));
    let parents = placed.record().paths.values().filter_map(|path| path.parent());
    assert!(parents.into_iter().all(Path::exists), "parents stay");
}

#[test]
fn another_process_opens_it_by_its_record() {
    let Some(mut yard) = Yard::new() else { return };
    let made = yard.make("one", &pids(20)).unwrap();
    let mut placed = Placed::open(made.record()).unwrap();
    assert_eq!(placed.record(), made.record());
    let child = yard.run("exec sleep 600", |pid| {
        placed.attach(i32::try_from(pid).unwrap(), &Resources::default()).unwrap();
    });
    let pid = yard.pid(child);
    assert_eq!(placed.pids().unwrap(), [pid]);
    placed.update(&pids(30)).unwrap();
    assert_eq!(read(&placed, "pids", "pids.max"), "30");
    placed.signal(rustix::process::Signal::TERM.as_raw()).unwrap();
    assert!(!yard.children[child].wait().unwrap().success());
    placed.remove().unwrap();
    let gone = Placed::open(made.record()).unwrap();
    assert!(!gone.exists());
    gone.remove().unwrap();
    assert_eq!((gone.pids().unwrap(), gone.is_frozen().unwrap()), (Vec::new(), false));
    assert!(gone.freeze().is_err());
}

#[test]
fn a_group_in_use_or_frozen_is_not_shared() {
    let Some(mut yard) = Yard::new() else { return };
    let placed = yard.make("one", &Resources::default()).unwrap();
    yard.make("one", &Resources::default()).unwrap();
    placed.freeze().unwrap();
    let text = yard.make("one", &Resources::default()).unwrap_err().to_string();
    assert_eq!(text, "container's cgroup unexpectedly frozen");
    placed.thaw().unwrap();
    yard.run_in(&placed, "exec sleep 600");
    let text = yard.make("one", &Resources::default()).unwrap_err().to_string();
    assert_eq!(text, "container's cgroup is not empty: 1 process(es) found");
    assert!(placed.exists() && folder(&placed, "pids").exists(), "what was there before stays");
}

#[test]
fn a_failed_making_leaves_no_group() {
    let Some(yard) = Yard::new() else { return };
    let wrong = [
        Resources { cpu: Some(Cpu { cpus: Some("4000".to_owned()), ..Cpu::default() }), ..Resources::default() },
        Resources {
            hugepage_limits: vec![HugepageLimit { page_size: "3XB".into(), limit: 1 }],
            ..Resources::default()
        },
        Resources { block_io: Some(BlockIo { leaf_weight: Some(500), ..BlockIo::default() }), ..Resources::default() },
        Resources { unified: [("no.such".to_owned(), "1".to_owned())].into(), ..Resources::default() },
        Resources { devices: vec![DeviceRule { kind: Some("x".to_owned()), ..DeviceRule::default() }], ..pids(1) },
    ];
    for resources in wrong {
        assert!(yard.make("wrong", &resources).is_err(), "{resources:?}");
        assert!(roots().all(|root| !root.join(yard.path("wrong").trim_start_matches('/')).exists()));
    }
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let Some(mut yard) = Yard::new() else { return };
    let mut placed = yard.make("one", &pids(20)).unwrap();
    if placed.version() == Some(Version::V2) {
        return;
    }
    let cpu = |cpu: Cpu| Resources { cpu: Some(cpu), ..Resources::default() };
    placed.update(&cpu(Cpu { shares: Some(512), period: Some(900_000), ..Cpu::default() })).unwrap();
    placed.update(&cpu(Cpu { quota: Some(600_000), burst: Some(500_000), ..Cpu::default() })).unwrap();
    for (file, wanted) in [
        ("cpu.shares", "512"),
        ("cpu.cfs_period_us", "900000"),
        ("cpu.cfs_quota_us", "600000"),
        ("cpu.cfs_burst_us", "500000"),
    ] {
        assert_eq!(read(&placed, "cpu", file), wanted, "{file}");
    }
    // Smaller than the burst in force: the new burst goes first.
    placed.update(&cpu(Cpu { quota: Some(100_000), burst: Some(0), ..Cpu::default() })).unwrap();
    assert_eq!(
        (read(&placed, "cpu", "cpu.cfs_quota_us"), read(&placed, "cpu", "cpu.cfs_burst_us")),
        ("100000".into(), "0".into())
    );
    for (shares, text) in [(1, "minimum allowed cpu-shares is 2"), (1 << 20, "maximum allowed cpu-shares is 262144")] {
        let refused = placed.update(&cpu(Cpu { shares: Some(shares), ..Cpu::default() })).unwrap_err();
        assert!(refused.to_string().contains(text), "{refused}");
    }
    placed.update(&pids(0)).unwrap();
    assert_eq!(read(&placed, "pids", "pids.max"), "1");
    placed.update(&pids(-1)).unwrap();
    assert_eq!((read(&placed, "pids", "pids.max"), read(&placed, "cpu", "cpu.shares")), ("max".into(), "512".into()));
    let unified = Resources { unified: [("memory.min".to_owned(), "1".to_owned())].into(), ..Resources::default() };
    assert!(placed.update(&unified).unwrap_err().to_string().starts_with("invalid configuration"));
    // A limit of a controller that is not there is an error; that nobody asked for one is not.
    if !placed.record().paths.contains_key("hugetlb") {
        let limits = vec![HugepageLimit { page_size: "2MB".to_owned(), limit: 2 << 20 }];
        let refused = placed.update(&Resources { hugepage_limits: limits, ..Resources::default() }).unwrap_err();
        assert_eq!(refused.to_string(), "cannot set hugetlb limit: container could not join or create cgroup");
    }
    assert!(yard.opens(&placed, "/dev/null"));
}

#[test]
fn cpus_are_inherited_down_parents_that_are_made() {
    let Some(mut yard) = Yard::new() else { return };
    let cpu = Cpu { cpus: Some("0".to_owned()), ..Cpu::default() };
    let placed = yard.make("a/b/c", &Resources { cpu: Some(cpu), ..Resources::default() }).unwrap();
    if placed.version() == Some(Version::V1) {
        assert_eq!(read(&placed, "cpuset", "cpuset.cpus"), "0");
        assert!(!read(&placed, "cpuset", "cpuset.mems").is_empty());
        assert!(!read(&placed, "cpuset", "../cpuset.cpus").is_empty());
    }
    let child = yard.run_in(&placed, "exec sleep 600");
    assert_eq!(placed.pids().unwrap(), [yard.pid(child)]);
}

#[test]
fn devices_are_those_of_the_rules_and_of_every_container() {
    let Some(mut yard) = Yard::new() else { return };
    let deny = DeviceRule { access: Some("rwm".to_owned()), ..DeviceRule::default() };
    // Letters that mean nothing are no reason to refuse.
    let kmsg = DeviceRule {
        allow: false,
        kind: Some("c".into()),
        major: Some(1),
        minor: Some(11),
        access: Some("rwa".into()),
    };
    let placed =
        yard.make("closed", &Resources { devices: vec![deny.clone(), kmsg.clone()], ..Resources::default() }).unwrap();
    assert!(["/dev/null", "/dev/zero", "/dev/urandom"].iter().all(|device| yard.opens(&placed, device)));
    assert!(!yard.opens(&placed, "/dev/kmsg"));
    let mut placed = placed;
    placed
        .update(&Resources { devices: vec![DeviceRule { allow: true, ..DeviceRule::default() }], ..pids(40) })
        .unwrap();
    assert!(!yard.opens(&placed, "/dev/kmsg"), "an update leaves devices alone");
    let open = DeviceRule { allow: true, access: Some("rw".to_owned()), ..kmsg };
    let placed = yard.make("open", &Resources { devices: vec![deny, open], ..Resources::default() }).unwrap();
    assert!(yard.opens(&placed, "/dev/kmsg"));
}

#[test]
fn one_more_process_joins_the_group_or_one_below() {
    let Some(mut yard) = Yard::new() else { return };
    let placed = yard.make("one", &Resources::default()).unwrap();
    let first = yard.run_in(&placed, "exec sleep 600");
    let init = yard.pid(first);
    for folder in placed.record().paths.values() {
        let _ = std::fs::create_dir(folder.join("below"));
        if let Ok(cpus) = std::fs::read_to_string(folder.join("cpuset.cpus")).map(|_| folder.join("below")) {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let _ = std::fs::write(cpus.join(file), std::fs::read(folder.join(file)).unwrap());
            }
        }
    }
    for (below, end) in [(None, "/one"), (Some("below"), "/one/below"), (Some("/below/../below"), "/one/below")] {
        let child = yard.run("exec sleep 600", |pid| enter(&placed.join(below, init).unwrap(), pid));
        let lines = cgroups_of(yard.pid(child));
        assert!(lines.lines().any(|line| line.ends_with(end)), "{below:?} {lines}");
    }
    for wrong in ["..", "../two", "missing"] {
        assert!(placed.join(Some(wrong), init).is_err(), "{wrong}");
    }
    if placed.version() == Some(Version::V1) {
        let each = |controller: &str| [(controller.to_owned(), "below".to_owned())].into();
        let child = yard.run("exec sleep 600", |pid| enter(&placed.join_each(&each("pids"), init).unwrap(), pid));
        let lines = cgroups_of(yard.pid(child));
        let of =
            |name: &str| lines.lines().find(|line| line.split(':').nth(1).unwrap().split(',').any(|one| one == name));
        assert!(of("pids").unwrap().ends_with("/one/below") && of("freezer").unwrap().ends_with("/one"), "{lines}");
        let unknown = placed.join_each(&each("nonsense"), init).unwrap_err();
        assert_eq!(unknown.to_string(), "unknown controller nonsense in SubCgroupPaths");
    }
    placed.signal(9).unwrap();
    placed.remove().unwrap();
}

#[test]
fn on_v2_a_process_joins_the_first_one_where_the_group_itself_takes_none() {
    let Some(mut yard) = Yard::new() else { return };
    let placed = yard.make("one", &Resources::default()).unwrap();
    if placed.version() == Some(Version::V1) {
        return;
    }
    let first = yard.run_in(&placed, "exec sleep 600");
    let init = yard.pid(first);
    let own = folder(&placed, "").to_owned();
    std::fs::create_dir(own.join("moved")).unwrap();
    std::fs::write(own.join("moved/cgroup.procs"), init.to_string()).unwrap();
    let joined = |yard: &mut Yard| {
        let child = yard.run("exec sleep 600", |pid| enter(&placed.join(None, init).unwrap(), pid));
        let group = cgroups_of(yard.pid(child)).trim().to_owned();
        yard.children[child].kill().unwrap();
        yard.children[child].wait().unwrap();
        group
    };
    assert!(joined(&mut yard).ends_with("/one"));
    std::fs::write(own.join("cgroup.subtree_control"), "+memory").unwrap();
    assert!(joined(&mut yard).ends_with("/one/moved"));
    placed.signal(9).unwrap();
    placed.remove().unwrap();
}

#[test]
fn on_v2_a_group_is_handed_over_with_the_files_that_the_kernel_names() {
    use std::os::unix::fs::MetadataExt;
    let Some(yard) = Yard::new() else { return };
    let placed = yard.make("one", &Resources::default()).unwrap();
    placed.delegate(100_000).unwrap();
    if placed.version() == Some(Version::V1) {
        let owners = placed.record().paths.values().map(|path| path.metadata().unwrap().uid());
        assert!(owners.into_iter().all(|uid| uid == 0), "v1 is not safe to hand over");
        return;
    }
    let uid = |file: &str| folder(&placed, "").join(file).metadata().unwrap().uid();
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        assert_eq!(uid(file), 100_000, "{file:?}");
    }
    assert_eq!((uid("memory.max"), uid("cgroup.freeze")), (0, 0));
}

#[test]
fn on_v2_all_controllers_are_turned_on_above_the_group() {
    let Some(yard) = Yard::new() else { return };
    let placed = yard.make("a/b/c", &Resources::default()).unwrap();
    if placed.version() == Some(Version::V2) {
        let top = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
        assert_eq!(read(&placed, "", "cgroup.controllers"), top.trim());
        assert!(std::fs::read_to_string(folder(&placed, "").join("cgroup.subtree_control")).unwrap().trim().is_empty());
    }
}

#[test]
fn a_frozen_group_is_told_from_one_below_a_frozen_one() {
    let Some(mut yard) = Yard::new() else { return };
    let outer = yard.make("outer", &Resources::default()).unwrap();
    let inner = yard.make("outer/inner", &Resources::default()).unwrap();
    yard.run_in(&inner, "exec sleep 600");
    outer.freeze().unwrap();
    assert_eq!((outer.is_frozen().unwrap(), inner.is_frozen().unwrap()), (true, false));
    outer.thaw().unwrap();
    inner.freeze().unwrap();
    assert_eq!((outer.is_frozen().unwrap(), inner.is_frozen().unwrap()), (false, true));
    // A signal that does not kill leaves it so.
    inner.signal(rustix::process::Signal::CONT.as_raw()).unwrap();
    assert!(inner.is_frozen().unwrap());
    inner.signal(9).unwrap();
    assert!(!inner.is_frozen().unwrap());
    assert!(inner.pids().unwrap().is_empty());
}

/// A process that spawns without end is the case in which freezing fails or takes long; whatever comes of it, nothing stays
/// frozen that was not asked for, and killing ends it.
#[test]
fn no_way_out_of_freezing_and_killing_leaves_a_group_frozen() {
    let Some(mut yard) = Yard::new() else { return };
    let placed = yard.make("crowd", &pids(200)).unwrap();
    yard.run_in(&placed, "while :; do (sleep 0.005 &) ; done");
    for _ in 0..20 {
        let frozen = placed.freeze().is_ok();
        assert_eq!(placed.is_frozen().unwrap(), frozen);
        placed.signal(rustix::process::Signal::CONT.as_raw()).unwrap();
        placed.thaw().unwrap();
        placed.signal(rustix::process::Signal::CONT.as_raw()).unwrap();
        assert!(!placed.is_frozen().unwrap());
    }
    placed.freeze().unwrap();
    placed.signal(9).unwrap();
    assert!(!placed.is_frozen().unwrap() && placed.pids().unwrap().is_empty());
    placed.remove().unwrap();
}

#[test]
fn the_out_of_memory_killer_is_told_of_and_so_is_the_end() {
    let Some(mut yard) = Yard::new() else { return };
    let memory = Memory { limit: Some(8 << 20), swap: Some(8 << 20), ..Memory::default() };
    let placed = match yard.make("greedy", &Resources { memory: Some(memory), ..Resources::default() }) {
        // A machine without the controller (v2 that is not whole).
        Err(Error::Unsupported(_)) => return,
        placed => placed.unwrap(),
    };
    let mut watch = placed.watch_memory().unwrap();
    assert_eq!(watch.read().unwrap(), if placed.version() == Some(Version::V1) { Oom::Nothing } else { Oom::Over });
    let child = yard.run_in(&placed, "exec tail /dev/zero");
    assert!(eventually(|| {
        let mut polled = [PollFd::new(&watch.fd, PollFlags::IN)];
        let wait = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&wait))).unwrap();
        watch.read().unwrap() == Oom::Came
    }));
    assert!(!yard.children[child].wait().unwrap().success());
    placed.remove().unwrap();
    assert!(eventually(|| watch.read().unwrap() == Oom::Over));
}

#[test]
fn memory_limits_that_make_no_sense_are_refused_and_nothing_is_left() {
    let Some(yard) = Yard::new() else { return };
    let memory =
        |limit, swap| Resources { memory: Some(Memory { limit, swap, ..Memory::default() }), ..Resources::default() };
    assert!(yard.make("less", &memory(Some(64 << 20), Some(32 << 20))).is_err());
    let swappiness = Memory { swappiness: Some(101), ..Memory::default() };
    let refused = yard.make("swappy", &Resources { memory: Some(swappiness), ..Resources::default() }).unwrap_err();
    assert!(refused.to_string().contains("valid range is 0-100"), "{refused}");
    assert!(roots().all(|root| !root.join(&yard.parent).join("less").exists()));
}

/// Set for the ordinary user's process.
const INSIDE: &str = "CGPLACE_INSIDE";

/// This program again, as an ordinary user to whom nothing is delegated.
#[test]
fn an_ordinary_user_goes_without_groups_unless_something_is_asked_of_them() {
    if std::env::var_os(INSIDE).is_some() {
        return without_groups();
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let program = std::fs::File::open("/proc/self/exe").unwrap();
    let name = "an_ordinary_user_goes_without_groups_unless_something_is_asked_of_them";
    let output = Command::new(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&program)))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .current_dir("/")
        .uid(65534)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && words.contains("went without"), "{words}");
}

fn without_groups() {
    let make = |path: Option<&str>, resources: &Resources| {
        let place = Place::read(path, "cgplace-of-nobody", Driver::Cgroupfs).unwrap();
        place.make(resources, &BTreeMap::new(), Lenience::Lenient)
    };
    let placed = make(None, &Resources::default()).unwrap();
    assert!(!placed.exists() && placed.record().paths.is_empty());
    assert!(matches!(placed.entry().unwrap(), sys::CgroupEntry::Inherit));
    assert!(placed.pids().unwrap().is_empty());
    placed.remove().unwrap();
    let given = make(Some("/cgplace-of-nobody"), &Resources::default()).unwrap_err();
    assert!(given.to_string().ends_with("/cgplace-of-nobody: permission denied"), "{given}");
    let limited = make(None, &pids(20)).unwrap_err().to_string();
    let texts = [
        "cannot set pids limit: container could not join or create cgroup",
        "rootless needs no limits + no cgrouppath when no permission is granted for cgroups",
    ];
    assert!(texts.iter().any(|text| limited.starts_with(text)), "{limited}");
    println!("went without");
}
