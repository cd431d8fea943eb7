//! Containers of a user without rights: this process, as uid 65534.

use crate::Test;
use crate::bundle::{Bundle, Made, Pipes};
use crate::world::{process, reap};
use oci::runtime::{IdMapping, NamespaceKind, Spec};
use runtime::create::{Milestone, Way};
use rustix::thread::{Gid, Uid};
use std::panic::{AssertUnwindSafe, catch_unwind};
use sys::{CgroupEntry, SingleThread};

pub const TESTS: &[Test] =
    &[("a_user_without_rights_runs_a_container", run), ("a_user_without_rights_joins_its_container", join)];

const NOBODY: u32 = 65534;

/// What `runc spec --rootless` writes.
fn spec(args: &[&str]) -> Spec {
    let mut spec = crate::gates::with_user_namespace(args);
    let linux = spec.linux.as_mut().unwrap();
    linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: NOBODY, size: 1 }];
    linux.gid_mappings = linux.uid_mappings.clone();
    linux.namespaces.retain(|space| space.kind != NamespaceKind::Network);
    for mount in &mut spec.mounts {
        mount.options.retain(|option| option != "gid=5");
        if mount.destination == "/sys" {
            (mount.kind, mount.source) = (Some("none".into()), Some("/sys".into()));
            mount.options = ["rbind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec();
        }
    }
    spec
}

/// Does something as a user without rights, in a child.
fn as_nobody(bundle: &Bundle, act: impl FnOnce(&Bundle)) {
    match sys::fork(&bundle.thread, &sys::process::Birth::default()).unwrap() {
        sys::Fork::Child(_) => {
            let done = catch_unwind(AssertUnwindSafe(|| {
                rustix::thread::set_thread_groups(&[]).unwrap();
                let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
                rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
                rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
                // As a program that was executed by that user is.
                rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable).unwrap();
                act(bundle);
            }));
            sys::process::exit(i32::from(done.is_err()))
        }
        sys::Fork::Parent { pid, .. } => assert_eq!(reap(pid), 0),
    }
}

fn start(bundle: &Bundle, spec: &Spec) -> Made {
    let (pipes, state) = (Pipes::new(), bundle.state());
    let mut creation = bundle.creation(spec, &state, pipes.streams());
    creation.way = Way { rootless: true, ..Way::default() };
    let mut begun = creation.fork(crate::bundle::zygote(spec), &CgroupEntry::Inherit).unwrap().furnish().unwrap();
    let (out, err) = pipes.ours();
    let milestone = begun.wait().unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(milestone, Milestone::Started { .. }));
    Made { begun, out, err, master: None }
}

fn run(bundle: &Bundle) {
    as_nobody(bundle, |bundle| {
        let script = "id -u; cat /proc/self/setgroups; cat /proc/self/uid_map; echo x > /dev/null && hostname";
        let ended = start(bundle, &spec(&["sh", "-c", script])).end();
        let words: Vec<_> = ended.out.split_ascii_whitespace().collect();
        assert_eq!(words, ["0", "deny", "0", "65534", "1", "box"], "{}", ended.err);
    });
}

fn join(bundle: &Bundle) {
    as_nobody(bundle, |bundle| {
        let thread = SingleThread::prove().unwrap();
        let spec = spec(&["sleep", "100"]);
        let made = start(bundle, &spec);
        let (pipes, state) = (Pipes::new(), bundle.state());
        let mut process =
            process(&["sh", "-c", "id -u; hostname; cat /proc/self/oom_score_adj; readlink /proc/self/ns/mnt"]);
        process.oom_score_adj = Some(600);
        let joining = runtime::create::Joining {
            target: runtime::Target { pid: made.begun.pid(), pidfd: made.begun.pidfd() },
            process: &process,
            spec: &spec,
            cgroup: CgroupEntry::Inherit,
            streams: pipes.streams(),
            passed: Vec::new(),
            way: Way { rootless: true, ..Way::default() },
            state: &state,
        };
        let mut begun = runtime::create::join(&thread, &joining).unwrap();
        let (out, err) = pipes.ours();
        begun.wait().unwrap_or_else(|e| panic!("{e}"));
        let ended = Made { begun, out, err, master: None }.end();
        let theirs = std::fs::read_link(format!("/proc/{}/ns/mnt", made.begun.pid())).unwrap();
        assert_eq!(ended.out, format!("0\nbox\n600\n{}\n", theirs.display()), "{}", ended.err);
        made.begun.kill();
    });
}
