//! Creating, waiting at the gate, being started.

use crate::Test;
use crate::bundle::{Bundle, Pipes, failure};
use crate::world::{process, reap};
use oci::runtime::{Namespace, NamespaceKind};
use runtime::Step;
use runtime::create::{Milestone, knock};
use std::io::{ErrorKind, Seek, Write};
use std::os::fd::AsFd;
use sys::CgroupEntry;

pub const TESTS: &[Test] = &[
    ("a_program_runs_in_its_own_namespaces", runs),
    ("a_created_container_waits_until_it_is_started", waits),
    ("a_gate_opens_once", opens_once),
    ("a_process_that_dies_at_its_gate_is_not_waited_for", dies),
    ("a_missing_program_is_told_at_create", missing_program),
    ("a_program_that_cannot_be_executed_is_told_at_start", garbage),
    ("what_waits_at_the_gate_holds_nothing_of_the_host", holds_nothing),
    ("passed_descriptors_are_the_programs", passed),
    ("a_terminal_comes_with_the_milestone", terminal),
    ("namespaces_can_be_given_by_path", by_path),
    ("a_file_that_is_no_namespace_is_refused", no_namespace),
    ("a_user_namespace_has_the_maps_of_the_specification", user_namespace),
    ("a_container_can_share_the_mounts_of_the_caller", host_mounts),
    ("a_root_can_be_entered_without_pivoting", no_pivot),
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

fn holds_nothing(bundle: &Bundle) {
    let (_folder, gate) = bundle.gate();
    let made = bundle.create(&Bundle::spec(&["true"]), &gate).unwrap();
    let fds = std::fs::read_dir(format!("/proc/{}/fd", made.begun.pid())).unwrap();
    let mut names: Vec<_> =
        fds.map(|fd| std::fs::read_link(fd.unwrap().path()).unwrap().display().to_string()).collect();
    names.sort_unstable();
    for name in &names {
        assert!(["/dev/null", "pipe:", "socket:"].iter().any(|known| name.starts_with(known)), "{names:?}");
    }
    assert_eq!(names.iter().filter(|name| name.starts_with("socket:")).count(), 2, "{names:?}");
    made.begun.kill();
}

fn passed(bundle: &Bundle) {
    let mut files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    for (file, text) in files.iter_mut().zip(["three", "four"]) {
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
    }
    let (pipes, state) = (Pipes::new(), bundle.state());
    let spec = Bundle::spec(&["sh", "-c", "cat <&3; echo; cat <&4; echo; cd /proc/$$/fd; ls | wc -l"]);
    let mut creation = bundle.creation(&spec, &state, pipes.streams());
    creation.passed = files.iter().map(AsFd::as_fd).collect();
    let mut begun = creation.fork(&bundle.thread, &CgroupEntry::Inherit).unwrap().furnish().unwrap();
    let (out, err) = pipes.ours();
    assert!(matches!(begun.wait().unwrap(), Milestone::Started { master: None }));
    let ended = crate::bundle::Made { begun, out, err, master: None }.end();
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("three\nfour\n5\n", ""));
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
    spec.process = Some(process(&["/bin/sh", "-c", "echo /bin/busybox"]));
    let linux = spec.linux.as_mut().unwrap();
    (linux.masked_paths, linux.readonly_paths) = (Vec::new(), Vec::new());
    linux.namespaces.retain(|space| space.kind != NamespaceKind::Mount);
    spec.root.as_mut().unwrap().readonly = false;
    let ended = bundle.run(&spec).unwrap();
    assert_eq!((ended.code, ended.out.as_str()), (0, "/bin/busybox\n"), "{}", ended.err);
}

fn no_pivot(bundle: &Bundle) {
    let (pipes, state) = (Pipes::new(), bundle.state());
    let spec = Bundle::spec(&["sh", "-c", "ls -d /bin/garbage /etc/shadow"]);
    let mut creation = bundle.creation(&spec, &state, pipes.streams());
    creation.way.no_pivot = true;
    let mut begun = creation.fork(&bundle.thread, &CgroupEntry::Inherit).unwrap().furnish().unwrap();
    let (out, err) = pipes.ours();
    begun.wait().unwrap();
    let ended = crate::bundle::Made { begun, out, err, master: None }.end();
    assert_eq!(ended.out, "/bin/garbage\n");
}
