//! Blobs and manifests go up whole, also over connections that break.

use super::fake::{Fake, Request, reply};
use super::*;
use crate::Error;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// A registry that takes one blob by one upload.
#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    committed: bool,
    uploads: usize,
}

fn taking(resumable: bool) -> (Fake, Arc<Mutex<Taken>>) {
    let taken: Arc<Mutex<Taken>> = Arc::default();
    let there = Arc::clone(&taken);
    let fake = Fake::new(move |request| {
        let mut taken = there.lock().unwrap();
        match (request.method.as_str(), request.path.split('?').next().unwrap_or_default()) {
            ("POST", "/v2/a/b/blobs/uploads/") => {
                taken.uploads += 1;
                taken.bytes.clear();
                reply(202).with("location", "/v2/a/b/blobs/uploads/1?state=a%2Fb")
            }
            ("PATCH", _) => patch(&mut taken, request),
            ("GET", "/v2/a/b/blobs/uploads/1") if resumable => reply(204)
                .with("location", "/v2/a/b/blobs/uploads/1?state=c")
                .with("range", format!("0-{}", taken.bytes.len().saturating_sub(1))),
            ("PUT", "/v2/a/b/blobs/uploads/1") => {
                taken.committed = request.path.ends_with(&format!("digest=sha256%3A{}", digest(&taken.bytes).hex()));
                reply(if taken.committed { 201 } else { 400 })
            }
            ("GET", "/v2/") => reply(200),
            _ => reply(404),
        }
    });
    (fake, taken)
}

fn patch(taken: &mut Taken, request: &Request) -> Reply {
    let start = request.header("content-range").split('-').next().unwrap_or_default().parse().unwrap_or(0);
    if start != taken.bytes.len() {
        return reply(416);
    }
    taken.bytes.extend_from_slice(&request.body);
    reply(202)
        .with("location", "/v2/a/b/blobs/uploads/1?state=b")
        .with("range", format!("0-{}", taken.bytes.len().saturating_sub(1)))
}

fn push(repository: &Repository, content: &[u8]) -> (Result<(), Error>, Vec<u64>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    let sent = Mutex::new(Vec::new());
    let open = || {
        use std::io::Seek;
        let mut again = file.try_clone()?;
        again.rewind()?;
        Ok(again)
    };
    let outcome = repository.push_blob(&blob(content), &open, &|bytes| sent.lock().unwrap().push(bytes));
    (outcome, sent.into_inner().unwrap())
}

#[test]
fn a_blob_goes_up_in_one_stream() {
    for size in [0, 1, 3 << 20] {
        let (fake, taken) = taking(true);
        let content = bytes(size);
        let (outcome, sent) = push(&nobody_at(&fake), &content);
        outcome.unwrap();
        assert!(taken.lock().unwrap().committed);
        assert_eq!(sent.last().copied().unwrap_or(0), size as u64);
        assert!(sent.is_sorted());
        let methods: Vec<String> = fake.seen().into_iter().map(|seen| seen.method).collect();
        assert_eq!(methods, ["GET", "POST", "PATCH", "PUT"]);
        assert!(fake.seen()[3].path.contains("state=b&digest=sha256%3A"), "{}", fake.seen()[3].path);
    }
}

#[test]
fn an_upload_that_breaks_goes_on_where_it_broke() {
    let (fake, taken) = taking(true);
    let content = bytes(3 << 20);
    fake.cut_next_body_after(1 << 20);
    push(&nobody_at(&fake), &content).0.unwrap();
    assert!(taken.lock().unwrap().committed && taken.lock().unwrap().uploads == 1);
    let seen = fake.seen();
    let second = seen.iter().filter(|seen| seen.method == "PATCH").nth(1).unwrap();
    assert_eq!(second.header("content-range"), format!("{}-{}", 1 << 20, content.len() - 1));
    assert_eq!(second.path, "/v2/a/b/blobs/uploads/1?state=c");
}

#[test]
fn an_upload_that_cannot_go_on_starts_anew() {
    let (fake, taken) = taking(false);
    let content = bytes(3 << 20);
    fake.cut_next_body_after(1 << 20);
    push(&nobody_at(&fake), &content).0.unwrap();
    assert!(taken.lock().unwrap().committed && taken.lock().unwrap().uploads == 2);
}

#[test]
fn a_file_that_is_too_short_is_told_and_not_repeated() {
    let (fake, taken) = taking(true);
    let open = || tempfile::tempfile();
    let error = nobody_at(&fake).push_blob(&blob(b"some bytes"), &open, &|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Io { .. }), "{error}");
    assert!(base::chain(&error).ends_with("the file is shorter than the blob"), "{}", base::chain(&error));
    assert!(!taken.lock().unwrap().committed && taken.lock().unwrap().uploads == 1);
}

#[test]
fn a_refused_digest_is_an_error() {
    let fake = Fake::new(|request| match request.method.as_str() {
        "POST" | "PATCH" => reply(202).with("location", "/v2/a/b/blobs/uploads/1"),
        "PUT" => reply(400).body(r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}"#),
        _ => reply(200),
    });
    let error = push(&nobody_at(&fake), b"x").0.unwrap_err();
    assert!(
        matches!(&error, Error::Invalid(text) if text == "digest invalid: provided digest did not match"),
        "{error}"
    );
}

#[test]
fn a_push_without_permission_is_denied() {
    let fake = Fake::new(|request| match request.method.as_str() {
        "GET" => reply(200),
        _ => reply(403),
    });
    let error = push(&nobody_at(&fake), b"x").0.unwrap_err();
    let expected = "denied: requested access to the resource is denied";
    assert!(matches!(&error, Error::Denied(text) if text == expected), "{error}");
}

#[test]
fn a_mount_that_becomes_an_upload_is_cancelled() {
    let fake = Fake::new(|request| match request.path.as_str() {
        path if request.method == "POST" && path.ends_with("from=has%2Fit") => reply(201),
        _ if request.method == "POST" => reply(202).with("location", "/v2/a/b/blobs/uploads/7"),
        _ => reply(204),
    });
    let repository = nobody_at(&fake);
    assert!(repository.mount_blob(&digest(b"x"), "has/it").unwrap());
    assert!(!repository.mount_blob(&digest(b"x"), "lacks/it").unwrap());
    hears(&fake, "DELETE /v2/a/b/blobs/uploads/7");
}

#[test]
fn a_manifest_is_named_and_deleted() {
    let fake = Fake::new(|request| match request.method.as_str() {
        "PUT" if request.path.ends_with("lied") => reply(201).with("docker-content-digest", digest(b"other")),
        "PUT" => reply(201).with("docker-content-digest", digest(&request.body)),
        "DELETE" if request.path.ends_with("v1") => reply(202),
        "DELETE" => reply(405).body(r#"{"errors":[{"code":"UNSUPPORTED"}]}"#),
        _ => reply(200),
    });
    let repository = nobody_at(&fake);
    let pushed = repository.push_manifest("v1", media::MANIFEST, MANIFEST.as_bytes()).unwrap();
    assert_eq!(pushed, digest(MANIFEST.as_bytes()));
    assert_eq!(fake.seen().last().unwrap().header("content-type"), media::MANIFEST);
    assert!(repository.push_manifest("lied", media::MANIFEST, MANIFEST.as_bytes()).is_err());
    assert!(repository.push_manifest(&digest(b"other").to_string(), media::MANIFEST, b"{}").is_err());
    repository.delete_manifest("v1").unwrap();
    let error = repository.delete_manifest("v2").unwrap_err().to_string();
    assert_eq!(error, format!("cannot delete {}/a/b:v2: unsupported: The operation is unsupported.", fake.domain()));
}

#[test]
fn a_cancelled_upload_ends() {
    let cancel = Cancel::default();
    let there = cancel.clone();
    let fake = Fake::new(move |request| match request.method.as_str() {
        "POST" => reply(202).with("location", "/v2/a/b/blobs/uploads/1"),
        "PATCH" => {
            there.cancel();
            reply(202).end(super::fake::End::StallAfter(0)).body("x")
        }
        _ => reply(200),
    });
    let repository = client(Settings::default()).repository(&fake.domain(), "a/b", &ann(), &cancel);
    assert!(matches!(push(&repository, &bytes(1 << 20)).0, Err(Error::Cancelled)));
    // The registry hears of it, although everything else of this asker has ended.
    hears(&fake, "DELETE /v2/a/b/blobs/uploads/1");
}

/// Waits until a request is the last one.
fn hears(fake: &Fake, line: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while fake.lines().last().unwrap() != line {
        assert!(std::time::Instant::now() < deadline, "{:?}", fake.lines());
        std::thread::yield_now();
    }
}

#[test]
fn an_upload_that_is_cancelled_while_it_begins_ends() {
    for becomes_upload in [false, true] {
        let cancel = Cancel::default();
        let there = cancel.clone();
        let fake = Fake::new(move |request| match request.method.as_str() {
            "POST" => {
                // The asker has gone before it hears where the upload is.
                there.cancel();
                std::thread::yield_now();
                reply(202).with("location", "/v2/a/b/blobs/uploads/1")
            }
            _ => reply(200),
        });
        let repository = client(Settings::default()).repository(&fake.domain(), "a/b", &ann(), &cancel);
        let outcome = match becomes_upload {
            true => repository.mount_blob(&digest(b"x"), "lacks/it").map(drop),
            false => push(&repository, &bytes(1 << 20)).0,
        };
        assert!(matches!(outcome, Err(Error::Cancelled)) || becomes_upload, "{outcome:?}");
        hears(&fake, "DELETE /v2/a/b/blobs/uploads/1");
    }
}
