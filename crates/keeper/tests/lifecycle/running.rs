//! Containers under a keeper, with engines that come and go.

use crate::bench::{Bench, eventually, is_alive, kill};
use crate::engine::{Engine, launch, lines, process, root, target};
use base::Id;
use keeper::client::{Error, Keeper, Streams};
use keeper::message::{Exit, Stdio};
use logs::pump::Stream;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

pub const TESTS: &[(&str, fn())] = &[
    ("a_container_runs_and_its_exit_and_output_are_known", a_container_runs_and_its_exit_and_output_are_known),
    ("signals_are_as_a_new_program_expects", signals_are_as_a_new_program_expects),
    ("stdin_reaches_the_container_and_ends", stdin_reaches_the_container_and_ends),
    ("a_program_that_is_missing_is_told_of", a_program_that_is_missing_is_told_of),
    ("a_container_on_a_terminal_is_logged", a_container_on_a_terminal_is_logged),
    ("an_exec_runs_in_the_container", an_exec_runs_in_the_container),
    (
        "a_dead_engine_leaves_containers_and_their_output_intact",
        a_dead_engine_leaves_containers_and_their_output_intact,
    ),
    ("what_ended_without_an_engine_is_found_by_the_next", what_ended_without_an_engine_is_found_by_the_next),
    ("processes_parked_for_a_dead_engine_go_with_it", processes_parked_for_a_dead_engine_go_with_it),
    ("engines_killed_in_a_storm_of_starts_lose_and_leak_nothing", engines_killed_in_a_storm_of_starts),
    ("a_name_is_taken_until_it_is_released", a_name_is_taken_until_it_is_released),
    ("a_container_costs_the_keeper_little", a_container_costs_the_keeper_little),
    ("containers_start_at_the_same_time_from_many_threads", containers_start_at_the_same_time_from_many_threads),
];

const PLAIN: Stdio = Stdio { stdin: false, terminal: false };

fn a_container_runs_and_its_exit_and_output_are_known() {
    let bench = Bench::new();
    let mut engine = Engine::start(&bench);
    let (one, two) = (Id::random(), Id::random());
    let started = engine.run(&bench, one, "echo hello; echo world >&2; exit 7", PLAIN);
    let second = engine.run(&bench, two, "sleep 1000", PLAIN);
    assert_eq!(engine.wait(one), Exit::Code(7));
    assert_eq!(
        (lines(&bench, one, Stream::Stdout), lines(&bench, one, Stream::Stderr)),
        (vec!["hello\n".into()], vec!["world\n".into()])
    );
    assert_eq!(engine.seen.0[&(one, Stream::Stdout)], b"hello\n");
    assert!(!is_alive(started.pid));
    assert!(matches!(engine.keeper.release(two), Err(Error::Refused(_))), "it still runs");
    rustix::process::pidfd_send_signal(&second.pidfd, rustix::process::Signal::KILL).unwrap();
    assert_eq!(engine.wait(two), Exit::Signal(9));
    engine.keeper.release(two).unwrap();
    engine.keeper.let_go(one).unwrap();
    assert!(matches!(engine.keeper.release(one), Err(Error::Refused(_))), "what was asked before was done before");
}

fn signals_are_as_a_new_program_expects() {
    let bench = Bench::new();
    let mut engine = Engine::start(&bench);
    let key = Id::random();
    engine.run(
        &bench,
        key,
        "cat /proc/self/status /proc/self/limits /proc/self/oom_score_adj; ls /proc/self/fd",
        PLAIN,
    );
    assert_eq!(engine.wait(key), Exit::Code(0));
    let output = lines(&bench, key, Stream::Stdout).concat();
    let mask = |name: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    // 32 and 33 are the C library's own, which keeps its hands on them.
    assert_eq!((mask("SigBlk:"), mask("SigIgn:") & !(3 << 31)), (0, 0));
    // What the keeper has for itself is not the container's.
    let own = fs::read_to_string("/proc/self/limits").unwrap();
    let files = |text: &str| text.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
    assert_eq!(files(&output), files(&own));
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert!(output.contains(&format!("\n{}0\n1\n2\n3\n", own)), "{output}");
}

fn stdin_reaches_the_container_and_ends() {
    let bench = Bench::new();
    let mut engine = Engine::start(&bench);
    let key = Id::random();
    let started = engine.run(&bench, key, "cat; exit 3", Stdio { stdin: true, terminal: false });
    let Streams::Pipes { stdin: Some(stdin), .. } = started.streams else { panic!("no stdin") };
    File::from(stdin).write_all(b"over\nto you").unwrap();
    // Our end is closed now; the keeper's keeps it open for the next to attach.
    engine
        .until("it is echoed", |engine| engine.seen.0.get(&(key, Stream::Stdout)).is_some_and(|seen| seen.len() == 11));
    assert!(engine.exits.is_empty());
    engine.keeper.close_stdin(key).unwrap();
    assert_eq!(engine.wait(key), Exit::Code(3));
    assert_eq!(lines(&bench, key, Stream::Stdout), ["over\n", "to you"]);
}

fn a_program_that_is_missing_is_told_of() {
    let bench = Bench::new();
    let engine = Engine::start(&bench);
    let parked = engine.park();
    let plan = runtime::Plan { root: 7, ..runtime::Plan::default() };
    let broken = engine.keeper.launch(Id::random(), parked.pid, plan, &[], PLAIN, target(&bench, Id::random()));
    assert!(matches!(broken, Err(Error::Failed(_))), "{broken:?}");
    let gone =
        engine.keeper.launch(Id::random(), 1, runtime::Plan::default(), &[], PLAIN, target(&bench, Id::random()));
    assert!(matches!(gone, Err(Error::Refused(_))));
    let parked = engine.park();
    engine.keeper.unpark(parked.pid).unwrap();
    eventually("the parked process ends", || !is_alive(parked.pid));
    let pid = engine.keeper.pid();
    drop(engine);
    bench.wait_for_end(pid);
}

fn a_container_on_a_terminal_is_logged() {
    let bench = Bench::new();
    let mut engine = Engine::start(&bench);
    let key = Id::random();
    let started = engine.run(
        &bench,
        key,
        "test -t 0 && test -t 1 && test -t 2 && echo yes; read x; echo got $x; exit 5",
        Stdio { stdin: true, terminal: true },
    );
    let Streams::Terminal(master) = started.streams else { panic!("no terminal") };
    engine.until("it asks", |engine| engine.seen.0.contains_key(&(key, Stream::Stdout)));
    rustix::io::write(&master, b"this\n").unwrap();
    assert_eq!(engine.wait(key), Exit::Code(5));
    let lines = lines(&bench, key, Stream::Stdout);
    assert_eq!((lines.first().unwrap().as_str(), lines.last().unwrap().as_str()), ("yes\r\n", "got this\r\n"));
}

fn an_exec_runs_in_the_container() {
    let bench = Bench::new();
    let mut engine = Engine::start(&bench);
    let (key, exec) = (Id::random(), Id::random());
    engine.run(&bench, key, "echo up > /tmp/new; mv /tmp/new /tmp/up; sleep 1000", PLAIN);
    let unknown = engine.keeper.exec(exec, Id::random(), process("true", PLAIN), sys::CgroupEntry::Inherit, PLAIN);
    assert!(matches!(unknown, Err(Error::Refused(_))));
    let script = "while ! cat /tmp/up 2>/dev/null; do :; done; exit 9";
    let started = engine.keeper.exec(exec, key, process(script, PLAIN), sys::CgroupEntry::Inherit, PLAIN).unwrap();
    let Streams::Pipes { stdout, .. } = started.streams else { panic!("no pipes") };
    let mut lines = BufReader::new(File::from(stdout)).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    assert!(lines.next().is_none(), "the keeper keeps no end of it");
    engine.until("the exec ends", |engine| engine.exits.contains_key(&exec));
    assert_eq!(engine.exits[&exec].0, Exit::Code(9));
    engine.keeper.release(exec).unwrap();
}

/// Starts an engine of its own process, which gets as far as saying so.
fn engine_process(bench: &Bench, work: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["engine", bench.path("").to_str().unwrap(), work])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    child
}

/// What `engine EXEC_ROOT WORK` does until it is killed.
pub fn be_an_engine(bench: &Bench, work: &str) -> ! {
    let mut engine = Engine::start(bench);
    match work {
        "start" => {
            for _ in 0..4 {
                engine.run(bench, Id::random(), COUNT, PLAIN);
            }
        }
        "storm" => {
            println!("ready");
            storm(bench, &engine.keeper);
        }
        "park" => drop((engine.park(), engine.park())),
        "short" => drop(engine.run(bench, Id::random(), "echo last words; echo no end >&2; exit 4", PLAIN)),
        _ => {}
    }
    println!("ready");
    loop {
        if work != "short" {
            engine.turn();
        }
    }
}

/// A kill at a random moment, not a wait for something.
fn spin(microseconds: u64) {
    let until = Instant::now() + Duration::from_micros(microseconds);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

const LINES: usize = 40_000;
const COUNT: &str = "i=0; while [ $i -lt 40000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 6";

fn a_dead_engine_leaves_containers_and_their_output_intact() {
    let bench = Bench::new();
    let mut moment = 1_u64;
    for round in 0..30 {
        let mut child = engine_process(&bench, if round == 0 { "start" } else { "go on" });
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        spin(moment >> 50);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut engine = Engine::start(&bench);
    let keys: Vec<Id> = engine.found.iter().map(|found| found.process.key).collect();
    assert_eq!(keys.len(), 4);
    for key in keys {
        assert_eq!(engine.wait(key), Exit::Code(6));
        for (stream, word) in [(Stream::Stdout, "out"), (Stream::Stderr, "err")] {
            let expected: Vec<String> = (0..LINES).map(|n| format!("{word} {n}\n")).collect();
            assert!(lines(&bench, key, stream) == expected, "{word} of {key} is not exact");
        }
        engine.keeper.release(key).unwrap();
    }
    let pid = engine.keeper.pid();
    drop(engine);
    bench.wait_for_end(pid);
}

fn what_ended_without_an_engine_is_found_by_the_next() {
    let bench = Bench::new();
    let mut child = engine_process(&bench, "short");
    child.kill().unwrap();
    child.wait().unwrap();
    let log = || {
        fs::read_dir(bench.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().unwrap().len() == 64)
    };
    eventually("the keeper logs all", || {
        log().is_some_and(|path| fs::read_to_string(path).unwrap_or_default().lines().count() == 2)
    });
    // Nobody has collected the exit: the keeper waits.
    for _ in 0..2 {
        let mut engine = Engine::start(&bench);
        let [found] = engine.found.as_slice() else { panic!("{:?}", engine.found) };
        let key = found.process.key;
        assert_eq!(engine.wait(key), Exit::Code(4));
        assert_eq!(
            (lines(&bench, key, Stream::Stdout), lines(&bench, key, Stream::Stderr)),
            (vec!["last words\n".into()], vec!["no end\n".into()])
        );
    }
    let engine = Engine::start(&bench);
    assert!(engine.found[0].started.is_none(), "all is over and logged");
    engine.keeper.release(engine.found[0].process.key).unwrap();
    let pid = engine.keeper.pid();
    drop(engine);
    bench.wait_for_end(pid);
}

fn processes_parked_for_a_dead_engine_go_with_it() {
    let bench = Bench::new();
    let mut child = engine_process(&bench, "park");
    let engine = || bench.try_connect();
    assert!(matches!(engine(), Err(Error::Refused(_))));
    let keeper = keeper_of(&bench);
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    let children: Vec<i32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(children.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    // Nothing is left to be kept: the keeper ends, and its children before it.
    bench.wait_for_end(keeper);
    assert!(children.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap()), "not even a zombie is left");
}

/// Starts containers from several threads until it is killed.
fn storm(bench: &Bench, keeper: &Keeper) {
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let key = Id::random();
                    fs::write(bench.path(&format!("asked-{key}")), "").unwrap();
                    launch(keeper, bench, key, "echo one; echo two; exit 2", PLAIN).unwrap();
                    fs::write(bench.path(&format!("started-{key}")), "").unwrap();
                }
            });
        }
    });
}

fn engines_killed_in_a_storm_of_starts() {
    let bench = Bench::new();
    // The folder of busybox is made before there are threads.
    drop(root(&bench));
    let named = |word: &str| -> Vec<Id> {
        let names =
            fs::read_dir(bench.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_prefix(word).map(|key| key.parse().unwrap())).collect()
    };
    for round in 1..=10_u64 {
        let before = named("started-").len();
        let mut child = engine_process(&bench, "storm");
        eventually("some have started", || named("started-").len() >= before + 3);
        spin(round * 7919 % 5_000);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut engine = Engine::start(&bench);
    let found: Vec<Id> = engine.found.iter().map(|found| found.process.key).collect();
    let (asked, started) = (named("asked-"), named("started-"));
    assert!(started.iter().all(|key| found.contains(key)), "a start that was answered is lost");
    assert!(found.iter().all(|key| asked.contains(key)));
    for key in &found {
        assert_eq!(engine.wait(*key), Exit::Code(2));
        assert_eq!(lines(&bench, *key, Stream::Stdout), ["one\n", "two\n"]);
        engine.keeper.release(*key).unwrap();
    }
    println!("{} starts asked, {} answered, {} found", asked.len(), started.len(), found.len());
    let pid = engine.keeper.pid();
    drop(engine);
    bench.wait_for_end(pid);
}

/// The peer of its socket, without an engine's handshake.
fn keeper_of(bench: &Bench) -> i32 {
    let socket = std::os::unix::net::UnixStream::connect(bench.path("keeper.sock")).unwrap();
    rustix::net::sockopt::socket_peercred(&socket).unwrap().pid.as_raw_nonzero().get()
}

fn a_name_is_taken_until_it_is_released() {
    let bench = Bench::new();
    let mut engine = Engine::start(&bench);
    let key = Id::random();
    engine.run(&bench, key, "exit 0", PLAIN);
    engine.wait(key);
    assert!(matches!(engine.launch(&bench, key, "exit 0", PLAIN), Err(Error::Refused(_))));
    engine.keeper.release(key).unwrap();
    engine.run(&bench, key, "exit 1", PLAIN);
    engine.exits.clear();
    assert_eq!(engine.wait(key), Exit::Code(1));
}

fn a_container_costs_the_keeper_little() {
    const COUNT: usize = 50;
    let bench = Bench::new();
    let mut engine = Engine::start(&bench);
    let dirty = |pid: i32| -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let keys: Vec<Id> = (0..COUNT).map(|_| Id::random()).collect();
    engine.run(&bench, Id::random(), "sleep 1000", PLAIN);
    let before = dirty(engine.keeper.pid());
    let started: Vec<i32> = keys.iter().map(|key| engine.run(&bench, *key, "sleep 1000", PLAIN).pid).collect();
    let after = dirty(engine.keeper.pid());
    println!("keeper: {before} KiB private with one container, {after} KiB with {}", COUNT + 1);
    assert!(after.saturating_sub(before) < 20 * COUNT as u64 && after < 2048);
    for pid in started {
        kill(pid).unwrap();
    }
    keys.iter().for_each(|key| assert_eq!(engine.wait(*key), Exit::Signal(9)));
}

fn containers_start_at_the_same_time_from_many_threads() {
    let bench = Bench::new();
    let engine = Engine::start(&bench);
    let keeper = &engine.keeper;
    // Made once, before the threads.
    engine.launch(&bench, Id::random(), "exit 0", PLAIN).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let key = Id::random();
                    launch(keeper, &bench, key, "exit 0", PLAIN).unwrap();
                }
            });
        }
    });
    println!("40 containers started in {:?}", begun.elapsed());
    let mut engine = engine;
    engine.until("all end", |engine| engine.exits.len() == 41);
    assert!(engine.exits.values().all(|(exit, _)| *exit == Exit::Code(0)));
}
