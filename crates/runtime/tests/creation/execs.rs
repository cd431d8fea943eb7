//! Joining a container that runs.

use crate::Test;
use crate::bundle::{Bundle, Made, failure};
use crate::gates::with_user_namespace;
use crate::world::process;
use oci::runtime::{CpuAffinity, Namespace, NamespaceKind, Spec, TimeOffset};
use runtime::Step;
use runtime::create::{Way, knock};
use std::os::fd::AsFd;

pub const TESTS: &[Test] = &[
    ("an_exec_is_in_all_namespaces", namespaces),
    ("an_exec_is_in_the_user_namespace", user),
    ("an_exec_is_in_the_time_namespace", time),
    ("an_exec_waits_outside_to_be_moved_into_its_group", moved),
    ("an_exec_has_a_terminal_of_the_container", terminal),
    ("what_cannot_be_executed_is_told", missing),
    ("cpus_are_those_of_the_container_or_those_asked_for", cpus),
];

fn running(bundle: &Bundle, spec: &Spec) -> Made {
    let (folder, gate) = bundle.gate();
    let made = bundle.create(spec, &gate).unwrap();
    drop(gate);
    knock(folder.as_fd(), "gate").unwrap().unwrap();
    made
}

fn namespaces(bundle: &Bundle) {
    let spec = Bundle::spec(&["sleep", "100"]);
    let made = running(bundle, &spec);
    let names = ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"];
    let script = format!("for n in {}; do readlink /proc/self/ns/$n; done; hostname", names.join(" "));
    let ended = bundle.exec(&made.begun, &process(&["sh", "-c", &script]), &spec, Way::default()).unwrap();
    let mut theirs: Vec<_> = names
        .iter()
        .map(|name| std::fs::read_link(format!("/proc/{}/ns/{name}", made.begun.pid())).unwrap().display().to_string())
        .collect();
    theirs.push("box".to_owned());
    assert_eq!(ended.out.lines().collect::<Vec<_>>(), theirs, "{}", ended.err);
    made.begun.kill();
}

fn user(bundle: &Bundle) {
    let spec = with_user_namespace(&["sleep", "100"]);
    let made = running(bundle, &spec);
    let mut process = process(&["sh", "-c", "id -u; id -g; cat /proc/self/uid_map"]);
    (process.user.uid, process.user.gid) = (1000, 1001);
    let ended = bundle.exec(&made.begun, &process, &spec, Way::default()).unwrap();
    let words: Vec<_> = ended.out.split_ascii_whitespace().collect();
    assert_eq!(words, ["1000", "1001", "0", "1879048192", "65536"], "{}", ended.err);
    made.begun.kill();
}

fn time(bundle: &Bundle) {
    let mut spec = Bundle::spec(&["sleep", "100"]);
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
    linux.time_offsets.insert("boottime".into(), TimeOffset { secs: 1_000_000, nanosecs: 0 });
    let made = running(bundle, &spec);
    let command = process(&["cat", "/proc/uptime"]);
    let ended = bundle.exec(&made.begun, &command, &spec, Way::default()).unwrap();
    let seconds = |text: &str| text.split(['.', ' ']).next().unwrap().parse::<u64>().unwrap();
    let here = seconds(&std::fs::read_to_string("/proc/uptime").unwrap());
    assert!(seconds(&ended.out) >= here + 999_000, "{ended:?}");
    made.begun.kill();
}

fn moved(bundle: &Bundle) {
    let spec = Bundle::spec(&["sleep", "100"]);
    let made = running(bundle, &spec);
    let way = Way { awaits_group: true, ..Way::default() };
    let ended = bundle.exec(&made.begun, &process(&["echo", "in"]), &spec, way).unwrap();
    assert_eq!(ended.out, "in\n", "{}", ended.err);
    made.begun.kill();
}

fn terminal(bundle: &Bundle) {
    let spec = Bundle::spec(&["sleep", "100"]);
    let made = running(bundle, &spec);
    let mut process = process(&["tty"]);
    process.terminal = true;
    let ended = bundle.exec(&made.begun, &process, &spec, Way::default()).unwrap();
    assert_eq!(ended.out, "/dev/pts/0\r\n");
    made.begun.kill();
}

fn missing(bundle: &Bundle) {
    let spec = Bundle::spec(&["sleep", "100"]);
    let made = running(bundle, &spec);
    let failed = failure(bundle.exec(&made.begun, &process(&["nothing"]), &spec, Way::default()).unwrap_err());
    assert_eq!((failed.step, failed.subject.as_str()), (Step::LookPath, "nothing"));
    made.begun.kill();
}

fn cpus(bundle: &Bundle) {
    let before = rustix::thread::sched_getaffinity(None).unwrap();
    let mut one = rustix::thread::CpuSet::new();
    one.set((0..rustix::thread::CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap());
    rustix::thread::sched_setaffinity(None, &one).unwrap();
    let count = ["grep", "Cpus_allowed:", "/proc/self/status"];
    let spec = Bundle::spec(&["sleep", "100"]);
    let made = running(bundle, &spec);
    let free = bundle.exec(&made.begun, &process(&count), &spec, Way::default()).unwrap().out;
    let mut process = process(&count);
    process.exec_cpu_affinity = Some(CpuAffinity { initial: "0".into(), last: "0".into() });
    let bound = bundle.exec(&made.begun, &process, &spec, Way::default()).unwrap().out;
    rustix::thread::sched_setaffinity(None, &before).unwrap();
    let bits = |text: &str| text.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum::<u32>();
    let mask = |text: &str| bits(text.trim().rsplit(['\t', ' ']).next().unwrap());
    assert_eq!((mask(&free), mask(&bound)), (before.count(), 1), "{free} {bound}");
    made.begun.kill();
}
