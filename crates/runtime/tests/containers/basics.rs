//! What a program sees of its container.

use crate::Test;
use crate::world::{World, bind, mount, process, read_all, readable, spec};
use runtime::{Inputs, NetworkNamespace, ParkPlan, UserNamespace};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;

pub const TESTS: &[Test] = &[
    ("root has Docker's capabilities and none inheritable", root_capabilities),
    ("a user has no capabilities and its groups", user_capabilities),
    ("only the standard streams are open", descriptors),
    ("the mounts are those asked for and no others", mounts),
    ("a read-only tmpfs can have mounts in it", readonly_tmpfs),
    ("paths are masked and read-only", masks),
    ("devices work and have their modes", devices),
    ("the host name and the umask are set", names),
    ("bind mounts keep the owners on disk", bind_owners),
    ("read-only binds are read-only", bind_readonly),
    ("a read-only root is read-only", readonly_root),
    ("the working directory is made", working_directory),
    ("kernel parameters are set", parameters),
    ("a filter without no_new_privs is in force", filter),
    ("a terminal is the controlling one", terminal),
    ("plans of a megabyte and hundreds of mounts arrive", large_plans),
    ("the host's user namespace can be kept", host_user),
    ("standard streams can be opened again", streams),
    ("a tiny init passes signals on and reaps", tiny_init),
    ("privileged containers start", privileged),
];

fn root_capabilities(world: &World) {
    let out = world
        .run(&spec(&["grep", "-E", "^(Cap|NoNewPrivs|Seccomp:|Groups|Uid|Gid|SigIgn|SigBlk)", "/proc/self/status"]))
        .unwrap()
        .out;
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
    ] {
        assert!(out.contains(line), "{out}");
    }
    for line in ["NoNewPrivs:\t0", "Seccomp:\t0", "Uid:\t0\t0\t0\t0", "Gid:\t0\t0\t0\t0", "Groups:\t \n"] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert!(out.contains("SigBlk:\t0000000000000000") && out.contains("SigIgn:\t0000000000000000"), "{out}");
}

fn user_capabilities(world: &World) {
    let mut spec = spec(&["grep", "-E", "^(Cap|NoNewPrivs|Groups|Uid|Gid)", "/proc/self/status"]);
    let process = spec.process.as_mut().unwrap();
    (process.user.uid, process.user.gid, process.user.additional_gids) = (1000, 1000, vec![10, 20]);
    process.no_new_privileges = true;
    let out = world.run(&spec).unwrap().out;
    for line in
        ["CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"]
    {
        assert!(out.contains(line), "{out}");
    }
    for line in ["Uid:\t1000\t1000\t1000\t1000", "Gid:\t1000\t1000\t1000\t1000", "Groups:\t10 20 "] {
        assert!(out.contains(line), "{out}");
    }
}

fn descriptors(world: &World) {
    assert_eq!(world.script("ls /proc/1/fd; true"), "0\n1\n2\n");
}

fn mounts(world: &World) {
    let out = world.script("cat /proc/self/mounts");
    let line =
        |start: &str| out.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start}: {out}"));
    let has = |start: &str, options: &[&str]| {
        let line = line(start);
        let fields: Vec<_> = line.split(' ').nth(3).unwrap_or_default().split(',').collect();
        assert!(options.iter().all(|option| fields.contains(option)), "{line}");
    };
    has("none / overlay", &["rw"]);
    has("none /proc proc", &["rw", "nosuid", "nodev", "noexec"]);
    has("none /dev tmpfs", &["rw", "nosuid", "size=65536k", "mode=755"]);
    has("none /dev/pts devpts", &["rw", "nosuid", "noexec", "mode=620", "ptmxmode=666"]);
    has("none /sys sysfs", &["ro", "nosuid", "nodev", "noexec"]);
    has("none /dev/mqueue mqueue", &["nosuid", "nodev", "noexec"]);
    has("none /dev/shm tmpfs", &["nosuid", "nodev", "noexec", "size=65536k"]);
    has("none /proc/sys proc", &["ro", "nosuid", "nodev", "noexec"]);
    let mut cgroups = out.lines().filter(|line| line.contains(" /sys/fs/cgroup"));
    assert!(cgroups.all(|line| line.contains(" ro,nosuid,nodev,noexec,")), "{out}");
    assert!(!out.contains("/dev/vda"), "{out}");
    let points: Vec<_> = out.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert!(
        points
            .iter()
            .all(|point| ["/proc", "/dev", "/sys"].iter().any(|known| point.starts_with(known)) || *point == "/"),
        "{out}"
    );
}

/// A read-only tmpfs gets the mount points in it first.
fn readonly_tmpfs(world: &World) {
    let mut spec = spec(&["sh", "-c", "touch /empty/x; touch /empty/below/y && echo ok"]);
    spec.mounts.push(mount("/empty", "tmpfs", &["ro", "nosuid"]));
    spec.mounts.push(mount("/empty/below", "tmpfs", &["nosuid"]));
    let ended = world.run(&spec).unwrap();
    assert_eq!(ended.out, "ok\n", "{ended:?}");
    assert!(ended.err.contains("Read-only file system"), "{ended:?}");
}

fn masks(world: &World) {
    let script = "cat /proc/keys /proc/timer_list /proc/interrupts | wc -c; ls -A /sys/firmware /proc/acpi | grep -v : | grep -c .; \
        for f in /proc/sys/kernel/domainname /proc/bus/x /proc/irq/x; do (echo x > $f) 2>/dev/null && echo wrote $f; done; \
        touch /sys/firmware/x 2>/dev/null && echo touched; stat -c '%F %t:%T' /proc/keys";
    assert_eq!(world.script(script), "0\n0\ncharacter special file 1:3\n");
}

fn devices(world: &World) {
    let script = "echo lost > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; \
        stat -c '%n %F %t:%T %a %u:%g' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; \
        stat -c '%n %F %a %u' /dev /dev/shm /dev/pts /dev/mqueue; for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; ls /dev | wc -l";
    let out = world.script(script);
    let expected = "4\n4\n/dev/null character special file 1:3 666 0:0\n/dev/zero character special file 1:5 666 0:0\n\
        /dev/full character special file 1:7 666 0:0\n/dev/random character special file 1:8 666 0:0\n\
        /dev/urandom character special file 1:9 666 0:0\n/dev/tty character special file 5:0 666 0:0\n\
        /dev directory 755 0\n/dev/shm directory 1777 0\n/dev/pts directory 755 0\n/dev/mqueue directory 1777 0\n\
        /proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n15\n";
    assert_eq!(out, expected);
}

fn names(world: &World) {
    assert_eq!(world.script("hostname; umask; pwd"), "box\n0022\n/\n");
}

/// A file of the host's root and one of user 1000, and what the container makes of them.
fn bind_owners(world: &World) {
    let volume = world.home.path().join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    for (name, owner) in [("root", 0), ("user", 1000)] {
        std::fs::write(volume.join(name), "").unwrap();
        chown(volume.join(name), Some(owner), Some(owner)).unwrap();
    }
    let mut spec = spec(&["sh", "-c", "stat -c '%n %u:%g' /data/root /data/user; touch /data/made"]);
    spec.mounts.push(bind(&volume, "/data", &["rbind"]));
    let ended = world.run(&spec).unwrap();
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("/data/root 0:0\n/data/user 1000:1000\n", ""));
    assert_eq!(std::fs::metadata(volume.join("made")).unwrap().uid(), 0);
    std::fs::remove_dir_all(volume).unwrap();
}

fn bind_readonly(world: &World) {
    let volume = world.home.path().join("fixed");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("file"), "here").unwrap();
    let mut spec = spec(&["sh", "-c", "cat /data/file /one; touch /data/x; echo x > /one; touch /more/x"]);
    spec.mounts.push(bind(&volume, "/data", &["rbind", "ro", "rprivate"]));
    spec.mounts.push(bind(&volume.join("file"), "/one", &["bind", "ro"]));
    spec.mounts.push(bind(&volume, "/more", &["rbind", "rro"]));
    let ended = world.run(&spec).unwrap();
    assert_eq!(ended.out, "herehere");
    assert_eq!(ended.err.matches("Read-only file system").count(), 3, "{}", ended.err);
    std::fs::remove_dir_all(volume).unwrap();
}

fn readonly_root(world: &World) {
    let mut spec = spec(&["sh", "-c", "touch /x; touch /dev/shm/y && echo ok"]);
    spec.root.as_mut().unwrap().readonly = true;
    let ended = world.run(&spec).unwrap();
    assert!(ended.err.contains("Read-only file system"), "{ended:?}");
    assert_eq!(ended.out, "ok\n");
}

fn working_directory(world: &World) {
    let mut spec = spec(&["sh", "-c", "pwd; stat -c '%u %a' ."]);
    spec.process.as_mut().unwrap().cwd = "/srv/a/b".into();
    assert_eq!(world.run(&spec).unwrap().out, "/srv/a/b\n0 755\n");
    spec.process.as_mut().unwrap().user.uid = 1000;
    assert_eq!(world.run(&spec).unwrap().out, "/srv/a/b\n0 755\n");
}

fn parameters(world: &World) {
    let mut spec = spec(&["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]);
    spec.linux.as_mut().unwrap().sysctl.insert("net.ipv4.ip_unprivileged_port_start".into(), "77".into());
    assert_eq!(world.run(&spec).unwrap().out, "77\n");
}

/// The number of mkdir(2) fails with EPERM, all else is allowed.
fn mkdir_filter() -> Vec<u8> {
    let instruction = |code: u16, jt: u8, jf: u8, k: u32| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([jt, jf]);
        bytes.extend(k.to_ne_bytes());
        bytes
    };
    [
        instruction(0x20, 0, 0, 0),
        instruction(0x15, 0, 1, 83),
        instruction(0x06, 0, 0, 0x0005_0001),
        instruction(0x06, 0, 0, 0x7fff_0000),
    ]
    .concat()
}

fn filter(world: &World) {
    for no_new_privileges in [false, true] {
        let mut spec =
            spec(&["sh", "-c", "mkdir /tmp/x; touch /tmp/y && grep -E '^(Seccomp:|CapEff)' /proc/self/status"]);
        spec.process.as_mut().unwrap().no_new_privileges = no_new_privileges;
        let (root, _) = world.root(Some(world.user.as_fd()));
        let user_namespace = Some(world.user.try_clone().unwrap());
        let inputs = Inputs {
            root,
            seccomp: Some(mkdir_filter()),
            user_namespace,
            cgroup_dir: None,
            rules: runtime::Rules::Engine,
        };
        let prepared = runtime::prepare(&spec, inputs).unwrap();
        let ended = world.start(world.park(), &prepared).unwrap().end();
        assert_eq!(ended.out, "CapEff:\t00000000a80425fb\nSeccomp:\t2\n", "{ended:?}");
        assert!(ended.err.contains("Operation not permitted"), "{ended:?}");
    }
}

fn terminal(world: &World) {
    let mut spec = spec(&[
        "sh",
        "-c",
        "tty; stty size; stat -c '%u %F' /dev/pts/0; stat -c %t:%T /dev/console; echo to > /dev/console; echo me > /dev/tty",
    ]);
    let process = spec.process.as_mut().unwrap();
    process.terminal = true;
    process.console_size = Some(oci::runtime::ConsoleSize { height: 33, width: 101 });
    process.user.uid = 1000;
    let ended = world.start(world.park(), &world.prepare(&spec)).unwrap().end();
    assert_eq!(ended.out, "/dev/pts/0\r\n33 101\r\n1000 character special file\r\n88:0\r\nto\r\nme\r\n");
    assert_eq!(ended.code, 0);
}

fn large_plans(world: &World) {
    let file = world.home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut spec = spec(&["sh", "-c", "ls /many | wc -l; env | wc -c"]);
    spec.process.as_mut().unwrap().env.extend((0..1000).map(|number| format!("V{number}={}", "x".repeat(1000))));
    spec.mounts.extend((0..300).map(|number| bind(&file, &format!("/many/{number}"), &["bind", "ro"])));
    let ended = world.run(&spec).unwrap();
    let mut numbers = ended.out.lines().map(|line| line.trim().parse::<usize>().unwrap());
    assert_eq!(numbers.next(), Some(300), "{ended:?}");
    assert!(numbers.next().unwrap() > 1_000_000);
}

fn host_user(world: &World) {
    let mut spec = spec(&[
        "sh",
        "-c",
        "cat /proc/self/uid_map; stat -c %u /dev/null /bin/sh /data; mknod /tmp/n c 1 3 && echo made",
    ]);
    let volume = world.home.path().join("hosts");
    std::fs::create_dir_all(&volume).unwrap();
    spec.mounts.push(bind(&volume, "/data", &["rbind"]));
    let (root, _) = world.root(None);
    let inputs = Inputs { root, seccomp: None, user_namespace: None, cgroup_dir: None, rules: runtime::Rules::Engine };
    let prepared = runtime::prepare(&spec, inputs).unwrap();
    let plan = ParkPlan { user: UserNamespace::Host, network: NetworkNamespace::New, cgroup_procs: Vec::new() };
    let ended = world.start(world.park_with(&plan, &[]), &prepared).unwrap().end();
    let lines: Vec<_> =
        ended.out.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines, ["0 0 4294967295", "0", "0", "0", "made"], "{ended:?}");
}

fn streams(world: &World) {
    let mut spec = spec(&["sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr"]);
    for uid in [0, 1000] {
        spec.process.as_mut().unwrap().user.uid = uid;
        let ended = world.run(&spec).unwrap();
        assert_eq!((ended.out.as_str(), ended.err.as_str()), ("out\n", "err\n"));
    }
}

fn tiny_init(world: &World) {
    let script = "trap 'echo got; exit 7' TERM; (sleep 0.01 &); echo ready; grep SigBlk /proc/self/status; while :; do sleep 0.01; done";
    let mut spec = spec(&["/init", "--tiny-init", "--", "sh", "-c", script]);
    let own: PathBuf = std::env::current_exe().unwrap();
    spec.mounts.push(bind(&own, "/init", &["bind", "ro"]));
    let running = world.start(world.park(), &world.prepare(&spec)).unwrap();
    let mut said = String::new();
    while !said.contains("SigBlk") || !said.ends_with('\n') {
        said.push_str(&some(&running.out));
    }
    assert_eq!(said, "ready\nSigBlk:\t0000000000000000\n");
    rustix::process::pidfd_send_signal(&running.pidfd, rustix::process::Signal::TERM).unwrap();
    let ended = running.end();
    assert_eq!((ended.out.as_str(), ended.code), ("got\n", 7));
    let gone = |args: &[&str]| {
        spec.process = Some(process(args));
        world.run(&spec).unwrap().code
    };
    assert_eq!(
        [
            &["/init", "--tiny-init", "nothing"][..],
            &["/init", "--tiny-init", "/etc/passwd"],
            &["/init", "--tiny-init", "sh", "-c", "kill -9 $$"]
        ]
        .map(gone),
        [127, 126, 137]
    );
}

fn some(fd: &OwnedFd) -> String {
    readable(fd.as_fd());
    let mut part = [0; 256];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut part)).unwrap();
    assert_ne!(read, 0, "the end: {}", read_all(fd.as_fd()));
    String::from_utf8_lossy(&part[..read]).into_owned()
}

/// All capabilities there are, and more than this machine can give.
fn privileged(world: &World) {
    let mut spec = spec(&[
        "sh",
        "-c",
        "mount -t tmpfs none /tmp && echo mounted; (echo 1 > /proc/sys/net/ipv4/ip_forward) && echo written",
    ]);
    let names: Vec<String> =
        ["CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_NET_ADMIN", "CAP_DAC_OVERRIDE"].map(str::to_owned).to_vec();
    let capabilities = spec.process.as_mut().unwrap().capabilities.as_mut().unwrap();
    (capabilities.bounding, capabilities.effective, capabilities.permitted) = (names.clone(), names.clone(), names);
    let linux = spec.linux.as_mut().unwrap();
    (linux.masked_paths, linux.readonly_paths) = (Vec::new(), Vec::new());
    spec.mounts.retain(|mount| mount.destination != "/sys");
    spec.mounts.insert(3, mount("/sys", "sysfs", &["nosuid", "noexec", "nodev"]));
    let (root, _) = world.root(None);
    let inputs = Inputs { root, seccomp: None, user_namespace: None, cgroup_dir: None, rules: runtime::Rules::Engine };
    let prepared = runtime::prepare(&spec, inputs).unwrap();
    let plan = ParkPlan { user: UserNamespace::Host, network: NetworkNamespace::New, cgroup_procs: Vec::new() };
    let ended = world.start(world.park_with(&plan, &[]), &prepared).unwrap().end();
    assert_eq!(ended.out, "mounted\nwritten\n", "{ended:?}");
}
