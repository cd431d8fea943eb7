//! Attached clients: before a start, with the log first, by websocket, several at a time, half closed, detached, in the way.

use it::{Stage, status, within};
use std::process::Stdio;

/// Makes a container; its id.
fn create(stage: &Stage, words: &[&str]) -> String {
    let all: Vec<&str> = ["create"].iter().chain(words).copied().collect();
    stage.dhow(all).ok().trim().to_owned()
}

#[test]
fn a_client_that_came_before_the_start_sees_both_streams_to_their_end() {
    let stage = Stage::new();
    let id = create(&stage, &["busybox", "sh", "-c", "echo out; echo err >&2; echo more"]);
    for (version, kind) in [("v1.41", "raw-stream"), ("v1.42", "multiplexed-stream")] {
        let (mut wire, head) = stage.hijack(&format!("/{version}/containers/{id}/attach?stream=1&stdout=1&stderr=1"));
        assert_eq!(status(&head), 101, "{head}");
        assert!(head.to_lowercase().contains(&format!("content-type: application/vnd.docker.{kind}")), "{head}");
        stage.dhow(["start", &id]).ok();
        assert_eq!(wire.streams(), ("out\nmore\n".to_owned(), "err\n".to_owned()));
    }
    let (mut wire, _) = stage.hijack(&format!("/containers/{id}/attach?stream=1&stderr=1"));
    stage.dhow(["start", &id]).ok();
    assert_eq!(wire.streams(), (String::new(), "err\n".to_owned()));
}

#[test]
fn the_log_comes_first_and_then_what_is_new_without_a_gap() {
    let stage = Stage::new();
    let id =
        stage.dhow(["run", "-di", "busybox", "sh", "-c", "i=0; while read x; do echo $i $x; i=$((i+1)); done"]).ok();
    let id = id.trim();
    let (mut first, _) = stage.hijack(&format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1"));
    first.send("a\nb\n");
    assert_eq!(first.until("1 b\n").matches("0 a").count(), 1);
    let (mut second, _) = stage.hijack(&format!("/v1.42/containers/{id}/attach?logs=1&stream=1&stdout=1&stdin=1"));
    second.send("c\n");
    assert_eq!(first.until("2 c\n").matches("1 b").count(), 0);
    let seen = second.until("2 c\n");
    for line in ["0 a\n", "1 b\n", "2 c\n"] {
        assert_eq!(seen.matches(line).count(), 1, "{seen:?}");
    }
    let (mut only, _) = stage.hijack(&format!("/containers/{id}/attach?logs=1&stdout=1"));
    assert_eq!(only.streams().0, "0 a\n1 b\n2 c\n");
    let (mut nothing, _) = stage.hijack(&format!("/containers/{id}/attach?stdout=1"));
    assert_eq!(nothing.streams().0, "");
}

#[test]
fn a_log_that_cannot_be_read_is_told_in_the_stream() {
    let stage = Stage::new();
    let id = create(&stage, &["--log-driver", "none", "busybox", "true"]);
    let (mut wire, head) = stage.hijack(&format!("/containers/{id}/attach?logs=1&stdout=1&stream=1"));
    assert_eq!(status(&head), 101);
    assert_eq!(wire.streams().0, "Error attaching: configured logging driver does not support reading\n");
}

#[test]
fn the_end_of_a_clients_input_is_the_end_of_stdin_once() {
    let stage = Stage::new();
    let mut command = stage.dhow_command(["run", "-i", "busybox", "sh", "-c", "cat; echo over"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("dhow runs");
    std::io::Write::write_all(child.stdin.as_mut().expect("a pipe"), b"hello\n").expect("written");
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("it was a child");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\nover\n");
    // The output goes on after the client has closed its half.
    let id = create(&stage, &["-i", "busybox", "sh", "-c", "cat >/dev/null; sleep 0.3; echo late"]);
    let (mut wire, _) = stage.hijack(&format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1"));
    stage.dhow(["start", &id]).ok();
    wire.send("x");
    wire.half_close();
    assert_eq!(wire.streams().0, "late\n");
}

#[test]
fn a_container_that_is_paused_or_restarting_takes_no_client() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["pause", "box"]).ok();
    let (code, body) = stage.ask("POST", "/containers/box/attach?stream=1");
    assert_eq!(
        (code, body.contains("container box is paused, unpause the container before attach")),
        (409, true),
        "{body}"
    );
    stage.dhow(["unpause", "box"]).ok();
    let (code, body) = stage.ask("POST", "/containers/box/attach?stream=1&detachKeys=nonsense");
    assert_eq!((code, body.contains("Invalid detach keys (nonsense) provided")), (400, true), "{body}");
    let (code, body) = stage.ask("POST", "/containers/nobody/attach?stream=1");
    assert_eq!((code, body.contains("No such container: nobody")), (404, true), "{body}");
}

#[test]
fn detach_keys_leave_the_container_running_and_are_told() {
    let stage = Stage::new();
    stage.dhow(["run", "-dit", "--name", "box", "busybox", "cat"]).ok();
    for (keys, typed) in [("", &b"x\x10\x11"[..]), ("&detachKeys=ctrl-a,z", b"x\x01z")] {
        let (mut wire, _) = stage.hijack(&format!("/containers/box/attach?stream=1&stdin=1&stdout=1{keys}"));
        wire.send(typed);
        let seen = wire.rest();
        assert!(!seen.contains(&0x10) && !seen.contains(&1), "the keys reached the process: {seen:?}");
        assert_eq!(stage.dhow(["inspect", "-f", "{{.State.Running}}", "box"]).ok(), "true\n");
    }
    let events = stage.dhow(["events", "--since", "1h", "--until", "0s", "--filter", "event=detach"]).ok();
    assert_eq!(events.lines().count(), 2, "{events}");
}

#[test]
fn all_clients_of_a_container_see_the_same() {
    let stage = Stage::new();
    let id = stage.dhow(["run", "-di", "busybox", "cat"]).ok();
    let id = id.trim();
    let path = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1");
    let mut clients: Vec<_> = (0..10).map(|_| stage.hijack(&path).0).collect();
    for number in 0..10 {
        clients[number].send(format!("from {number}\n"));
        for client in &mut clients {
            client.until(&format!("from {number}\n"));
        }
    }
    stage.dhow(["kill", id]).ok();
    for client in &mut clients {
        assert_eq!(client.frame(), None);
    }
}

#[test]
fn a_client_stays_when_the_container_ends_only_until_then_and_may_come_back() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo run; exec sleep 1000"]).ok();
    let has_run = |times: usize| within("it has run", || stage.dhow(["logs", "box"]).ok() == "run\n".repeat(times));
    for times in 1..4 {
        has_run(times);
        let (mut wire, _) = stage.hijack("/containers/box/attach?stream=1&stdout=1");
        stage.dhow(["restart", "-t", "0", "box"]).ok();
        assert_eq!(wire.streams().0, "");
    }
    has_run(4);
}

#[test]
fn a_client_that_stops_reading_does_not_hold_the_container_or_another_client() {
    let stage = Stage::new();
    stage.dhow(["run", "-di", "--name", "box", "busybox", "sh", "-c", "read x; seq 1 3000000; echo over"]).ok();
    // Neither is read before the container has ended.
    let stuck: Vec<_> = (0..5).map(|_| stage.hijack("/containers/box/attach?stream=1&stdout=1").0).collect();
    let (mut reader, _) = stage.hijack("/containers/box/attach?stream=1&stdin=1&stdout=1");
    reader.send("go\n");
    let mut last = Vec::new();
    while let Some(frame) = reader.frame() {
        last = frame.bytes;
    }
    assert!(last.ends_with(b"over\n"), "{:?}", String::from_utf8_lossy(&last));
    assert_eq!(stage.dhow(["wait", "box"]).ok(), "0\n");
    drop(stuck);
}

#[test]
fn a_slow_client_that_was_there_before_the_start_misses_nothing() {
    let stage = Stage::new();
    let id = create(&stage, &["busybox", "seq", "1", "2000000"]);
    let (mut wire, _) = stage.hijack(&format!("/containers/{id}/attach?stream=1&stdout=1"));
    stage.dhow(["start", &id]).ok();
    let expected: String = (1..=2_000_000).map(|number| format!("{number}\n")).collect();
    let mut seen = String::new();
    while let Some(frame) = wire.frame() {
        seen.push_str(&String::from_utf8_lossy(&frame.bytes));
        std::thread::yield_now();
    }
    assert!(seen == expected, "{} of {} bytes", seen.len(), expected.len());
}

mod websocket {
    use super::*;
    use it::Wire;

    fn open(stage: &Stage, path: &str) -> (Wire, String) {
        let mut wire = stage.wire();
        wire.send(format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        let head = wire.head();
        (wire, head)
    }

    /// Masked with zeros.
    fn send(wire: &mut Wire, opcode: u8, bytes: &[u8]) {
        let length = u8::try_from(bytes.len()).expect("short") | 0x80;
        wire.send([&[0x80 | opcode, length, 0, 0, 0, 0], bytes].concat());
    }

    fn receive(wire: &mut Wire) -> Option<(u8, Vec<u8>)> {
        let head = wire.take(2);
        let [opcode, length] = *head.as_slice() else { return None };
        let length = match length {
            126 => usize::from(u16::from_be_bytes(wire.take(2).try_into().expect("two bytes"))),
            127 => panic!("too long"),
            short => usize::from(short),
        };
        Some((opcode & 15, wire.take(length)))
    }

    #[test]
    fn a_websocket_carries_raw_streams_both_ways() {
        let stage = Stage::new();
        let id = stage.dhow(["run", "-di", "busybox", "cat"]).ok();
        let id = id.trim();
        for (query, opcode) in [
            ("v1.42/containers/ID/attach/ws?stream=1&stdin=1&stdout=1", 2),
            ("v1.27/containers/ID/attach/ws?stream=1", 1),
        ] {
            let (mut wire, head) = open(&stage, &format!("/{}", query.replace("ID", id)));
            assert_eq!(status(&head), 101, "{head}");
            assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
            send(&mut wire, 2, b"hello\n");
            assert_eq!(receive(&mut wire), Some((opcode, b"hello\n".to_vec())));
            send(&mut wire, 8, &[]);
            assert_eq!(receive(&mut wire).map(|message| message.0), Some(8));
        }
        let (mut wire, _) = open(&stage, &format!("/v1.42/containers/{id}/attach/ws?stream=1&logs=1&stdout=1"));
        assert_eq!(receive(&mut wire), Some((2, b"hello\nhello\n".to_vec())));
        stage.dhow(["kill", id]).ok();
        assert_eq!(receive(&mut wire).map(|message| message.0), Some(8));
        let (code, body) = stage.ask("GET", &format!("/containers/{id}/attach/ws"));
        assert_eq!(code, 400, "{body}");
    }
}
