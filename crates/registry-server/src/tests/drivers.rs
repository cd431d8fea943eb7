//! Each driver under the cases of all, and its own.

use super::Registry;
use super::conformance;
use super::material::{Picture, push_blob, put};
use crate::access::Changes;
use crate::blobs::digest_of;
use crate::engine::Engine;
use crate::folder::{Folder, OpenError};
use crate::storage::Storage;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use oci::image::media;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::UnixListener;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn folder(root: &Path) -> Arc<Folder> {
    Arc::new(Folder::open(root, DAY).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_conforms() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder(root.path())).await;
    conformance::push(&registry).await;
    conformance::delete(&registry).await;
    let digest = push_blob(&registry, "made/gone", b"a blob").await;
    let path = format!("/v2/made/gone/blobs/{digest}");
    registry.delete(&path).await.expect(202);
    registry.get(&path).await.refused(404, "BLOB_UNKNOWN");
    registry.delete(&path).await.refused(404, "BLOB_UNKNOWN");
    let uploads = fs::read_dir(root.path().join("uploads")).unwrap().count();
    assert_eq!(uploads, 2, "each refused mount became an upload, all others ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_survives_a_restart_in_the_middle_of_an_upload() {
    let root = tempfile::tempdir().unwrap();
    let first = folder(root.path());
    let registry = Registry::start(first.clone()).await;
    let started = registry.send(Method::POST, "/v2/a/blobs/uploads/", &[], b"").await.expect(202);
    let location = started.header("location").to_owned();
    registry.send(Method::PATCH, &location, &[("content-range", "0-3")], b"half").await.expect(202);
    drop(registry);
    // The listener and its connections still hold the folder for a moment.
    let deadline = SystemTime::now() + Duration::from_secs(60);
    while Arc::strong_count(&first) > 1 {
        assert!(SystemTime::now() < deadline);
        tokio::task::yield_now().await;
    }
    drop(first);
    let registry = Registry::start(folder(root.path())).await;
    assert_eq!(registry.get(&location).await.expect(204).header("range"), "0-3");
    let path = format!("{location}?digest={}", digest_of(b"half and half"));
    registry.send(Method::PUT, &path, &[], b" and half").await.expect(201);
}

#[test]
fn a_folder_has_one_writer_and_any_readers() {
    let root = tempfile::tempdir().unwrap();
    let _first = folder(root.path());
    assert!(matches!(Folder::open(root.path(), DAY), Err(OpenError::Taken(_))));
    assert!(Folder::open_read_only(root.path()).unwrap().writing().is_err());
    assert!(Folder::open_read_only(&root.path().join("missing")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_removes_what_no_manifest_names_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let storage = folder(root.path());
    let registry = Registry::start(storage.clone()).await;
    let picture = Picture::of("kept");
    picture.push(&registry, "a/b", "latest").await;
    let old = push_blob(&registry, "a/b", b"old and alone").await;
    let new = push_blob(&registry, "a/b", b"new and alone").await;
    for path in [root.path().join("blobs/sha256"), root.path().join("repositories/a/b/_blobs")] {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy() != new.hex() {
                fs::File::open(entry.path()).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
            }
        }
    }
    let left = root.path().join("repositories/a/b/_tags/.latest.0123456789ab");
    fs::write(&left, b"sha").unwrap();
    fs::File::open(&left).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    storage.sweep().unwrap();
    assert!(!left.exists(), "what a crash left is removed");
    conformance::pull(&registry, "a/b", "latest", &picture).await;
    registry.get(&format!("/v2/a/b/blobs/{new}")).await.expect(200);
    registry.get(&format!("/v2/a/b/blobs/{old}")).await.expect(404);
    assert!(!root.path().join("blobs/sha256").join(old.hex()).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_uploads_of_one_blob_at_once_are_fine() {
    let root = tempfile::tempdir().unwrap();
    let registry = Arc::new(Registry::start(folder(root.path())).await);
    let blob: Arc<Vec<u8>> = Arc::new(vec![7; 3_000_000]);
    let pushes: Vec<_> = (0..8)
        .map(|_| {
            let (registry, blob) = (Arc::clone(&registry), Arc::clone(&blob));
            tokio::spawn(async move { push_blob(&registry, "a", &blob).await })
        })
        .collect();
    for push in pushes {
        push.await.unwrap();
    }
    assert_eq!(fs::read_dir(root.path().join("blobs/sha256")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(root.path().join("uploads")).unwrap().count(), 0);
}

/// An engine that can load and remove images, and no more.
async fn engine(root: &Path) -> (Arc<image::Store>, api::client::Endpoint) {
    let store = Arc::new(image::Store::open(root, image::HostMask::default()).unwrap());
    let socket = root.join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = Arc::clone(&store);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let store = Arc::clone(&serving);
            let service = hyper::service::service_fn(move |request| engine_answer(Arc::clone(&store), request));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (store, api::client::Endpoint::Unix(socket))
}

async fn engine_answer(
    store: Arc<image::Store>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let done = tokio::task::spawn_blocking(move || match parts.method {
        Method::POST => store.load(&mut &body[..], &mut |_| {}),
        _ => {
            let name = parts.uri.path().trim_start_matches("/images/").replace("%3A", ":");
            store.remove(&name, image::Force::No, &[]).map(drop)
        }
    });
    let words = match done.await.unwrap() {
        Ok(()) => String::new(),
        Err(error) => serde_json::json!({ "error": base::chain(&error) }).to_string(),
    };
    Ok(Response::new(Full::new(words.into())))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_conforms() {
    let root = tempfile::tempdir().unwrap();
    let (store, endpoint) = engine(root.path()).await;
    let staging = Folder::open(&root.path().join("registry"), DAY).unwrap();
    let registry = Registry::start(Arc::new(Engine::new(root.path(), endpoint, staging))).await;
    conformance::push(&registry).await;
    assert!(store.get("made/here:v1").is_ok(), "a pushed image is the engine's");
    assert!(store.get("made/index:all").is_err(), "an index is not");
    conformance::delete(&registry).await;
    assert!(store.get("made/gone:b").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engines_images_have_their_short_names() {
    let root = tempfile::tempdir().unwrap();
    let (store, endpoint) = engine(root.path()).await;
    let staging = Folder::open(&root.path().join("registry"), DAY).unwrap();
    let registry = Registry::start(Arc::new(Engine::new(root.path(), endpoint, staging))).await;
    let picture = Picture::of("short");
    picture.push(&registry, "short", "1").await;
    let staged = fs::read_dir(root.path().join("registry/blobs/sha256")).unwrap().count();
    assert_eq!(staged, 0, "what the engine has is not kept twice");
    for name in ["short", "library/short"] {
        registry.get(&format!("/v2/{name}/manifests/1")).await.expect(200);
    }
    registry.get("/v2/library/short/manifests/1?ns=docker.io").await.expect(200);
    registry.get("/v2/short/manifests/1?ns=ghcr.io").await.expect(404);
    store.tag("short:1", "ghcr.io/some/one:2").unwrap();
    registry.get("/v2/ghcr.io/some/one/manifests/2").await.expect(200);
    registry.get("/v2/some/one/manifests/2?ns=ghcr.io").await.expect(200);
    store.remove("short:1", image::Force::No, &[]).unwrap();
    registry.get("/v2/short/manifests/1").await.refused(404, "MANIFEST_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_that_was_pushed_is_the_one_that_is_served() {
    let root = tempfile::tempdir().unwrap();
    let (store, endpoint) = engine(root.path()).await;
    let staging = Folder::open(&root.path().join("registry"), DAY).unwrap();
    let registry = Registry::start(Arc::new(Engine::new(root.path(), endpoint, staging))).await;
    let first = Picture::of("the same image");
    let second = Picture::with("the same image", serde_json::json!({ "annotations": { "wrapped": "anew" } }));
    first.push(&registry, "same", "x").await;
    second.push(&registry, "same", "y").await;
    assert_eq!(registry.get("/v2/same/manifests/x").await.expect(200).body, first.manifest);
    assert_eq!(registry.get("/v2/same/manifests/y").await.expect(200).body, second.manifest);
    store.remove("same:y", image::Force::No, &[]).unwrap();
    registry.get("/v2/same/manifests/y").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_or_has_dropped_its_blobs_is_told() {
    let root = tempfile::tempdir().unwrap();
    let (_store, endpoint) = engine(root.path()).await;
    let staging = Folder::open(&root.path().join("registry"), DAY).unwrap();
    let registry = Registry::start(Arc::new(Engine::new(root.path(), endpoint, staging))).await;
    let picture = Picture::of("without its layer");
    picture.push(&registry, "bare", "1").await;
    let digest = digest_of(&picture.layer);
    fs::remove_file(root.path().join("content/blobs/sha256").join(digest.hex())).unwrap();
    let _ = fs::remove_file(root.path().join("registry/blobs/sha256").join(digest.hex()));
    let refused = registry.get(&format!("/v2/bare/blobs/{digest}")).await.refused(404, "BLOB_UNKNOWN");
    assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("not kept"));
    fs::remove_file(root.path().join("engine.sock")).unwrap();
    let other = Picture::of("nobody there");
    other.push_blobs(&registry, "away").await;
    let refused = put(&registry, "away", "1", (media::MANIFEST, &other.manifest)).await.expect(503);
    assert!(String::from_utf8_lossy(&refused.body).contains("start the engine"));
    registry.get("/v2/away/manifests/1").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_lies_as_a_tree_alone_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let (store, endpoint) = engine(root.path()).await;
    let staging = Folder::open(&root.path().join("registry"), DAY).unwrap();
    let registry = Registry::start(Arc::new(Engine::new(root.path(), endpoint, staging))).await;
    let work = store.layers().begin(&[]).unwrap();
    fs::write(format!("/proc/self/fd/{}/file", work.root().as_raw_fd()), "made here").unwrap();
    let made = store.layers().finish(work).unwrap().unwrap();
    let config = oci::image::Image {
        architecture: image::machine_platform().architecture,
        os: "linux".to_owned(),
        rootfs: oci::image::RootFs { kind: "layers".to_owned(), diff_ids: vec![made.diff_id] },
        ..oci::image::Image::default()
    };
    let tars = std::iter::once((made.diff_id, made.tar)).collect();
    let names = [image::Reference::parse("made:1").unwrap()];
    store.assemble(&image::Assembled { config: &config, tars: &tars, names: &names, parent: None }).unwrap();
    let digest = made.diff_id;
    assert!(!root.path().join("content/blobs/sha256").join(digest.hex()).exists());
    let path = format!("/v2/made/blobs/{digest}");
    let head = registry.send(Method::HEAD, &path, &[], b"").await.expect(200);
    assert_eq!(head.header("content-length"), made.tar.to_string());
    for _ in 0..2 {
        assert_eq!(digest_of(&registry.get(&path).await.expect(200).body), digest);
    }
    registry.get(&format!("/v2/other/blobs/{digest}")).await.refused(404, "BLOB_UNKNOWN");
    let uploads = fs::read_dir(root.path().join("registry/uploads")).unwrap().count();
    assert_eq!(uploads, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_registry_takes_nothing_and_one_without_deletes_keeps_all() {
    let root = tempfile::tempdir().unwrap();
    let storage = folder(root.path());
    let picture = Picture::of("to stay");
    let registry = Registry::start_as(storage.clone(), Changes::Push, None).await;
    picture.push(&registry, "a", "1").await;
    registry.delete("/v2/a/manifests/1").await.refused(405, "UNSUPPORTED");
    let closed = Registry::start_as(storage, Changes::None, None).await;
    closed.send(Method::POST, "/v2/a/blobs/uploads/", &[], b"").await.refused(405, "UNSUPPORTED");
    closed.get("/v2/a/manifests/1").await.expect(200);
}
