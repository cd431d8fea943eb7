//! What CRIU makes becomes the keeper's. A script stands in for it: what it starts and leaves is the keeper's child, too.

use crate::bench::{Bench, eventually, is_alive};
use crate::engine::{Engine, target};
use base::Id;
use keeper::client::{Error, Streams};
use keeper::message::{Exit, Stdio};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

pub const TESTS: &[(&str, fn())] = &[
    ("a_restored_process_is_the_keepers", a_restored_process_is_the_keepers),
    ("only_what_criu_made_is_taken", only_what_criu_made_is_taken),
    ("a_restoration_that_fails_leaves_nothing", a_restoration_that_fails_leaves_nothing),
];

const PLAIN: Stdio = Stdio { stdin: false, terminal: false };

/// Leaves a process that has its standard streams, and waits until its conversation ends.
fn stand_in(bench: &Bench) -> PathBuf {
    let path = bench.path("criu");
    let pid = bench.path("restored").display().to_string();
    let text = format!(
        "#!/bin/busybox sh\n[ \"$1\" = swrk ] || exit 1\n\
         (sh -c 'echo $$ >{pid}.new; mv {pid}.new {pid}; echo here; exec sleep 1000' & )\n\
         exec cat <&$2 >/dev/null\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn restored(bench: &Bench) -> i32 {
    let path = bench.path("restored");
    eventually("a process is restored", || path.exists());
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// Its first parent has left it, so it is the keeper's.
fn is_child(pid: i32, of: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(1) == Some(&of.to_string())
}

fn a_restored_process_is_the_keepers() {
    let bench = Bench::new();
    let mut engine = Engine::start(&bench);
    let key = Id::random();
    let (ours, theirs) = criu::pair().unwrap();
    let criu = engine.keeper.restore(key, stand_in(&bench), theirs, PLAIN, target(&bench, key)).unwrap();
    let pid = restored(&bench);
    eventually("it is the keeper's child", || is_child(pid, engine.keeper.pid()));
    let started = engine.keeper.restored(key, pid, None, PLAIN).unwrap();
    assert_eq!(started.pid, pid);
    drop(ours);
    eventually("what stands in for criu ends", || !is_alive(criu));
    let Streams::Pipes { stdin: None, stdout, .. } = started.streams else { panic!("other streams") };
    let mut said = [0; 5];
    fs::File::from(stdout).read_exact(&mut said).unwrap();
    assert_eq!(&said, b"here\n");
    assert!(matches!(engine.keeper.release(key), Err(Error::Refused(_))), "it still runs");
    drop(engine);
    // Another engine finds it as any container.
    engine = Engine::start(&bench);
    assert_eq!(engine.found.iter().map(|found| found.process.key).collect::<Vec<_>>(), [key]);
    rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::KILL).unwrap();
    assert_eq!(engine.wait(key), Exit::Signal(9));
    engine.keeper.release(key).unwrap();
}

fn only_what_criu_made_is_taken() {
    let bench = Bench::new();
    let mut engine = Engine::start(&bench);
    let (key, other) = (Id::random(), Id::random());
    let running = engine.run(&bench, other, "sleep 1000", PLAIN);
    let refused = |pid| matches!(engine.keeper.restored(key, pid, None, PLAIN), Err(Error::Refused(_)));
    assert!(refused(running.pid), "nothing is being restored");
    let (ours, theirs) = criu::pair().unwrap();
    let criu = engine.keeper.restore(key, stand_in(&bench), theirs, PLAIN, target(&bench, key)).unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    for pid in [running.pid, criu, own, 1, 0, -1] {
        assert!(refused(pid), "{pid}");
    }
    let (_, theirs) = criu::pair().unwrap();
    let again = engine.keeper.restore(key, stand_in(&bench), theirs, PLAIN, target(&bench, key));
    assert!(matches!(again, Err(Error::Refused(_))), "it is being restored");
    let pid = restored(&bench);
    eventually("it is the keeper's child", || is_child(pid, engine.keeper.pid()));
    assert!(!refused(pid));
    drop(ours);
    for (key, pidfd) in [(other, running.pidfd), (key, engine_pidfd(pid))] {
        rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL).unwrap();
        engine.until("it ends", |engine| engine.exits.contains_key(&key));
        engine.keeper.release(key).unwrap();
    }
}

fn engine_pidfd(pid: i32) -> std::os::fd::OwnedFd {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap()
}

fn a_restoration_that_fails_leaves_nothing() {
    let bench = Bench::new();
    let engine = Engine::start(&bench);
    let keeper = engine.keeper.pid();
    let key = Id::random();
    let (_, theirs) = criu::pair().unwrap();
    let missing = engine.keeper.restore(key, bench.path("nowhere"), theirs, PLAIN, target(&bench, key));
    let Err(Error::Refused(why)) = missing else { panic!("{missing:?}") };
    assert!(why.contains("cannot start") && why.contains("No such file"), "{why}");
    let (ours, theirs) = criu::pair().unwrap();
    let criu = engine.keeper.restore(key, "/bin/cat".into(), theirs, PLAIN, target(&bench, key)).unwrap();
    drop(ours);
    eventually("it ends", || !is_alive(criu));
    eventually("its name is free again", || {
        let (_, theirs) = criu::pair().unwrap();
        engine.keeper.restore(key, "/bin/false".into(), theirs, PLAIN, target(&bench, key)).is_ok()
    });
    drop(engine);
    bench.wait_for_end(keeper);
}
