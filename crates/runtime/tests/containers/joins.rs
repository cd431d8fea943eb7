//! Namespaces and cgroups of others, execs, and processes that go away.

use crate::Test;
use crate::world::{Running, World, finish, own_user, process, reap, spec, wait_parked};
use oci::runtime::NamespaceKind;
use runtime::{NetworkNamespace, ParkPlan, Stdio, Step, UserNamespace};
use rustix::event::Timespec;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sys::process::{Birth, Fork};

pub const TESTS: &[Test] = &[
    ("an exec joins everything", exec_joins),
    ("an exec has a terminal of the container", exec_terminal),
    ("the network namespace of another container is joined", join_network),
    ("the user namespace of another container is joined", join_user),
    ("the pid namespace of another container is joined", join_pid),
    ("/proc is the container's own in every namespace", own_proc),
    ("the /sys of another's network is not the host's", no_host_sys),
    ("a frozen v2 cgroup does not stop the keeper", frozen),
    ("the host's pid namespace is kept", host_pid),
    ("the host's network namespace is kept", host_network),
    ("a v1 cgroup is entered while parked", cgroup_v1),
    ("a v2 cgroup is what the container is born in", cgroup_v2),
    ("a parked process that is let go ends", let_go),
    ("a parked process ends with its keeper, a container does not", orphans),
    ("a parked process holds nothing of the keeper's open", nothing_held),
];

fn sleeper(world: &World) -> crate::world::Running {
    world.start(world.park(), &world.prepare(&spec(&["sleep", "1000"]))).unwrap()
}

fn exec_joins(world: &World) {
    let running = sleeper(world);
    let script = "for n in mnt uts ipc net pid user cgroup; do [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n differs; done; \
        ls /proc/$$/fd | head -3; hostname; id -u; grep -E '^(CapInh|CapEff|CapBnd)' /proc/self/status; echo x > /dev/stdout; umask";
    let ended = world.exec(&running, &process(&["sh", "-c", script])).unwrap().end();
    assert_eq!(
        ended.out,
        "0\n1\n2\nbox\n0\nCapInh:\t0000000000000000\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nx\n0022\n",
        "{ended:?}"
    );
    let mut user = process(&["sh", "-c", "id -u; pwd; grep CapEff /proc/self/status; exit 5"]);
    (user.user.uid, user.cwd) = (1000, "/tmp".into());
    let ended = world.exec(&running, &user).unwrap().end();
    assert_eq!((ended.code, ended.out.as_str()), (5, "1000\n/tmp\nCapEff:\t0000000000000000\n"));
    user.cwd = "/tmp/new".into();
    let failure = world.exec(&running, &user).err().expect("only a start makes its folder");
    assert_eq!((failure.step, failure.errno), (Step::WorkingDirectory, Errno::NOENT.raw_os_error()));
    running.kill();
}

fn exec_terminal(world: &World) {
    let running = sleeper(world);
    let mut process = process(&["sh", "-c", "tty; stty size; stat -c %u /dev/pts/0; echo to > /dev/tty"]);
    process.terminal = true;
    process.user.uid = 7;
    process.console_size = Some(oci::runtime::ConsoleSize { height: 20, width: 30 });
    let ended = world.exec(&running, &process).unwrap().end();
    assert_eq!(ended.out, "/dev/pts/0\r\n20 30\r\n7\r\nto\r\n");
    running.kill();
}

fn open(path: impl AsRef<Path>) -> OwnedFd {
    rustix::fs::open(path.as_ref(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn namespace(pid: i32, kind: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string()
}

fn links(kinds: &str) -> Vec<String> {
    vec!["sh".into(), "-c".into(), format!("for n in {kinds}; do readlink /proc/self/ns/$n; done")]
}

/// Prints the numbers of all processes that /proc shows: `1` alone where it is the container's own.
const OWN_PROCESSES: &str = "; cd /proc; for p in [0-9]*; do echo $p; done";

fn join_network(world: &World) {
    let first = sleeper(world);
    let plan = ParkPlan { user: own_user(), network: NetworkNamespace::Join(0), cgroup_procs: Vec::new() };
    let parked = world.park_with(&plan, &[open(format!("/proc/{}/ns/net", first.pid))]);
    let mut spec = spec(&[]);
    spec.process.as_mut().unwrap().args = links("net user");
    spec.mounts.retain(|mount| !mount.destination.starts_with("/sys"));
    let ended = world.start(parked, &world.prepare(&spec)).unwrap().end();
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert_eq!(lines[0], namespace(first.pid, "net"));
    assert_ne!(lines[1], namespace(first.pid, "user"));
    first.kill();
}

/// The network namespace belongs to the other's user namespace, so that no sysfs of it can be mounted in this one.
fn no_host_sys(world: &World) {
    let first = sleeper(world);
    let plan = ParkPlan { user: own_user(), network: NetworkNamespace::Join(0), cgroup_procs: Vec::new() };
    let parked = world.park_with(&plan, &[open(format!("/proc/{}/ns/net", first.pid))]);
    let failure = world.start(parked, &world.prepare(&spec(&["true"]))).map(Running::end).unwrap_err();
    assert_eq!((failure.step, failure.errno, failure.subject.as_str()), (Step::Mount, 1, "/sys"));
    // Joining the host's by name is as good as keeping it.
    let parked = world.park_with(&plan, &[open("/proc/self/ns/net")]);
    let mut spec = spec(&["true"]);
    spec.mounts.retain(|mount| mount.destination != "/sys/fs/cgroup");
    assert_eq!(world.start(parked, &world.prepare(&spec)).unwrap().end().code, 0);
    first.kill();
}

/// Born in, or joining, whatever there is: /proc is another file system than the host's, of another pid namespace, and the
/// only process in it is the first of the container.
fn own_proc(world: &World) {
    let first = sleeper(world);
    let group = Group::new("unified").or_else(|| Group::new(""));
    let users = [own_user(), UserNamespace::Join(0)];
    let networks = [NetworkNamespace::New, NetworkNamespace::Host, NetworkNamespace::Join(1)];
    let script = format!("stat -c %d /proc; readlink /proc/self/ns/pid{OWN_PROCESSES}");
    let mut spec = spec(&["sh", "-c", &script]);
    spec.mounts.retain(|mount| !mount.destination.starts_with("/sys"));
    let host = [rustix::fs::stat("/proc").unwrap().st_dev.to_string(), namespace(own_pid(), "pid")];
    for user in &users {
        for network in &networks {
            for cgroup_dir in [None, group.as_ref().map(|group| open(&group.0))] {
                let plan = ParkPlan { user: user.clone(), network: network.clone(), cgroup_procs: Vec::new() };
                let fds = ["user", "net"].map(|kind| open(format!("/proc/{}/ns/{kind}", first.pid)));
                let parked = world.park_with(&plan, &fds);
                let (root, _) = world.root(Some(world.user.as_fd()));
                let user_namespace = Some(world.user.try_clone().unwrap());
                let inputs =
                    runtime::Inputs { root, seccomp: None, user_namespace, cgroup_dir, rules: runtime::Rules::Engine };
                let running = world.start(parked, &runtime::prepare(&spec, inputs).unwrap()).unwrap();
                let parent = std::fs::read_to_string(format!("/proc/{}/stat", running.pid)).unwrap();
                assert_eq!(parent.rsplit(") ").next().unwrap().split(' ').nth(1), Some(own_pid().to_string().as_str()));
                let ended = running.end();
                let lines: Vec<_> = ended.out.lines().collect();
                assert_eq!((lines.len(), lines[2]), (3, "1"), "{plan:?} {ended:?}");
                assert!(lines[0] != host[0] && lines[1] != host[1], "{plan:?} {ended:?}");
            }
        }
    }
    first.kill();
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

/// How long it takes that a test which waits for itself is freed and fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends the test's own waiting, should there be any.
fn thaw_later(world: &World, group: &Group) -> i32 {
    match sys::fork(&world.thread, &Birth::default()).unwrap() {
        Fork::Parent { pid, .. } => pid,
        Fork::Child(_) => {
            let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
            let _ = rustix::event::poll(&mut [], Some(&patience));
            let _ = std::fs::write(group.0.join("cgroup.freeze"), "0");
            sys::process::exit(0)
        }
    }
}

/// The keeper must not wait for what cannot run: the launch returns, and the container starts when the cgroup is thawed.
fn frozen(world: &World) {
    let Some(group) = Group::new("unified").or_else(|| Group::new("")) else { return println!("no v2 hierarchy here") };
    std::fs::write(group.0.join("cgroup.freeze"), "1").unwrap();
    let mut spec = spec(&["true"]);
    spec.mounts.retain(|mount| mount.destination != "/sys/fs/cgroup");
    let (root, _) = world.root(Some(world.user.as_fd()));
    let user_namespace = Some(world.user.try_clone().unwrap());
    let inputs = runtime::Inputs {
        root,
        seccomp: None,
        user_namespace,
        cgroup_dir: Some(open(&group.0)),
        rules: runtime::Rules::Engine,
    };
    let prepared = runtime::prepare(&spec, inputs).unwrap();
    let fds: Vec<_> = prepared.fds.iter().map(AsFd::as_fd).collect();
    let (out, out_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (err, err_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let parked = world.park();
    let pid = parked.pid();
    let stdio = Stdio::Files([out_end.as_fd(), out_end.as_fd(), err_end.as_fd()]);
    let rescuer = thaw_later(world, &group);
    let mut starting = runtime::launch(&world.thread, parked, &prepared.plan, &fds, stdio).unwrap();
    drop((out_end, err_end));
    let state = std::fs::read_to_string(group.0.join("cgroup.freeze")).unwrap();
    assert_eq!(state, "1\n", "the keeper waited for a frozen process");
    sys::signal::send(rescuer, 9).unwrap();
    assert_eq!(reap(rescuer), 128 + 9);
    assert!(starting.on_readable().is_none());
    std::fs::write(group.0.join("cgroup.freeze"), "0").unwrap();
    // Until now the frozen one held the parked one's socket, as everything of ours.
    assert_eq!(reap(pid), 0);
    assert_eq!(finish(starting, out, err).unwrap().end().code, 0);
}

fn join_user(world: &World) {
    let first = sleeper(world);
    for network in [NetworkNamespace::New, NetworkNamespace::Join(1)] {
        let plan = ParkPlan { user: UserNamespace::Join(0), network: network.clone(), cgroup_procs: Vec::new() };
        let fds = [open(format!("/proc/{}/ns/user", first.pid)), open(format!("/proc/{}/ns/net", first.pid))];
        let parked = world.park_with(&plan, &fds);
        let mut spec = spec(&[]);
        spec.process.as_mut().unwrap().args = links("net user ipc");
        spec.process.as_mut().unwrap().args[2].push_str(OWN_PROCESSES);
        let linux = spec.linux.as_mut().unwrap();
        let ipc = linux.namespaces.iter_mut().find(|namespace| namespace.kind == NamespaceKind::Ipc).unwrap();
        ipc.path = Some(format!("/proc/{}/ns/ipc", first.pid));
        let ended = world.start(parked, &world.prepare(&spec)).unwrap().end();
        let lines: Vec<_> = ended.out.lines().collect();
        assert_eq!(lines[0] == namespace(first.pid, "net"), network != NetworkNamespace::New, "{ended:?}");
        assert_eq!(lines[1..], [namespace(first.pid, "user").as_str(), &namespace(first.pid, "ipc"), "1"], "{ended:?}");
    }
    first.kill();
}

fn join_pid(world: &World) {
    let first = sleeper(world);
    let mut spec = spec(&["sh", "-c", "[ $$ != 1 ] && readlink /proc/self/ns/pid; cat /proc/1/comm"]);
    let pid = spec
        .linux
        .as_mut()
        .unwrap()
        .namespaces
        .iter_mut()
        .find(|namespace| namespace.kind == NamespaceKind::Pid)
        .unwrap();
    pid.path = Some(format!("/proc/{}/ns/pid", first.pid));
    assert_eq!(world.run(&spec).unwrap_err().subject, "/proc", "another user namespace may not show it");
    let plan = ParkPlan { user: UserNamespace::Join(0), network: NetworkNamespace::New, cgroup_procs: Vec::new() };
    let parked = world.park_with(&plan, &[open(format!("/proc/{}/ns/user", first.pid))]);
    let ended = world.start(parked, &world.prepare(&spec)).unwrap().end();
    assert!(ended.out.starts_with(&namespace(first.pid, "pid")), "{ended:?}");
    // The fork after that is at home again.
    assert_eq!(world.script("echo $$"), "1\n");
    first.kill();
}

fn host_pid(world: &World) {
    let mut spec = spec(&["sh", "-c", "readlink /proc/self/ns/pid; readlink /proc/self/ns/user; echo $$"]);
    spec.linux.as_mut().unwrap().namespaces.retain(|namespace| namespace.kind != NamespaceKind::Pid);
    let running = world.start(world.park(), &world.prepare(&spec)).unwrap();
    let pid = running.pid;
    let ended = running.end();
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines[0], namespace(i32::try_from(std::process::id()).unwrap(), "pid"), "{ended:?}");
    assert_ne!(lines[1], namespace(i32::try_from(std::process::id()).unwrap(), "user"));
    assert_eq!(lines[2], pid.to_string());
}

fn host_network(world: &World) {
    let plan = ParkPlan { user: own_user(), network: NetworkNamespace::Host, cgroup_procs: Vec::new() };
    let mut spec = spec(&[
        "sh",
        "-c",
        "readlink /proc/self/ns/net; grep ' /sys ' /proc/self/mounts | tail -1; touch /sys/x; ls /sys/firmware",
    ]);
    spec.mounts.retain(|mount| mount.destination != "/sys/fs/cgroup");
    let ended = world.start(world.park_with(&plan, &[]), &world.prepare(&spec)).unwrap().end();
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines[0], namespace(i32::try_from(std::process::id()).unwrap(), "net"), "{ended:?}");
    assert!(lines[1].contains(" sysfs ro,nosuid,nodev,noexec"), "{ended:?}");
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert!(ended.err.contains("Read-only file system"), "{ended:?}");
}

/// A cgroup of this test, removed with it.
struct Group(PathBuf);

impl Group {
    fn new(hierarchy: &str) -> Option<Self> {
        let path = Path::new("/sys/fs/cgroup").join(hierarchy).join(format!("dhow-test-{}", std::process::id()));
        std::fs::create_dir(&path).is_ok().then_some(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What a test that failed left in it (v2).
        if let Ok(kill) = rustix::fs::open(self.0.join("cgroup.kill"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        {
            let _ = rustix::io::write(&kill, b"1");
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::fs::remove_dir(&self.0).is_err_and(|e| e.kind() == ErrorKind::ResourceBusy)
            && Instant::now() < deadline
        {
            std::thread::yield_now();
        }
    }
}

fn cgroup_v1(world: &World) {
    let Some(group) = Group::new("pids") else { return println!("no v1 hierarchy here") };
    let procs: OwnedFd =
        rustix::fs::open(group.0.join("cgroup.procs"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let plan = ParkPlan { user: own_user(), network: NetworkNamespace::New, cgroup_procs: vec![0] };
    let fds = [procs];
    let parked = world.park_with(&plan, &fds);
    let script = "cat /sys/fs/cgroup/pids/cgroup.procs; grep pids /proc/self/cgroup; mkdir /sys/fs/cgroup/pids/x";
    let ended = world.start(parked, &world.prepare(&spec(&["sh", "-c", script]))).unwrap().end();
    assert!(ended.out.starts_with("1\n") && ended.out.ends_with(":pids:/\n"), "{ended:?}");
    assert!(ended.err.contains("Read-only file system"), "{ended:?}");
    // One that takes a parked one's place is put there as well.
    let mut spec = spec(&["sh", "-c", "cat /proc/self/cgroup"]);
    let linux = spec.linux.as_mut().unwrap();
    linux
        .namespaces
        .retain(|namespace| namespace.kind != NamespaceKind::Pid && namespace.kind != NamespaceKind::Cgroup);
    spec.mounts.retain(|mount| mount.destination != "/sys/fs/cgroup");
    let ended = world.start(world.park_with(&plan, &fds), &world.prepare(&spec)).unwrap().end();
    assert!(ended.out.contains(&format!(":pids:/dhow-test-{}\n", std::process::id())), "{ended:?}");
}

fn cgroup_v2(world: &World) {
    let Some(group) = Group::new("unified").or_else(|| Group::new("")) else { return println!("no v2 hierarchy here") };
    let mut spec = spec(&["sh", "-c", &format!("grep ^0: /proc/self/cgroup{OWN_PROCESSES}")]);
    spec.mounts.retain(|mount| mount.destination != "/sys/fs/cgroup");
    let launch = |spec: &oci::runtime::Spec| {
        let (root, _) = world.root(Some(world.user.as_fd()));
        let user_namespace = Some(world.user.try_clone().unwrap());
        let cgroup_dir = Some(open(&group.0));
        let prepared = runtime::prepare(
            spec,
            runtime::Inputs { root, seccomp: None, user_namespace, cgroup_dir, rules: runtime::Rules::Engine },
        )
        .unwrap();
        world.start(world.park(), &prepared).unwrap()
    };
    assert_eq!(launch(&spec).end().out, "0::/\n1\n");
    spec.linux.as_mut().unwrap().namespaces.retain(|namespace| namespace.kind != NamespaceKind::Cgroup);
    let end = format!("/dhow-test-{}\n1\n", std::process::id());
    let ended = launch(&spec).end();
    assert!(ended.out.ends_with(&end), "{ended:?}");
    // And an exec.
    spec.process.as_mut().unwrap().args = vec!["sleep".into(), "1000".into()];
    let running = launch(&spec);
    let plan = runtime::prepare_process(&process(&["grep", "^0:", "/proc/self/cgroup"]), None).unwrap();
    let (out, theirs) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (err, errs) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let target = runtime::Target { pid: running.pid, pidfd: running.pidfd.as_fd() };
    let stdio = Stdio::Files([theirs.as_fd(), theirs.as_fd(), errs.as_fd()]);
    let starting = runtime::exec(&world.thread, target, &plan, &sys::CgroupEntry::V2(open(&group.0)), stdio).unwrap();
    drop((theirs, errs));
    let ended = finish(starting, out, err).unwrap().end();
    assert!(ended.out.ends_with(&format!("/dhow-test-{}\n", std::process::id())), "{ended:?}");
    running.kill();
}

fn let_go(world: &World) {
    for user in [UserNamespace::Host, own_user()] {
        let plan = ParkPlan { user, network: NetworkNamespace::Host, cgroup_procs: Vec::new() };
        let parked = world.park_with(&plan, &[]);
        let pid = parked.pid();
        drop(parked);
        assert_eq!(reap(pid), 0);
        // Before it is ready, too.
        let parking = runtime::park(&world.thread, &plan, &[]).unwrap();
        let pid = parking.pid();
        drop(parking);
        reap(pid);
    }
}

/// A keeper in a process of its own, which dies after it has parked one process and started one container.
fn orphans(world: &World) {
    let (said, theirs) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let keeper = match sys::fork(&world.thread, &Birth::default()).unwrap() {
        Fork::Parent { pid, .. } => pid,
        Fork::Child(_) => {
            let mut parking = runtime::park(&world.thread, &ParkPlan::default(), &[]).unwrap();
            wait_parked(&mut parking).unwrap();
            let running = sleeper(world);
            rustix::io::write(&theirs, format!("{} {}", parking.pid(), running.pid).as_bytes()).unwrap();
            std::mem::forget(parking);
            sys::process::exit(0);
        }
    };
    drop(theirs);
    let text = crate::world::read_all(said.as_fd());
    let pids: Vec<i32> = text.split(' ').map(|pid| pid.parse().unwrap()).collect();
    let open = |pid: i32| {
        rustix::process::pidfd_open(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::PidfdFlags::empty())
    };
    let container = open(pids[1]).unwrap();
    let parked = open(pids[0]);
    assert_eq!(reap(keeper), 0);
    if let Ok(parked) = parked {
        crate::world::readable(parked.as_fd());
    }
    assert!(rustix::process::pidfd_send_signal(&container, rustix::process::Signal::KILL).is_ok());
    crate::world::readable(container.as_fd());
}

fn nothing_held(world: &World) {
    let (end, start) = pipe_with(PipeFlags::empty()).unwrap();
    let parked = world.park();
    drop(start);
    assert_eq!(crate::world::read_all(end.as_fd()), "");
    let pid = parked.pid();
    let links = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap());
    let held: Vec<_> = links
        .map(|link| link.display().to_string())
        .filter(|link| link.contains("pipe") || link.starts_with("/tmp"))
        .collect();
    let standard: Vec<_> =
        (0..3).map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap().display().to_string()).collect();
    assert!(held.iter().all(|link| standard.contains(link)), "{held:?}");
    drop(parked);
    assert_eq!(reap(pid), 0);
}
