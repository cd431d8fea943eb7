//! The connection, with a systemd that a thread plays.

use super::super::message::tests::{answer, signal};
use super::*;
use std::thread;

/// Plays the other end: what it answers to each method, as (method, messages).
fn systemd(mut stream: UnixStream, script: Vec<(&'static str, Vec<Vec<u8>>)>) {
    let mut zero = [0];
    stream.read_exact(&mut zero).unwrap();
    for (wanted, reply) in [("AUTH EXTERNAL", "DATA\r\n"), ("DATA", "OK 1234\r\n"), ("BEGIN", "")] {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        assert_eq!(String::from_utf8(line).unwrap().trim_end(), wanted);
        stream.write_all(reply.as_bytes()).unwrap();
    }
    for (method, replies) in script {
        let mut fixed = [0; FIXED];
        stream.read_exact(&mut fixed).unwrap();
        let mut bytes = fixed.to_vec();
        bytes.resize(Message::length(&fixed).unwrap(), 0);
        stream.read_exact(&mut bytes[FIXED..]).unwrap();
        assert_eq!(Message::parse(&bytes).unwrap().member, method);
        replies.iter().for_each(|reply| stream.write_all(reply).unwrap());
    }
}

fn with(script: Vec<(&'static str, Vec<Vec<u8>>)>, check: impl FnOnce(&mut Bus)) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let other = thread::spawn(move || systemd(theirs, script));
    check(&mut Bus::begin(ours, true).unwrap());
    other.join().unwrap();
}

#[test]
fn signals_that_come_before_an_answer_are_kept() {
    let hello = ("Hello", vec![answer(Sort::Return, 1, "", &[Value::text(":1.5")])]);
    let early = signal("JobRemoved", &[Value::U32(9)]);
    let job = Value::ObjectPath("/job/9".to_owned());
    let start = ("StartTransientUnit", vec![early, answer(Sort::Return, 2, "", std::slice::from_ref(&job))]);
    with(vec![hello, start], |bus| {
        assert_eq!(bus.manager("StartTransientUnit", &[]).unwrap(), [job]);
        let until = Instant::now() + PATIENCE;
        assert_eq!(bus.signal(until).unwrap().body, [Value::U32(9)]);
        assert!(bus.signal(Instant::now()).unwrap_err().is_timeout());
    });
}

#[test]
fn an_error_has_its_name_and_text() {
    let hello = ("Hello", vec![answer(Sort::Return, 1, "", &[])]);
    let name = "org.freedesktop.systemd1.NoSuchUnit";
    let stop = ("StopUnit", vec![answer(Sort::Error, 2, name, &[Value::text("Unit x not loaded.")])]);
    with(vec![hello, stop], |bus| {
        let silence = bus.manager("StopUnit", &[]).unwrap_err();
        assert!(silence.is_named("NoSuchUnit"));
        assert_eq!(silence.to_string(), "Unit x not loaded.");
    });
}

#[test]
fn a_property_is_a_variant() {
    let hello = ("Hello", vec![answer(Sort::Return, 1, "", &[])]);
    let value = Value::Variant(Box::new(Value::text("252")));
    let get = ("Get", vec![answer(Sort::Return, 2, "", &[value])]);
    with(vec![hello, get], |bus| {
        assert_eq!(bus.property("/x", "Manager", "Version").unwrap(), Value::text("252"));
    });
}

#[test]
fn an_other_end_that_hangs_up_is_an_error() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    assert!(matches!(Bus::begin(ours, true), Err(Silence::Talk(_))));
}

#[test]
fn addresses_are_paths_and_abstract_names() {
    let path = |address: &str| socket_address(address).unwrap().unwrap();
    assert_eq!(path("unix:path=/run/a%20b,guid=12").as_pathname(), Some(Path::new("/run/a b")));
    assert_eq!(path("unix:abstract=x").as_abstract_name(), Some(&b"x"[..]));
    assert!(socket_address("tcp:host=localhost").is_none());
    assert!(socket_address("unix:tmpdir=/tmp").is_none());
    assert!(matches!(Bus::on("tcp:host=x"), Err(Silence::Connect { .. })));
    assert_eq!(escape("/run/a b"), "/run/a%20b");
    assert_eq!(unescape("100%"), b"100%");
}
