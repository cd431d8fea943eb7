//! What the OCI runtime's rules add: mounts, devices and processes as a bundle describes them.

use crate::Test;
use crate::world::{Ended, World, bind, busybox_tree, id_map, mount, own_user, process, reap, spec};
use oci::runtime::{Device, Mount, Namespace, NamespaceKind, Spec};
use runtime::{Failure, Inputs, NetworkNamespace, ParkPlan, Prepared, Rules, Step, UserNamespace};
use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

pub const TESTS: &[Test] = &[
    ("bundle: sources and places may be relative, or inside the root", relative_mounts),
    ("bundle: a bind of the container sees the mounts before it", inside_binds),
    ("bundle: id-mapped binds have the owners of their own maps", id_mapped_binds),
    ("bundle: flags of a bind replace those of its source", bind_flags),
    ("bundle: recursive flags reach what is mounted below", recursive_flags),
    ("bundle: a tmpfs looks like the folder it covers", tmpfs_modes),
    ("bundle: tmpcopyup copies the covered files", copy_up),
    ("bundle: mounts spread as they are told", propagation),
    ("bundle: nodes and links are made in a /dev of the root", devices_in_root),
    ("bundle: a /dev that is a link makes nothing outside", linked_dev),
    ("bundle: devices work in a user namespace", devices_of_users),
    ("bundle: cgroup shows the container's own groups", own_cgroups),
    ("bundle: /proc that is a link is refused in runc's words", linked_proc),
    ("bundle: parameters are set without a mounted /proc", parameters_without_proc),
    ("bundle: equal paths are masked once", masked_once),
    ("bundle: HOME comes from the container's passwd", home),
    ("bundle: personality, scheduling, memory policy are those asked for", tuned),
    ("bundle: clocks have their offsets", clocks),
    ("bundle: network devices move with their addresses", network_devices),
];

/// A folder with `rootfs` in it.
struct Bundle(PathBuf);

impl Bundle {
    fn new(world: &World, name: &str) -> Self {
        let path = world.home.path().join(name);
        busybox_tree(&path.join("rootfs"));
        Self(path)
    }

    fn rootfs(&self) -> PathBuf {
        self.0.join("rootfs")
    }

    fn prepare(&self, spec: &Spec, user_namespace: Option<OwnedFd>) -> Result<Prepared, runtime::PrepareError> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let root = rustix::mount::open_tree(CWD, self.rootfs(), flags).unwrap();
        let rules = Rules::Bundle(self.0.clone());
        runtime::prepare(spec, Inputs { root, seccomp: None, user_namespace, cgroup_dir: None, rules })
    }

    /// As the host's root, in a new network namespace.
    fn run(&self, world: &World, spec: &Spec) -> Result<Ended, Failure> {
        let plan = ParkPlan { user: UserNamespace::Host, network: NetworkNamespace::New, cgroup_procs: Vec::new() };
        let prepared = self.prepare(spec, None).expect("prepare");
        world.start(world.park_with(&plan, &[]), &prepared).map(crate::world::Running::end)
    }

    /// In a user namespace of its own.
    fn run_mapped(&self, world: &World, spec: &Spec) -> Result<Ended, Failure> {
        let plan = ParkPlan { user: own_user(), network: NetworkNamespace::New, cgroup_procs: Vec::new() };
        let prepared = self.prepare(spec, Some(world.user.try_clone().unwrap())).expect("prepare");
        world.start(world.park_with(&plan, &[]), &prepared).map(crate::world::Running::end)
    }

    /// What a shell script says.
    fn script(&self, world: &World, mut spec: Spec, script: &str) -> String {
        spec.process.as_mut().unwrap().args = ["sh", "-c", script].map(str::to_owned).to_vec();
        let ended = self.run(world, &spec).expect("start");
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
        ended.out
    }
}

/// Docker's specification without what is the engine's own business.
fn plain() -> Spec {
    let mut spec = spec(&["true"]);
    let linux = spec.linux.as_mut().unwrap();
    linux.uid_mappings.clear();
    linux.gid_mappings.clear();
    spec
}

fn with(mounts: Vec<Mount>) -> Spec {
    let mut spec = plain();
    spec.mounts.extend(mounts);
    spec
}

fn without(destination: &str) -> Spec {
    let mut spec = plain();
    spec.mounts.retain(|mount| !mount.destination.starts_with(destination));
    spec
}

fn relative_mounts(world: &World) {
    let bundle = Bundle::new(world, "relative");
    std::fs::create_dir(bundle.0.join("data")).unwrap();
    std::fs::write(bundle.0.join("data/file"), "here").unwrap();
    let outside = bundle.rootfs().join("opt/outside");
    let mounts = vec![
        bind(Path::new("data"), "a", &["bind"]),
        bind(&bundle.0.join("data/file"), outside.to_str().unwrap(), &["bind", "ro"]),
    ];
    assert_eq!(bundle.script(world, with(mounts), "cat /a/file /opt/outside"), "herehere");
}

fn inside_binds(world: &World) {
    let bundle = Bundle::new(world, "inside");
    for name in ["x", "y"] {
        std::fs::create_dir(bundle.0.join(name)).unwrap();
        std::fs::write(bundle.0.join(name).join("file"), name).unwrap();
    }
    std::fs::create_dir_all(bundle.0.join("x/sub")).unwrap();
    let inside = bundle.rootfs().join("mnt");
    let mounts = vec![
        bind(Path::new("x"), "/mnt", &["rbind"]),
        bind(Path::new("y"), "/mnt/sub", &["rbind"]),
        bind(&inside, "/whole", &["rbind", "ro"]),
        bind(&inside, "/alone", &["bind"]),
    ];
    let script = "cat /whole/file /whole/sub/file; ls /alone/sub; touch /whole/z 2>/dev/null || echo closed";
    assert_eq!(bundle.script(world, with(mounts), script), "xyclosed\n");
}

fn id_mapped_binds(world: &World) {
    let bundle = Bundle::new(world, "mapped");
    let sub = bundle.0.join("data/sub");
    std::fs::create_dir_all(&sub).unwrap();
    for (path, owner) in [("data/file", 100), ("data/sub/file", 100)] {
        std::fs::write(bundle.0.join(path), "").unwrap();
        chown(bundle.0.join(path), Some(owner), Some(owner)).unwrap();
    }
    let maps = |host| vec![oci::runtime::IdMapping { container_id: 100, host_id: host, size: 10 }];
    let mapped = |destination: &str, host| Mount {
        uid_mappings: maps(host),
        gid_mappings: maps(host + 1),
        ..bind(Path::new("data"), destination, &["bind"])
    };
    let mounts = vec![mapped("/a", 5000), mapped("/b", 6000), bind(Path::new("data"), "/plain", &["bind"])];
    let out = bundle.script(world, with(mounts), "stat -c %u:%g /a/file /b/file /plain/file");
    assert_eq!(out, "5000:5001\n6000:6001\n100:100\n");
    // The container's own maps, for which no other namespace is made.
    chown(bundle.0.join("data/file"), Some(7), Some(7)).unwrap();
    for folder in [bundle.0.clone(), bundle.rootfs(), bundle.0.join("data")] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut spec = with(vec![bind(Path::new("data"), "/tmp", &["bind", "idmap"])]);
    spec.mounts.retain(|mount| mount.kind.as_deref() != Some("cgroup"));
    give_tree(&bundle.rootfs());
    spec.process.as_mut().unwrap().args = ["stat", "-c", "%u:%g", "/tmp/file"].map(str::to_owned).to_vec();
    assert_eq!(bundle.run_mapped(world, &spec).unwrap().out, "7:7\n");
}

/// To the root of the mapped user namespace.
fn give_tree(path: &Path) {
    let base = id_map()[0].host_id;
    std::os::unix::fs::lchown(path, Some(base), Some(base)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give_tree(&entry.unwrap().path()));
    }
}

/// A tmpfs of the host for the time of a test.
struct HostMount(PathBuf);

impl HostMount {
    fn new(path: PathBuf, flags: rustix::mount::MountFlags) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        rustix::mount::mount("tmpfs", &path, "tmpfs", flags, None).unwrap();
        Self(path)
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

fn bind_flags(world: &World) {
    let bundle = Bundle::new(world, "flags");
    let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
    let host = HostMount::new(bundle.0.join("host"), flags);
    let mounts = vec![
        bind(&host.0, "/same", &["bind"]),
        bind(&host.0, "/ro", &["bind", "ro"]),
        bind(&host.0, "/exec", &["bind", "noexec", "exec", "dev"]),
    ];
    let out = bundle.script(world, with(mounts), "grep -E ' /(same|ro|exec) ' /proc/self/mounts");
    let options = |place: &str| {
        let line = out.lines().find(|line| line.contains(place)).unwrap_or_else(|| panic!("{out}"));
        let options = line.split(' ').nth(3).unwrap().split(',');
        ["ro", "nosuid", "nodev", "noexec"].map(|flag| options.clone().any(|option| option == flag))
    };
    assert_eq!(options(" /same "), [false, true, true, false]);
    assert_eq!(options(" /ro "), [true, false, false, false]);
    assert_eq!(options(" /exec "), [false; 4]);
}

fn recursive_flags(world: &World) {
    let bundle = Bundle::new(world, "recursive");
    let outer = HostMount::new(bundle.0.join("host"), rustix::mount::MountFlags::empty());
    let _inner = HostMount::new(outer.0.join("inner"), rustix::mount::MountFlags::empty());
    let mounts = vec![bind(&outer.0, "/all", &["rbind", "rro", "rnosuid"]), bind(&outer.0, "/top", &["rbind", "ro"])];
    let script = "for f in /all /all/inner /top /top/inner; do touch $f/x 2>/dev/null && echo $f; done; true";
    assert_eq!(bundle.script(world, with(mounts), script), "/top/inner\n");
}

fn tmpfs_modes(world: &World) {
    let bundle = Bundle::new(world, "modes");
    std::fs::create_dir(bundle.rootfs().join("closed")).unwrap();
    std::fs::set_permissions(bundle.rootfs().join("closed"), PermissionsExt::from_mode(0o710)).unwrap();
    let mounts = vec![
        mount("/closed", "tmpfs", &["nodev"]),
        mount("/var", "tmpfs", &["mode=1500", "ro"]),
        mount("/new/place", "tmpfs", &["size=1m"]),
    ];
    let script = "stat -c %a /closed /var /new/place /new; grep -c '^tmpfs /closed tmpfs' /proc/self/mounts";
    assert_eq!(bundle.script(world, with(mounts), script), "710\n1500\n1777\n755\n1\n");
}

fn copy_up(world: &World) {
    let bundle = Bundle::new(world, "copy-up");
    let folder = bundle.rootfs().join("full/sub");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file"), "text").unwrap();
    chown(&folder, Some(5), Some(6)).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    symlink("/etc/passwd", bundle.rootfs().join("full/link")).unwrap();
    let script = "cat /full/sub/file; readlink /full/link; stat -c %a:%u:%g /full/sub; rm -r /full/sub";
    let spec = with(vec![mount("/full", "tmpfs", &["tmpcopyup"])]);
    assert_eq!(bundle.script(world, spec, script), "text/etc/passwd\n777:5:6\n");
    assert!(folder.join("file").exists());
}

fn propagation(world: &World) {
    let bundle = Bundle::new(world, "spread");
    let host = HostMount::new(bundle.0.join("host"), rustix::mount::MountFlags::empty());
    let shared = rustix::mount::MountPropagationFlags::SHARED;
    rustix::mount::mount_change(&host.0, shared).unwrap();
    let fields = "while read a b c d place f g; do case $place in /|/m|/t) \
        case \"$g\" in *shared:*master:*) k=both;; *shared:*) k=shared;; *master:*) k=slave;; unbindable*) k=unbindable;; \
        *) k=private;; esac; echo $place $k;; esac; done < /proc/self/mountinfo";
    let told = |root: Option<&str>, option: &str| {
        let words = if option.is_empty() { vec!["rbind"] } else { vec!["rbind", option] };
        let mut spec = with(vec![bind(&host.0, "/m", &words), mount("/t", "tmpfs", &["shared"])]);
        spec.linux.as_mut().unwrap().rootfs_propagation = root.map(str::to_owned);
        bundle.script(world, spec, fields)
    };
    assert_eq!(told(None, ""), "/ private\n/m slave\n/t shared\n");
    assert_eq!(told(None, "rprivate"), "/ private\n/m private\n/t shared\n");
    assert_eq!(told(None, "shared"), "/ private\n/m both\n/t shared\n");
    assert_eq!(told(Some("private"), ""), "/ private\n/m private\n/t shared\n");
    assert_eq!(told(Some("shared"), "rshared"), "/ shared\n/m shared\n/t shared\n");
    assert_eq!(told(Some("unbindable"), "rslave"), "/ unbindable\n/m private\n/t shared\n");
}

fn devices_in_root(world: &World) {
    let bundle = Bundle::new(world, "nodes");
    std::fs::create_dir(bundle.rootfs().join("dev")).unwrap();
    std::fs::write(bundle.rootfs().join("dev/ptmx"), "stale").unwrap();
    let mut spec = without("/dev");
    let device = |kind: &str, path: &str| Device {
        kind: kind.into(),
        path: path.into(),
        major: 1,
        minor: 5,
        file_mode: Some(0o640),
        uid: Some(3),
        gid: Some(4),
    };
    spec.linux.as_mut().unwrap().devices = vec![device("c", "/opt/sub/zero"), device("p", "/dev/pipe")];
    let script = "stat -c '%n %F %a %u:%g %t,%T' /opt/sub/zero /dev/pipe /dev/null; readlink /dev/ptmx; readlink /dev/stdin; \
        echo gone > /dev/null; head -c 2 /opt/sub/zero | wc -c";
    let out = bundle.script(world, spec, script);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "/opt/sub/zero character special file 640 3:4 1,5");
    assert_eq!(lines[1], "/dev/pipe fifo 640 3:4 0,0");
    assert_eq!(lines[2], "/dev/null character special file 666 0:0 1,3");
    assert_eq!(lines[3..], ["pts/ptmx", "/proc/self/fd/0", "2"]);
}

fn linked_dev(world: &World) {
    let bundle = Bundle::new(world, "linked-dev");
    let canary = bundle.0.join("canary");
    std::fs::create_dir(&canary).unwrap();
    std::fs::write(canary.join("ptmx"), "mine").unwrap();
    symlink(&canary, bundle.rootfs().join("dev")).unwrap();
    let _ = bundle.run(world, &without("/dev"));
    let names: Vec<_> = std::fs::read_dir(&canary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ptmx"]);
    assert_eq!(std::fs::read_to_string(canary.join("ptmx")).unwrap(), "mine");
}

fn devices_of_users(world: &World) {
    let bundle = Bundle::new(world, "user-nodes");
    std::fs::create_dir(bundle.rootfs().join("dev")).unwrap();
    give_tree(&bundle.rootfs());
    for (name, mut spec) in [("made", plain()), ("bound", without("/dev"))] {
        spec.mounts.retain(|mount| mount.kind.as_deref() != Some("cgroup"));
        let linux = spec.linux.as_mut().unwrap();
        (linux.uid_mappings, linux.gid_mappings) = (id_map(), id_map());
        linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
        spec.process.as_mut().unwrap().args =
            ["sh", "-c", "head -c 3 /dev/zero | wc -c; echo x > /dev/null"].map(str::to_owned).to_vec();
        let ended = bundle.run_mapped(world, &spec).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!((ended.out.as_str(), ended.err.as_str()), ("3\n", ""), "{name}");
    }
}

fn own_cgroups(world: &World) {
    let bundle = Bundle::new(world, "groups");
    let mut spec = plain();
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Cgroup);
    let out = bundle.script(world, spec, "grep ' /sys/fs/cgroup' /proc/self/mounts; ls /sys/fs/cgroup");
    let mounts: Vec<_> = out.lines().filter(|line| line.contains(" /sys/fs/cgroup")).collect();
    assert!(mounts.len() > 1 || mounts.iter().any(|line| line.contains(" cgroup2 ")), "{out}");
    for line in mounts {
        assert!(line.split(' ').nth(3).unwrap().split(',').any(|option| option == "ro"), "{line}");
    }
    if out.contains("cpu,cpuacct") {
        assert!(out.lines().any(|line| line == "cpuacct"), "{out}");
    }
}

fn linked_proc(world: &World) {
    let bundle = Bundle::new(world, "linked-proc");
    symlink("/bad", bundle.rootfs().join("proc")).unwrap();
    let failure = bundle.run(world, &plain()).expect_err("refused");
    assert_eq!(failure.step, Step::Mount);
    assert!(failure.subject.contains("must be mounted on ordinary directory"), "{failure}");
}

fn parameters_without_proc(world: &World) {
    let bundle = Bundle::new(world, "parameters");
    let mut spec = without("/proc");
    let linux = spec.linux.as_mut().unwrap();
    linux.sysctl = [("kernel.msgmax".to_owned(), "4097".to_owned())].into();
    (linux.masked_paths, linux.readonly_paths) = (Vec::new(), Vec::new());
    let before = std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    spec.process = Some(process(&["true"]));
    assert_eq!(bundle.run(world, &spec).unwrap().code, 0);
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), before);
}

fn masked_once(world: &World) {
    let bundle = Bundle::new(world, "masked");
    let mut spec = plain();
    let masked = &mut spec.linux.as_mut().unwrap().masked_paths;
    masked.extend(["/etc", "/root", "/etc"].map(str::to_owned));
    let out = bundle.script(world, spec, "grep -c ' /etc ' /proc/self/mounts; stat -c %d /etc /root");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!((lines[0], lines[1] == lines[2]), ("1", true));
}

fn home(world: &World) {
    let bundle = Bundle::new(world, "home");
    let print = |uid: u32, env: &[&str]| {
        let mut spec = plain();
        let process = spec.process.as_mut().unwrap();
        process.user.uid = uid;
        process.env.extend(env.iter().map(|variable| (*variable).to_owned()));
        bundle.script(world, spec, "env | grep -c ^HOME=; echo $HOME")
    };
    assert_eq!(print(0, &[]), "1\n/root\n");
    assert_eq!(print(0, &["HOME=/x", "HOME="]), "1\n/root\n");
    assert_eq!(print(1000, &["HOME=/x"]), "1\n/x\n");
    assert_eq!(print(4711, &[]), "1\n/\n");
    // What is no list of users is none.
    std::fs::remove_file(bundle.rootfs().join("etc/passwd")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(CWD, bundle.rootfs().join("etc/passwd"), fifo, 0o644.into(), 0).unwrap();
    assert_eq!(print(0, &[]), "1\n/\n");
}

fn tuned(world: &World) {
    let bundle = Bundle::new(world, "tuned");
    let mut spec = plain();
    let linux = spec.linux.as_mut().unwrap();
    linux.personality = Some(oci::runtime::Personality { domain: "LINUX32".into(), flags: Vec::new() });
    let nodes = "0".to_owned();
    let policy = oci::runtime::MemoryPolicy { mode: "MPOL_INTERLEAVE".into(), nodes, flags: Vec::new() };
    let numa = Path::new("/proc/self/numa_maps").exists();
    linux.memory_policy = numa.then_some(policy);
    let process = spec.process.as_mut().unwrap();
    process.scheduler = Some(oci::runtime::Scheduler { policy: "SCHED_BATCH".into(), nice: 5, ..Default::default() });
    process.io_priority = Some(oci::runtime::IoPriority { class: "IOPRIO_CLASS_IDLE".into(), priority: 0 });
    let script = "busybox uname -m; busybox cut -d' ' -f19,41 /proc/self/stat; busybox ionice -p $$; \
        head -n 1 /proc/self/numa_maps 2>/dev/null | busybox cut -d' ' -f2; true";
    let out = bundle.script(world, spec, script);
    let lines: Vec<_> = out.lines().collect();
    let machine = if cfg!(target_arch = "x86_64") { "i686" } else { lines[0] };
    assert_eq!((lines[0], lines[1]), (machine, "5 3"), "{out}");
    assert!(lines[2].starts_with("idle"), "{out}");
    assert!(!numa || lines[3] == "interleave:0", "{out}");
}

fn clocks(world: &World) {
    let bundle = Bundle::new(world, "clocks");
    let mut spec = plain();
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
    let offset = |secs, nanosecs| oci::runtime::TimeOffset { secs, nanosecs };
    linux.time_offsets =
        [("monotonic".to_owned(), offset(7881, 2_718_281)), ("boottime".to_owned(), offset(1337, 3_141_519))].into();
    let out = bundle.script(world, spec, "cat /proc/self/timens_offsets; cat /proc/uptime");
    let fields: Vec<Vec<_>> = out.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    assert_eq!(fields[..2], [vec!["monotonic", "7881", "2718281"], vec!["boottime", "1337", "3141519"]]);
    let uptime: f64 = fields[2][0].parse().unwrap();
    let host = std::fs::read_to_string("/proc/uptime").unwrap();
    let host: f64 = host.split(' ').next().unwrap().parse().unwrap();
    assert!(uptime > host + 1000.0, "{uptime} {host}");
}

/// From one namespace of the test's own into another: the host's devices are left alone.
fn network_devices(world: &World) {
    let child = sys::process::Birth { namespaces: sys::process::Namespaces::NEWNET, ..Default::default() };
    match sys::fork(&world.thread, &child).unwrap() {
        sys::Fork::Child(_) => {
            let moved = std::panic::catch_unwind(move_one).is_ok();
            sys::process::exit(if moved { 0 } else { 1 })
        }
        sys::Fork::Parent { pid, .. } => assert_eq!(reap(pid), 0),
    }
}

fn move_one() {
    let ip = |words: &str| {
        let done = std::process::Command::new("busybox").arg("ip").args(words.split(' ')).output().unwrap();
        assert!(done.status.success(), "{words}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let other = sys::netns::create().unwrap();
    let mut batch = netlink::Batch::new();
    let peer = netlink::link::Peer { name: "peer", mac: [2, 0, 0, 0, 0, 1], netns: other.as_fd() };
    batch.add_veth(&netlink::link::VethPair { name: "moving", master: None, mtu: 1400, peer });
    netlink::Socket::route().unwrap().run(&mut batch).unwrap();
    ip("addr add 169.254.169.77/32 dev moving");
    ip("addr add 127.0.0.33/8 scope host dev moving");
    ip("-6 addr add fd00::7/64 dev moving");
    let target = sys::netns::create().unwrap();
    let named = |name: &str, new: &str| [(name.to_owned(), oci::runtime::NetDevice { name: new.to_owned() })].into();
    runtime::move_devices(target.as_fd(), &named("moving", "inner0")).unwrap();
    let missing = runtime::move_devices(target.as_fd(), &named("moving", "")).unwrap_err();
    assert_eq!(missing.to_string(), "link not found for interface moving on runtime namespace");
    sys::namespace::setns(target.as_fd(), sys::process::Namespaces::NEWNET).unwrap();
    let shown = ip("addr show dev inner0");
    for part in ["169.254.169.77/32", "fd00::7/64", "mtu 1400", "UP"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("127.0.0.33"), "{shown}");
}
