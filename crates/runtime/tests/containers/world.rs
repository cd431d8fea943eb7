//! A small world to start containers in: a busybox tree, an overlay over it, and a keeper of a few lines.
#![allow(dead_code)]

use oci::runtime::{Capabilities, IdMapping, Linux, Mount, Namespace, NamespaceKind, Process, Root, Spec};
use runtime::{
    Failure, Inputs, NetworkNamespace, Outcome, ParkPlan, Parking, Prepared, Starting, Stdio, UserNamespace,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use sys::SingleThread;

pub const BASE: u32 = 0x7000_0000;
const APPLETS: [&str; 34] = [
    "sh", "true", "false", "cat", "ls", "id", "mount", "umount", "echo", "stat", "readlink", "touch", "mkdir",
    "hostname", "sleep", "tty", "stty", "grep", "test", "env", "pwd", "rm", "ps", "kill", "dd", "mknod", "chmod",
    "sysctl", "head", "wc", "ln", "ip", "find", "printenv",
];
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Everything a test needs; removed with it.
pub struct World {
    pub thread: SingleThread,
    pub home: tempfile::TempDir,
    pub user: OwnedFd,
    uppers: std::cell::Cell<u32>,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A container that runs.
pub struct Running {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub out: OwnedFd,
    pub err: OwnedFd,
    pub master: Option<OwnedFd>,
}

pub fn id_map() -> Vec<IdMapping> {
    vec![IdMapping { container_id: 0, host_id: BASE, size: 65536 }]
}

pub fn own_user() -> UserNamespace {
    UserNamespace::New { uid: id_map(), gid: id_map() }
}

impl World {
    pub fn new() -> Self {
        let thread = SingleThread::prove().expect("one thread");
        let home = tempfile::Builder::new().prefix("dhow-runtime-").tempdir().expect("a folder");
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
        busybox_tree(&home.path().join("tree"));
        let plan = ParkPlan { user: own_user(), network: NetworkNamespace::Host, cgroup_procs: Vec::new() };
        let mut parking = runtime::park(&thread, &plan, &[]).expect("park");
        let user = wait_parked(&mut parking).expect("parked").user.expect("a user namespace");
        let pid = parking.pid();
        drop(parking);
        assert_eq!(reap(pid), 0);
        Self { thread, home, user, uppers: 0.into() }
    }

    pub fn tree(&self) -> PathBuf {
        self.home.path().join("tree")
    }

    /// A detached overlay of the tree, id-mapped as the engine does it; and its upper folder.
    pub fn root(&self, user: Option<BorrowedFd<'_>>) -> (OwnedFd, PathBuf) {
        self.root_of(&self.tree(), user)
    }

    pub fn root_of(&self, tree: &Path, user: Option<BorrowedFd<'_>>) -> (OwnedFd, PathBuf) {
        let number = self.uppers.replace(self.uppers.get() + 1);
        let (upper, work) =
            (self.home.path().join(format!("upper{number}")), self.home.path().join(format!("work{number}")));
        for folder in [&upper, &work] {
            std::fs::create_dir(folder).expect("mkdir");
            std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("chmod");
        }
        if user.is_some() {
            chown(&upper, Some(BASE), Some(BASE)).expect("chown");
        }
        let lower =
            rustix::mount::open_tree(CWD, tree, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
                .expect("open_tree");
        if let Some(user) = user {
            sys::idmap::set_idmap(lower.as_fd(), user).expect("idmap");
        }
        let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).expect("fsopen");
        rustix::mount::fsconfig_set_fd(&context, "lowerdir+", &lower).expect("lowerdir");
        rustix::mount::fsconfig_set_string(&context, "upperdir", &upper).expect("upperdir");
        rustix::mount::fsconfig_set_string(&context, "workdir", &work).expect("workdir");
        rustix::mount::fsconfig_create(&context).expect("create");
        let root =
            rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).expect("fsmount");
        (root, upper)
    }

    pub fn prepare(&self, spec: &Spec) -> Prepared {
        let (root, _) = self.root(Some(self.user.as_fd()));
        self.prepare_on(spec, root)
    }

    pub fn prepare_on(&self, spec: &Spec, root: OwnedFd) -> Prepared {
        let user = Some(self.user.try_clone().expect("dup"));
        runtime::prepare(
            spec,
            Inputs { root, seccomp: None, user_namespace: user, cgroup_dir: None, rules: runtime::Rules::Engine },
        )
        .expect("prepare")
    }

    pub fn park(&self) -> Parking {
        self.park_with(&ParkPlan { user: own_user(), network: NetworkNamespace::New, cgroup_procs: Vec::new() }, &[])
    }

    pub fn park_with(&self, plan: &ParkPlan, fds: &[OwnedFd]) -> Parking {
        let mut parking = runtime::park(&self.thread, plan, fds).expect("park");
        wait_parked(&mut parking).expect("parked");
        parking
    }

    pub fn start(&self, parked: Parking, prepared: &Prepared) -> Result<Running, Failure> {
        let fds: Vec<_> = prepared.fds.iter().map(AsFd::as_fd).collect();
        let (out, out_end) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        let (err, err_end) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("null");
        let stdio = match prepared.plan.process.terminal {
            true => Stdio::Terminal,
            false => Stdio::Files([null.as_fd(), out_end.as_fd(), err_end.as_fd()]),
        };
        let pid = parked.pid();
        let starting = runtime::launch(&self.thread, parked, &prepared.plan, &fds, stdio)?;
        drop((out_end, err_end));
        if starting.pid() != pid {
            assert_eq!(reap(pid), 0);
        }
        finish(starting, out, err)
    }

    pub fn exec(&self, target: &Running, process: &Process) -> Result<Running, Failure> {
        let plan = runtime::prepare_process(process, None).expect("prepare");
        let (out, out_end) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        let (err, err_end) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("null");
        let stdio = match plan.terminal {
            true => Stdio::Terminal,
            false => Stdio::Files([null.as_fd(), out_end.as_fd(), err_end.as_fd()]),
        };
        let target = runtime::Target { pid: target.pid, pidfd: target.pidfd.as_fd() };
        let starting = runtime::exec(&self.thread, target, &plan, &sys::CgroupEntry::Inherit, stdio)?;
        drop((out_end, err_end));
        finish(starting, out, err)
    }

    /// Runs a container to its end.
    pub fn run(&self, spec: &Spec) -> Result<Ended, Failure> {
        self.start(self.park(), &self.prepare(spec)).map(Running::end)
    }

    pub fn run_on(&self, spec: &Spec, root: OwnedFd) -> Result<Ended, Failure> {
        self.start(self.park(), &self.prepare_on(spec, root)).map(Running::end)
    }

    /// Runs a shell script in a standard container; what it said.
    pub fn script(&self, script: &str) -> String {
        let ended = self.run(&spec(&["sh", "-c", script])).expect("start");
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
        ended.out
    }
}

impl Running {
    pub fn end(self) -> Ended {
        let out = match &self.master {
            Some(master) => read_all(master.as_fd()),
            None => read_all(self.out.as_fd()),
        };
        let err = read_all(self.err.as_fd());
        Ended { code: reap(self.pid), out, err }
    }

    pub fn kill(self) {
        rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL).expect("kill");
        assert_eq!(reap(self.pid), 128 + 9);
    }
}

pub fn wait_parked(parking: &mut Parking) -> Result<runtime::ParkedNamespaces, Failure> {
    loop {
        if let Some(namespaces) = parking.on_readable()? {
            return Ok(namespaces);
        }
        readable(parking.socket());
    }
}

pub fn finish(mut starting: Starting, out: OwnedFd, err: OwnedFd) -> Result<Running, Failure> {
    loop {
        match starting.on_readable() {
            None => readable(starting.socket()),
            Some(Outcome::Started { master }) => {
                let pid = starting.pid();
                return Ok(Running { pid, pidfd: starting.into_pidfd(), out, err, master });
            }
            Some(Outcome::Failed(failure)) => {
                assert_eq!(reap(starting.pid()), 1);
                return Err(failure);
            }
        }
    }
}

pub fn readable(fd: BorrowedFd<'_>) {
    let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&patience))).expect("poll");
    assert_ne!(ready, 0, "nothing happened");
}

pub fn reap(pid: i32) -> i32 {
    let pid = Pid::from_raw(pid).expect("pid");
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("a child not yet reaped");
    readable(pidfd.as_fd());
    let status =
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).expect("waitid").expect("an end");
    status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0))
}

pub fn read_all(fd: BorrowedFd<'_>) -> String {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        readable(fd);
        match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut part)) {
            // A terminal whose last user has gone says EIO.
            Ok(0) | Err(rustix::io::Errno::IO) => return String::from_utf8_lossy(&all).into_owned(),
            Ok(read) => all.extend(&part[..read]),
            Err(e) => panic!("read: {e}"),
        }
    }
}

pub fn busybox_tree(tree: &Path) {
    for folder in ["bin", "etc", "tmp", "root", "usr/bin", "var"] {
        std::fs::create_dir_all(tree.join(folder)).expect("mkdir");
    }
    std::fs::copy("/usr/bin/busybox", tree.join("bin/busybox")).expect("a static busybox");
    for applet in APPLETS {
        symlink("busybox", tree.join("bin").join(applet)).expect("symlink");
    }
    std::fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
        .expect("write");
    std::fs::write(tree.join("bin/plain"), "not a program").expect("write");
    std::fs::write(tree.join("bin/garbage"), [0x7f, 1, 2, 3]).expect("write");
    std::fs::set_permissions(tree.join("bin/garbage"), PermissionsExt::from_mode(0o755)).expect("chmod");
    std::fs::set_permissions(tree.join("tmp"), PermissionsExt::from_mode(0o1777)).expect("chmod");
}

pub fn process(args: &[&str]) -> Process {
    let all: Vec<String> = DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
    Process {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: all.clone(),
            effective: all.clone(),
            permitted: all,
            ..Capabilities::default()
        }),
        ..Process::default()
    }
}

pub fn mount(destination: &str, kind: &str, options: &[&str]) -> Mount {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(kind.into()),
        options,
        ..Mount::default()
    }
}

pub fn bind(source: &Path, destination: &str, options: &[&str]) -> Mount {
    Mount { source: Some(source.display().to_string()), ..mount(destination, "bind", options) }
}

/// The specification that Docker makes.
pub fn spec(args: &[&str]) -> Spec {
    let mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
    ];
    let namespaces =
        [NamespaceKind::Pid, NamespaceKind::Mount, NamespaceKind::Ipc, NamespaceKind::Uts, NamespaceKind::Cgroup]
            .map(|kind| Namespace { kind, path: None });
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let linux = Linux {
        namespaces: namespaces.to_vec(),
        uid_mappings: id_map(),
        gid_mappings: id_map(),
        masked_paths: texts(&[
            "/proc/asound",
            "/proc/acpi",
            "/proc/interrupts",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/proc/scsi",
            "/sys/firmware",
            "/sys/devices/virtual/powercap",
        ]),
        readonly_paths: texts(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
        ..Linux::default()
    };
    Spec {
        process: Some(process(args)),
        root: Some(Root { path: "rootfs".into(), readonly: false }),
        hostname: Some("box".into()),
        mounts,
        linux: Some(linux),
        ..Spec::default()
    }
}
