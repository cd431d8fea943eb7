//! Creating, waiting at the gate, being started.

use crate::Test;
use crate::bundle::{Bundle, Pipes, failure};
use crate::world::{bind, process, reap};
use oci::runtime::{Capabilities, Hook, Namespace, NamespaceKind, Spec};
use runtime::Step;
use runtime::create::{Milestone, knock};
use rustix::mount::UnmountFlags;
use std::io::{ErrorKind, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use sys::CgroupEntry;

pub const TESTS: &[Test] = &[
    ("a_program_runs_in_its_own_namespaces", runs),
    ("a_created_container_waits_until_it_is_started", waits),
    ("a_gate_opens_once", opens_once),
    ("a_process_that_dies_at_its_gate_is_not_waited_for", dies),
    ("a_missing_program_is_told_at_create", missing_program),
    ("a_program_that_cannot_be_executed_is_told_at_start", garbage),
    ("a_program_that_only_a_capability_reaches_is_found", shut),
    ("what_waits_at_the_gate_holds_nothing_of_the_host", holds_nothing),
    ("passed_descriptors_are_the_programs", passed),
    ("a_terminal_comes_with_the_milestone", terminal),
    ("namespaces_can_be_given_by_path", by_path),
    ("a_file_that_is_no_namespace_is_refused", no_namespace),
    ("a_user_namespace_has_the_maps_of_the_specification", user_namespace),
    ("a_container_can_share_the_mounts_of_the_caller", host_mounts),
    ("a_root_can_be_entered_without_pivoting", no_pivot),
    ("who_leaves_a_root_that_hooks_saw_stays_inside", no_way_out),
    ("a_bind_of_the_container_itself_is_mapped_by_the_caller", mapped_inside),
];

fn runs(bundle: &Bundle) {
    assert_eq!(bundle.script("echo $$; hostname; id -u"), "1\nbox\n0\n");
    let own = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    let theirs = bundle.script("for n in mnt pid net uts ipc cgroup user; do readlink /proc/self/ns/$n; done");
    let differ: Vec<_> = ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"]
        .into_iter()
        .zip(theirs.lines())
        .filter(|(kind, line)| own(kind) != *line)
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(differ, ["mnt", "pid", "net", "uts", "ipc", "cgroup"]);
}

fn waits(bundle: &Bundle) {
    let (folder, gate) = bundle.gate();
    let made = bundle.create(&Bundle::spec(&["echo", "here"]), &gate).unwrap();
    drop(gate);
    let name = std::fs::read_to_string(format!("/proc/{}/comm", made.begun.pid())).unwrap();
    assert_eq!(name, "dhow:init\n");
    knock(folder.as_fd(), "gate").unwrap().unwrap();
    let ended = made.end();
    assert_eq!((ended.code, ended.out.as_str()), (0, "here\n"));
}

fn opens_once(bundle: &Bundle) {
    let (folder, gate) = bundle.gate();
    let made = bundle.create(&Bundle::spec(&["sleep", "100"]), &gate).unwrap();
    drop(gate);
    knock(folder.as_fd(), "gate").unwrap().unwrap();
    assert_eq!(knock(folder.as_fd(), "gate").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(knock(folder.as_fd(), "nothing").unwrap_err().kind(), ErrorKind::NotFound);
    made.begun.kill();
}

fn dies(bundle: &Bundle) {
    let (folder, gate) = bundle.gate();
    let made = bundle.create(&Bundle::spec(&["true"]), &gate).unwrap();
    sys::pidfd::send_signal(made.begun.pidfd(), 19).unwrap();
    // Stopped, it does not accept: the connection waits in the queue of a listener that goes away.
    let pidfd = made.begun.pidfd().try_clone_to_owned().unwrap();
    let killer = match sys::fork(&bundle.thread, &sys::process::Birth::default()).unwrap() {
        sys::Fork::Child(_) => {
            let _ = rustix::event::poll(&mut [], Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 }));
            let _ = sys::pidfd::send_signal(&pidfd, 9);
            sys::process::exit(0)
        }
        sys::Fork::Parent { pid, .. } => pid,
    };
    drop(gate);
    assert_eq!(knock(folder.as_fd(), "gate").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!((reap(killer), reap(made.begun.pid())), (0, 128 + 9));
}

fn missing_program(bundle: &Bundle) {
    let (_folder, gate) = bundle.gate();
    let failed = failure(bundle.create(&Bundle::spec(&["nothing"]), &gate).err().unwrap());
    assert_eq!((failed.step, failed.subject.as_str()), (Step::LookPath, "nothing"));
    let failed = failure(bundle.run(&Bundle::spec(&["nothing"])).unwrap_err());
    assert_eq!(failed.step, Step::LookPath);
}

fn garbage(bundle: &Bundle) {
    let (folder, gate) = bundle.gate();
    let made = bundle.create(&Bundle::spec(&["/bin/garbage"]), &gate).unwrap();
    let failed = knock(folder.as_fd(), "gate").unwrap().unwrap_err();
    assert_eq!((failed.step, failed.errno, failed.subject.as_str()), (Step::Execve, 8, "/bin/garbage"));
    assert_eq!(made.end().code, 1);
}

fn shut(bundle: &Bundle) {
    let root = bundle.home.path().join("rootfs");
    std::fs::create_dir(root.join("shut")).unwrap();
    std::fs::hard_link(root.join("bin/busybox"), root.join("shut/echo")).unwrap();
    std::fs::set_permissions(root.join("shut"), PermissionsExt::from_mode(0o700)).unwrap();
    let mut spec = Bundle::spec(&["/shut/echo", "in"]);
    let process = spec.process.as_mut().unwrap();
    (process.user.uid, process.capabilities) = (1000, None);
    assert_eq!(failure(bundle.run(&spec).unwrap_err()).errno, rustix::io::Errno::ACCESS.raw_os_error());
    let process = spec.process.as_mut().unwrap();
    let all = vec!["CAP_DAC_OVERRIDE".to_owned()];
    let (bounding, effective, permitted) = (all.clone(), all.clone(), all.clone());
    process.capabilities =
        Some(Capabilities { bounding, effective, permitted, inheritable: all.clone(), ambient: all });
    let ended = bundle.run(&spec);
    std::fs::remove_dir_all(root.join("shut")).unwrap();
    assert_eq!(ended.unwrap().out, "in\n");
}

fn holds_nothing(bundle: &Bundle) {
    let (_folder, gate) = bundle.gate();
    let made = bundle.create(&Bundle::spec(&["true"]), &gate).unwrap();
    let fds = std::fs::read_dir(format!("/proc/{}/fd", made.begun.pid())).unwrap();
    let mut names: Vec<_> = fds
        .map(|fd| {
            let fd = fd.unwrap();
            let number: i32 = fd.file_name().to_str().unwrap().parse().unwrap();
            (number, std::fs::read_link(fd.path()).unwrap().display().to_string())
        })
        .collect();
    names.sort_unstable();
    for (number, name) in &names {
        // Its standard streams once: a copy of a pipe would keep who reads it waiting.
        let known: &[&str] = if *number < 3 { &["/dev/null", "pipe:"] } else { &["socket:", "anon_inode:[signalfd]"] };
        assert!(known.iter().any(|known| name.starts_with(known)), "{names:?}");
    }
    assert_eq!(names.iter().filter(|(_, name)| name.starts_with("socket:")).count(), 2, "{names:?}");
    made.begun.kill();
}

fn passed(bundle: &Bundle) {
    let mut files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    for (file, text) in files.iter_mut().zip(["three", "four"]) {
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
    }
    let (pipes, state) = (Pipes::new(), bundle.state());
    let spec = Bundle::spec(&["sh", "-c", "cat <&3; echo; cat <&4; echo; ls -1 /proc/$$/fd; true"]);
    let mut creation = bundle.creation(&spec, &state, pipes.streams());
    creation.passed = files.iter().map(AsFd::as_fd).collect();
    let mut begun = creation.fork(crate::bundle::zygote(&spec), &CgroupEntry::Inherit).unwrap().furnish().unwrap();
    let (out, err) = pipes.ours();
    assert!(matches!(begun.wait().unwrap(), Milestone::Started { master: None }));
    let ended = crate::bundle::Made { begun, out, err, master: None }.end();
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("three\nfour\n0\n1\n2\n3\n4\n", ""));
}

fn terminal(bundle: &Bundle) {
    let (folder, gate) = bundle.gate();
    let mut spec = Bundle::spec(&["sh", "-c", "tty; stty size; test -c /dev/console && echo console"]);
    let process = spec.process.as_mut().unwrap();
    process.terminal = true;
    process.console_size = Some(oci::runtime::ConsoleSize { height: 10, width: 20 });
    let made = bundle.create(&spec, &gate).unwrap();
    assert!(made.master.is_some());
    knock(folder.as_fd(), "gate").unwrap().unwrap();
    assert_eq!(made.end().out, "/dev/pts/0\r\n10 20\r\nconsole\r\n");
}

fn by_path(bundle: &Bundle) {
    let (folder, gate) = bundle.gate();
    let first = bundle.create(&Bundle::spec(&["sleep", "100"]), &gate).unwrap();
    drop(gate);
    knock(folder.as_fd(), "gate").unwrap().unwrap();
    let mut spec = Bundle::spec(&["sh", "-c", "for n in pid net uts ipc cgroup; do readlink /proc/self/ns/$n; done"]);
    for space in &mut spec.linux.as_mut().unwrap().namespaces {
        let name = match space.kind {
            NamespaceKind::Pid => "pid",
            NamespaceKind::Network => "net",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::Cgroup => "cgroup",
            _ => continue,
        };
        space.path = Some(format!("/proc/{}/ns/{name}", first.begun.pid()));
    }
    spec.hostname = None;
    let ended = bundle.run(&spec).unwrap();
    let theirs = ["pid", "net", "uts", "ipc", "cgroup"].map(|name| {
        std::fs::read_link(format!("/proc/{}/ns/{name}", first.begun.pid())).unwrap().display().to_string()
    });
    assert_eq!(ended.out.lines().collect::<Vec<_>>(), theirs);
    first.begun.kill();
}

fn no_namespace(bundle: &Bundle) {
    let mut spec = Bundle::spec(&["true"]);
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.retain(|space| space.kind != NamespaceKind::Network);
    linux.namespaces.push(Namespace { kind: NamespaceKind::Network, path: Some("/dev/null".into()) });
    let failed = failure(bundle.run(&spec).unwrap_err());
    assert_eq!((failed.step, failed.subject.as_str()), (Step::JoinNamespace, "/dev/null"));
}

pub fn with_user_namespace(args: &[&str]) -> oci::runtime::Spec {
    let mut spec = Bundle::spec(args);
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    (linux.uid_mappings, linux.gid_mappings) = (crate::world::id_map(), crate::world::id_map());
    spec
}

fn user_namespace(bundle: &Bundle) {
    let spec = with_user_namespace(&["sh", "-c", "cat /proc/self/uid_map; id -u; stat -c %u /dev /dev/null"]);
    let ended = bundle.run(&spec).unwrap();
    let words: Vec<_> = ended.out.split_ascii_whitespace().collect();
    assert_eq!(words, ["0", "1879048192", "65536", "0", "0", "0"], "{ended:?}");
}

fn host_mounts(bundle: &Bundle) {
    let mut spec = Bundle::spec(&["sh", "-c", "echo /*; readlink /proc/self/ns/mnt"]);
    spec.mounts.clear();
    spec.process = Some(process(&["/bin/sh", "-c", "echo /bin/garbage; touch /x 2> /dev/null || echo closed"]));
    let linux = spec.linux.as_mut().unwrap();
    (linux.masked_paths, linux.readonly_paths) = (Vec::new(), Vec::new());
    linux.namespaces.retain(|space| space.kind != NamespaceKind::Mount);
    let ended = bundle.run(&spec);
    // The root stays mounted where it was; without it there would be nothing by which to take the rest away.
    rustix::mount::unmount(bundle.home.path().join("rootfs"), UnmountFlags::empty()).unwrap();
    let ended = ended.unwrap();
    assert_eq!((ended.code, ended.out.as_str()), (0, "/bin/garbage\nclosed\n"), "{}", ended.err);
}

fn no_pivot(bundle: &Bundle) {
    assert_eq!(without_pivot(bundle, &Bundle::spec(&["sh", "-c", "ls -d /bin/garbage /etc/shadow"])), "/bin/garbage\n");
}

/// setns(2) takes a process to what lies uppermost at the root of the mount namespace.
fn no_way_out(bundle: &Bundle) {
    let look = ["busybox", "nsenter", "-t", "1", "-m", "/bin/busybox", "ls", "-d", "/bin/garbage", "/etc/shadow"];
    let mut spec = Bundle::spec(&look);
    let sets = spec.process.as_mut().unwrap().capabilities.as_mut().unwrap();
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.extend(["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"].map(str::to_owned));
    }
    spec.hooks.get_or_insert_default().create_container.push(Hook { path: "/bin/true".into(), ..Hook::default() });
    assert_eq!(without_pivot(bundle, &spec), "/bin/garbage\n");
}

/// Root of a user namespace may map no mount of the host's file systems itself.
fn mapped_inside(bundle: &Bundle) {
    let data = bundle.home.path().join("data");
    std::fs::create_dir_all(data.join("sub")).unwrap();
    std::fs::write(data.join("sub/file"), "").unwrap();
    std::os::unix::fs::chown(data.join("sub/file"), Some(7), Some(7)).unwrap();
    let mut spec = with_user_namespace(&["stat", "-c", "%u:%g", "/tmp/sub/file", "/var/file"]);
    let inside = bundle.home.path().join("rootfs/tmp/sub");
    spec.mounts.push(bind(&data, "/tmp", &["bind"]));
    spec.mounts.push(bind(&inside, "/var", &["bind", "idmap"]));
    let ended = bundle.run(&spec).unwrap();
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("65534:65534\n7:7\n", ""));
}

fn without_pivot(bundle: &Bundle, spec: &Spec) -> String {
    let (pipes, state) = (Pipes::new(), bundle.state());
    let mut creation = bundle.creation(spec, &state, pipes.streams());
    creation.way.no_pivot = true;
    let mut begun = creation.fork(crate::bundle::zygote(spec), &CgroupEntry::Inherit).unwrap().furnish().unwrap();
    let (out, err) = pipes.ours();
    begun.wait().unwrap();
    crate::bundle::Made { begun, out, err, master: None }.end().out
}
