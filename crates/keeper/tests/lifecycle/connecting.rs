//! A keeper comes with its first engine and goes with its last.

use crate::bench::{Bench, is_alive, kill};
use keeper::client::Error;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

pub const TESTS: &[(&str, fn())] = &[
    ("a_keeper_starts_with_its_engine_and_ends_after_it", a_keeper_starts_with_its_engine_and_ends_after_it),
    ("a_second_engine_is_refused_while_the_first_lives", a_second_engine_is_refused_while_the_first_lives),
    ("many_threads_ask_at_once", many_threads_ask_at_once),
    ("a_keeper_that_dies_is_noticed_and_replaced", a_keeper_that_dies_is_noticed_and_replaced),
    ("many_engines_start_one_keeper", many_engines_start_one_keeper),
    ("the_keepers_binary_cannot_be_written", the_keepers_binary_cannot_be_written),
    ("the_socket_is_for_its_owner_only", the_socket_is_for_its_owner_only),
    ("garbage_on_the_socket_harms_nobody", garbage_on_the_socket_harms_nobody),
    ("an_idle_keeper_is_small_and_leaves_no_descriptor_of_its_starter_open", an_idle_keeper_is_small),
];

fn a_keeper_starts_with_its_engine_and_ends_after_it() {
    let bench = Bench::new();
    let (keeper, found, events) = bench.connect();
    assert!(found.is_empty());
    keeper.ping().unwrap();
    assert!(keeper.journal().is_some() && keeper.journal().is_none());
    let pid = keeper.pid();
    assert!(is_alive(pid) && pid != i32::try_from(std::process::id()).unwrap());
    drop(keeper);
    assert!(events.recv().is_err());
    bench.wait_for_end(pid);
}

fn a_second_engine_is_refused_while_the_first_lives() {
    let bench = Bench::new();
    let (first, _, _) = bench.connect();
    assert!(matches!(bench.try_connect(), Err(Error::Refused(_))));
    first.ping().unwrap();
    drop(first);
    bench.connect().0.ping().unwrap();
}

fn many_threads_ask_at_once() {
    let bench = Bench::new();
    let (keeper, _, _) = bench.connect();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..200).for_each(|_| keeper.ping().unwrap()));
        }
    });
    assert!(matches!(keeper.unpark(1), Err(Error::Refused(_))));
    assert!(matches!(keeper.release(base::Id::random()), Err(Error::Refused(_))));
}

fn a_keeper_that_dies_is_noticed_and_replaced() {
    let bench = Bench::new();
    let (keeper, _, events) = bench.connect();
    kill(keeper.pid()).unwrap();
    assert!(events.recv().is_err());
    assert!(matches!(keeper.ping(), Err(Error::Lost(_))));
    let (next, _, _) = bench.connect();
    assert_ne!(next.pid(), keeper.pid());
    next.ping().unwrap();
}

/// Each connects, asks once, and goes: keepers end and start all the time.
fn many_engines_start_one_keeper() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let keeper = loop {
                        match bench.try_connect() {
                            Ok((keeper, _, _)) => break keeper,
                            Err(Error::Refused(_)) => std::thread::yield_now(),
                            Err(error) => panic!("{}", base::chain(&error)),
                        }
                    };
                    keeper.ping().unwrap();
                }
            });
        }
    });
    assert_eq!(bench.last_words(), "");
}

fn the_keepers_binary_cannot_be_written() {
    let bench = Bench::new();
    let (keeper, _, _) = bench.connect();
    let exe = format!("/proc/{}/exe", keeper.pid());
    let held = File::open(&exe).unwrap();
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(fs::read(&exe).unwrap() == own, "it runs another program");
    assert!(File::options().write(true).open(&exe).is_err());
    let pid = keeper.pid();
    drop(keeper);
    bench.wait_for_end(pid);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held));
    assert!(File::options().write(true).open(path).and_then(|mut file| file.write_all(b"x")).is_err());
}

fn the_socket_is_for_its_owner_only() {
    let bench = Bench::new();
    let (_keeper, _, _) = bench.connect();
    let mode = fs::metadata(bench.path("keeper.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn garbage_on_the_socket_harms_nobody() {
    let bench = Bench::new();
    let (keeper, _, _) = bench.connect();
    let pid = keeper.pid();
    let mut other = UnixStream::connect(bench.path("keeper.sock")).unwrap();
    drop(keeper);
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"dhow\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", b"dhow\x09\0\0\0"]
    {
        let _ = other.write_all(garbage);
        let mut answer = Vec::new();
        let _ = other.read_to_end(&mut answer);
        other = match UnixStream::connect(bench.path("keeper.sock")) {
            Ok(other) => other,
            // Without an engine and without containers it may end at any time.
            Err(_) => break,
        };
    }
    drop(other);
    bench.wait_for_end(pid);
    bench.connect().0.ping().unwrap();
}

fn an_idle_keeper_is_small() {
    let bench = Bench::new();
    let (keeper, _, _) = bench.connect();
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", keeper.pid())).unwrap();
    let kib = |name: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let private = kib("Private_Dirty:") + kib("Private_Clean:");
    println!("keeper: {} KiB private ({} dirty), {} KiB PSS", private, kib("Private_Dirty:"), kib("Pss:"));
    assert!(kib("Private_Dirty:") < 1024);
    let open: Vec<_> = fs::read_dir(format!("/proc/{}/fd", keeper.pid()))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    assert!(open.len() < 20, "{open:?}");
}
