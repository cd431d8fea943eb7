//! Blobs come whole or not at all.

use super::fake::{End, Fake, Request, reply};
use super::*;
use crate::Error;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The first byte that is asked for.
fn first(request: &Request) -> usize {
    request.header("range").trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap_or(0)
}

fn partial(content: &[u8], from: usize) -> Reply {
    let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
    reply(206).with("content-range", range).body(&content[from..])
}

fn told(error: &std::io::Error) -> String {
    error.get_ref().map_or_else(|| error.to_string(), ToString::to_string)
}

#[test]
fn a_blob_is_read_in_one_go() {
    let content = bytes(3 << 20);
    let served = content.clone();
    let fake = Fake::new(move |_| reply(200).body(served.clone()));
    let read = read_all(nobody_at(&fake).blob(&blob(&content)).unwrap()).unwrap();
    assert!(read == content);
    assert_eq!(fake.lines(), [format!("GET /v2/a/b/blobs/{}", digest(&content))]);
}

#[test]
fn a_connection_that_breaks_is_resumed_where_it_broke() {
    let content = bytes(1 << 20);
    let served = content.clone();
    let fake = Fake::new(move |request| match (request.path.as_str(), request.header("range")) {
        ("/v2/", _) => reply(200),
        (_, "") => reply(200).with("etag", "\"x\"").body(served.clone()).end(End::CutAfter(300_000)),
        _ if first(request) < 600_000 => {
            assert_eq!(request.header("if-range"), "\"x\"");
            partial(&served, first(request)).with("etag", "\"x\"").end(End::CutAfter(300_000))
        }
        _ => partial(&served, first(request)),
    });
    assert!(read_all(nobody_at(&fake).blob(&blob(&content)).unwrap()).unwrap() == content);
    assert_eq!(fake.lines().len(), 3);
}

#[test]
fn a_server_without_ranges_is_read_again_from_the_start() {
    let content = bytes(1 << 20);
    let (served, count) = (content.clone(), AtomicUsize::new(0));
    let fake = Fake::new(move |request| match request.path.as_str() {
        "/v2/" => reply(200),
        _ if count.fetch_add(1, Ordering::SeqCst) < 3 => reply(200).body(served.clone()).end(End::CutAfter(700_000)),
        _ => reply(200).body(served.clone()),
    });
    assert!(read_all(nobody_at(&fake).blob(&blob(&content)).unwrap()).unwrap() == content);
}

#[test]
fn a_stream_that_stalls_is_resumed() {
    let content = bytes(100_000);
    let served = content.clone();
    let fake = Fake::new(move |request| match (request.path.as_str(), request.header("range")) {
        ("/v2/", _) => reply(200),
        (_, "") => reply(200).body(served.clone()).end(End::StallAfter(50_000)),
        _ => partial(&served, first(request)),
    });
    assert!(read_all(nobody_at(&fake).blob(&blob(&content)).unwrap()).unwrap() == content);
}

#[test]
fn without_progress_it_ends_after_some_attempts() {
    let content = bytes(1000);
    let served = content.clone();
    let fake = Fake::new(move |request| match (request.path.as_str(), request.header("range")) {
        ("/v2/", _) => reply(200),
        (_, "") => reply(200).body(served.clone()).end(End::CutAfter(10)),
        _ => partial(&served, first(request)).end(End::CutAfter(0)),
    });
    let error = read_all(nobody_at(&fake).blob(&blob(&content)).unwrap()).unwrap_err();
    assert!(told(&error).contains("at byte 10 of 1000"), "{error}");
    assert_eq!(fake.lines().len(), 6);
}

#[test]
fn a_range_that_was_not_asked_for_is_not_taken() {
    let content = bytes(1000);
    let served = content.clone();
    let fake = Fake::new(move |request| match (request.path.as_str(), request.header("range")) {
        ("/v2/", _) => reply(200),
        (_, "") => reply(200).body(served.clone()).end(End::CutAfter(500)),
        // As many bytes as are missing, but others.
        _ => reply(206).with("content-range", "bytes 400-899/1000").body(&served[400..900]),
    });
    assert!(read_all(nobody_at(&fake).blob(&blob(&content)).unwrap()).is_err());
}

#[test]
fn more_or_fewer_bytes_than_announced_are_an_error() {
    let content = bytes(1000);
    for length in [999, 1001] {
        let served = bytes(length);
        let fake = Fake::new(move |_| reply(200).body(served.clone()));
        let error = nobody_at(&fake).blob(&blob(&content)).map(drop).unwrap_err();
        assert!(error.to_string().contains(&format!("it has {length} bytes instead of 1000")), "{error}");
    }
    let served = bytes(1001);
    let fake = Fake::new(move |_| reply(200).body(served.clone()).end(End::Chunked));
    let error = read_all(nobody_at(&fake).blob(&blob(&content)).unwrap()).unwrap_err();
    assert!(told(&error).contains("more than the expected 1000 bytes"), "{error}");
}

#[test]
fn a_busy_registry_is_asked_again() {
    let content = bytes(1000);
    for (status, name, value) in [(429, "retry-after", "0"), (503, "x", "y"), (500, "x", "y")] {
        let (served, count) = (content.clone(), AtomicUsize::new(0));
        let fake = Fake::new(move |request| match request.path.as_str() {
            "/v2/" => reply(200),
            _ if count.fetch_add(1, Ordering::SeqCst) < 2 => reply(status).with(name, value),
            _ => reply(200).body(served.clone()),
        });
        assert!(read_all(nobody_at(&fake).blob(&blob(&content)).unwrap()).unwrap() == content);
    }
}

#[test]
fn a_registry_that_asks_for_a_long_pause_is_told_at_once() {
    let fake = Fake::new(|request| match request.path.as_str() {
        "/v2/" => reply(200),
        _ => reply(429).with("retry-after", "3600"),
    });
    let error = nobody_at(&fake).blob(&blob(b"x")).map(drop).unwrap_err();
    assert!(matches!(&error, Error::Unavailable(text) if text == "toomanyrequests: too many requests"), "{error}");
}

#[test]
fn a_blocked_read_ends_when_it_is_cancelled() {
    let content = bytes(1000);
    let served = content.clone();
    let fake = Fake::new(move |request| match request.path.as_str() {
        "/v2/" => reply(200),
        _ => reply(200).body(served.clone()).end(End::StallAfter(500)),
    });
    let cancel = Cancel::default();
    let patience = Patience { stall: Duration::from_secs(600), ..impatient() };
    let client = Client::with_patience(Settings::default(), patience);
    let repository = client.repository(&fake.domain(), "a/b", &Credentials::default(), &cancel);
    let mut reader = repository.blob(&blob(&content)).unwrap();
    reader.read_exact(&mut [0; 500]).unwrap();
    let blocked = std::thread::spawn(move || reader.read(&mut [0; 10]));
    cancel.cancel();
    let error = blocked.join().unwrap().unwrap_err();
    assert!(matches!(error.get_ref().and_then(|e| e.downcast_ref()), Some(Error::Cancelled)), "{error}");
    assert!(matches!(repository.has_blob(&digest(&content)), Err(Error::Cancelled)));
}

#[test]
fn calls_may_come_from_a_runtimes_blocking_threads() {
    let content = bytes(500_000);
    let served = content.clone();
    let fake = Fake::new(move |_| reply(200).body(served.clone()));
    let repository = nobody_at(&fake);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let wanted = blob(&content);
    let read = runtime.block_on(async {
        tokio::task::spawn_blocking(move || read_all(repository.blob(&wanted).unwrap()).unwrap()).await.unwrap()
    });
    assert!(read == content);
    // The last client may be dropped where tasks run.
    let client = client(Settings::default());
    let _ = client.repository(&fake.domain(), "a/b", &ann(), &Cancel::default()).has_blob(&digest(&content));
    runtime.block_on(async move { drop(client) });
}

#[test]
fn a_part_can_be_cancelled_without_the_whole() {
    let (whole, sibling) = (Cancel::default(), Cancel::default());
    let (one, other) = (whole.child(), whole.child());
    one.cancel();
    assert!(one.is_cancelled() && !other.is_cancelled() && !whole.is_cancelled());
    whole.cancel();
    assert!(other.is_cancelled() && !sibling.is_cancelled());
}

#[test]
fn a_blob_is_found_with_its_size() {
    let fake = Fake::new(|request| match request.path.as_str() {
        "/v2/" => reply(200),
        path if path.ends_with(&digest(b"x").hex()) => reply(200).body(bytes(1234)),
        path if path.ends_with(&digest(b"y").hex()) => reply(200).end(End::Chunked),
        _ => reply(404),
    });
    let repository = nobody_at(&fake);
    assert_eq!(repository.find_blob(&digest(b"x")).unwrap(), Some(1234));
    assert_eq!(repository.find_blob(&digest(b"z")).unwrap(), None);
    assert!(matches!(repository.find_blob(&digest(b"y")), Err(Error::Unavailable(_))));
}

#[test]
fn a_missing_blob_is_not_found() {
    let fake = Fake::new(|request| reply(if request.path == "/v2/" { 200 } else { 404 }));
    let repository = nobody_at(&fake);
    assert!(matches!(repository.blob(&blob(b"x")).map(drop), Err(Error::NotFound(_))));
    assert!(!repository.has_blob(&digest(b"x")).unwrap());
}
