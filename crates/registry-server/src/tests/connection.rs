//! What is around a request: passwords, broken connections, wrong methods.

use super::Registry;
use super::material::push_blob;
use crate::access::Changes;
use crate::blobs::digest_of;
use crate::folder::Folder;
use crate::htpasswd::Htpasswd;
use base64::Engine as _;
use http::Method;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn folder(root: &std::path::Path) -> Arc<Folder> {
    Arc::new(Folder::open(root, Duration::from_secs(3600)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn users_need_their_password() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("users");
    std::fs::write(&path, format!("me:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let users = Htpasswd::open(&path).unwrap();
    let storage = folder(&root.path().join("r"));
    let registry = Registry::start_as(storage, Changes::PushAndDelete, Some(users)).await;
    let asked = registry.get("/v2/").await.refused(401, "UNAUTHORIZED");
    assert!(asked.header("www-authenticate").starts_with("Basic realm="));
    for (pair, status) in [("me:secret", 200), ("me:wrong", 401), ("you:secret", 401), ("me", 401)] {
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        registry.send(Method::GET, "/v2/", &[("authorization", &value)], b"").await.expect(status);
    }
    registry.send(Method::POST, "/v2/a/blobs/uploads/", &[], b"").await.expect(401);
    registry.send(Method::GET, "/v2/", &[("authorization", "Bearer x")], b"").await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_cannot_push_without_a_password() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder(root.path())).await;
    let page = [("origin", "http://evil.example")];
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        registry.send(method, "/v2/a/blobs/uploads/", &page, b"").await.refused(403, "DENIED");
    }
    registry.send(Method::GET, "/v2/", &page, b"").await.expect(200);
    registry.send(Method::POST, "/v2/a/blobs/uploads/", &[], b"").await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_a_broken_connection() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder(root.path())).await;
    let started = registry.send(Method::POST, "/v2/a/blobs/uploads/", &[], b"").await.expect(202);
    let location = started.header("location").to_owned();
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    let head = format!("PATCH {location} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly this");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let deadline = SystemTime::now() + Duration::from_secs(60);
    while registry.get(&location).await.expect(204).header("range") != "0-8" {
        assert!(SystemTime::now() < deadline);
    }
    let path = format!("{location}?digest={}", digest_of(b"only this and more"));
    // The first request may not have let go of it yet.
    let mut done = registry.send(Method::PUT, &path, &[("content-range", "9-17")], b" and more").await;
    while done.status == 429 {
        assert!(SystemTime::now() < deadline);
        done = registry.send(Method::PUT, &path, &[("content-range", "9-17")], b" and more").await;
    }
    done.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_paths_that_mean_nothing_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder(root.path())).await;
    let digest = push_blob(&registry, "a", b"x").await;
    registry.send(Method::PUT, &format!("/v2/a/blobs/{digest}"), &[], b"x").await.refused(405, "UNSUPPORTED");
    registry.send(Method::POST, "/v2/", &[], b"").await.refused(405, "UNSUPPORTED");
    registry.get("/").await.expect(404);
    registry.get("/v2/../../etc/passwd").await.expect(404);
    registry.get("/v2/%2e%2e/%2e%2e/manifests/x").await.refused(400, "NAME_INVALID");
}
