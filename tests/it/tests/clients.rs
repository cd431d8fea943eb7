//! Clients that go away, stop reading or come in thousands: the engine's memory and descriptors stay as they are, and nobody
//! else waits for them.

use it::{Stage, Wire, status, within};

/// Clients of each kind.
const MANY: usize = 10_000;

/// Memory that may be more after all of them, bytes: what the allocator keeps, not what each of them cost.
const MORE_MEMORY: u64 = 24 << 20;

/// Descriptors that may be more: of threads and connections that come and go.
const MORE_FDS: usize = 32;

/// What an engine occupies.
#[derive(Debug, Clone, Copy)]
struct Use {
    memory: u64,
    fds: usize,
}

fn used(stage: &Stage) -> Use {
    Use { memory: stage.engine_memory(), fds: stage.engine_fds() }
}

#[track_caller]
fn check_flat(stage: &Stage, before: Use, what: &str) {
    within(&format!("descriptors are closed after {what}"), || stage.engine_fds() <= before.fds + MORE_FDS);
    let mut now = used(stage);
    within(&format!("memory is given back after {what}: {before:?}"), || {
        now = used(stage);
        now.memory <= before.memory + MORE_MEMORY
    });
    println!("{what}: {before:?} -> {now:?}");
}

fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{more}\r\n")
}

/// Sends a request and goes away: at once, or when the answer's header has come.
fn abort(stage: &Stage, number: usize, text: &str) {
    let mut wire = stage.wire();
    wire.send(text);
    if number.is_multiple_of(2) {
        let head = wire.head();
        assert!(status(&head) == 200 || status(&head) == 101, "{head}");
    }
}

fn abort_many(stage: &Stage, what: &str, text: &str) {
    // What is set up once, and what the allocator keeps for as many at a time, is there before.
    (0..500).for_each(|number| abort(stage, number, text));
    let before = used(stage);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..MANY / 4).for_each(|number| abort(stage, number, text)));
        }
    });
    check_flat(stage, before, what);
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

#[test]
fn ten_thousand_aborted_attaches_leave_nothing() {
    let stage = Stage::new();
    stage.dhow(["run", "-di", "--name", "box", "busybox", "cat"]).ok();
    let path = "/containers/box/attach?stream=1&stdin=1&stdout=1&stderr=1&logs=1";
    abort_many(&stage, "attaches", &request("POST", path, UPGRADE));
    assert_eq!(stage.dhow_with_stdin(["exec", "-i", "box", "cat"], b"alive").ok(), "alive");
}

#[test]
fn ten_thousand_aborted_waits_leave_nothing() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    abort_many(&stage, "waits", &request("POST", "/containers/box/wait?condition=next-exit", ""));
    stage.dhow(["kill", "box"]).ok();
    assert_eq!(stage.dhow(["wait", "box"]).ok(), "137\n");
}

#[test]
fn ten_thousand_aborted_followers_leave_nothing() {
    let stage = Stage::new();
    stage.dhow(["run", "-di", "--name", "box", "busybox", "sh", "-c", "seq 1 100; exec cat"]).ok();
    abort_many(&stage, "followers", &request("GET", "/containers/box/logs?follow=1&stdout=1&stderr=1", ""));
}

#[test]
fn ten_thousand_aborted_event_streams_leave_nothing() {
    let stage = Stage::new();
    abort_many(&stage, "event streams", &request("GET", "/events", ""));
}

/// A thousand clients that follow one log.
fn thousand(stage: &Stage) -> Vec<Wire> {
    let follow = request("GET", "/containers/box/logs?follow=1&stdout=1&tail=0", "");
    let begin = |_| {
        let mut wire = stage.wire();
        wire.send(&follow);
        assert_eq!(status(&wire.head()), 200);
        wire
    };
    (0..1000).map(begin).collect()
}

#[test]
fn a_thousand_followers_at_a_time_cost_little_and_see_every_line() {
    let stage = Stage::new();
    stage.dhow(["run", "-di", "--name", "box", "busybox", "cat"]).ok();
    let (mut writer, _) = stage.hijack("/containers/box/attach?stream=1&stdin=1");
    let (before, threads) = (used(&stage), stage.engine_threads());
    let mut after = before;
    for round in 0..3 {
        let mut followers = thousand(&stage);
        if round == 0 {
            let each = stage.engine_memory().saturating_sub(before.memory) / 1000;
            println!("a follower costs {each} bytes");
            assert!(each < 64 << 10, "a follower costs {each} bytes");
        }
        for line in ["one", "two", "three"] {
            writer.send(format!("{line}\n"));
            followers.iter_mut().for_each(|wire| drop(wire.until(&format!("{line}\n"))));
        }
        assert!(stage.engine_threads() < threads + 64, "{} threads", stage.engine_threads());
        drop(followers);
        within("descriptors are closed", || stage.engine_fds() <= before.fds + MORE_FDS);
        if round == 0 {
            after = used(&stage);
        }
    }
    // What the allocator keeps for a thousand at a time is used again.
    check_flat(&stage, after, "thousands of followers at a time");
}

#[test]
fn followers_and_clients_that_stop_reading_keep_a_bounded_buffer_each_and_hold_nobody() {
    let stage = Stage::new();
    stage.dhow(["run", "-di", "--name", "box", "busybox", "sh", "-c", "read x; seq 1 400000; exec sleep 1000"]).ok();
    let before = used(&stage);
    let follow = request("GET", "/containers/box/logs?follow=1&stdout=1", "");
    let mut stuck = Vec::new();
    for _ in 0..50 {
        let mut wire = stage.wire();
        wire.send(&follow);
        stuck.push(wire);
        stuck.push(stage.hijack("/containers/box/attach?stream=1&stdout=1").0);
    }
    let (mut writer, _) = stage.hijack("/containers/box/attach?stream=1&stdin=1");
    writer.send("go\n");
    within("the container has written all", || stage.dhow(["logs", "--tail", "1", "box"]).ok() == "400000\n");
    let more = stage.engine_memory().saturating_sub(before.memory);
    println!("100 clients that do not read cost {more} bytes");
    assert!(more < 128 << 20, "{more} bytes");
    drop((stuck, writer));
    within("descriptors are closed", || stage.engine_fds() <= before.fds + MORE_FDS);
}
