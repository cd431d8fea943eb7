//! The driver that is a cache, over a folder that can be unplugged.

use super::Registry;
use super::conformance;
use super::material::{Picture, put};
use crate::blobs::digest_of;
use crate::folder::Folder;
use crate::name::Repository;
use crate::proxy::Proxy;
use crate::proxy::upstream::{Remote, Upstream};
use crate::storage::{Content, Storage};
use base::Digest;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use oci::image::{Descriptor, media};
use registry::{Document, Error};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn folder(root: &Path) -> Arc<Folder> {
    Arc::new(Folder::open(root, DAY).unwrap())
}

/// Another folder as the upstream registry, which can be counted and unplugged.
struct Other {
    folder: Arc<Folder>,
    away: AtomicBool,
    blobs: AtomicUsize,
    spoil: AtomicBool,
    panic: AtomicBool,
}

impl Other {
    fn answer<T>(&self, result: Result<T, crate::fault::Fault>) -> Result<T, Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("unplugged".to_owned()));
        }
        result.map_err(|fault| Error::NotFound(fault.message))
    }
}

impl Upstream for Other {
    fn manifest(&self, path: &str, reference: &str) -> Result<Document, Error> {
        let reference = crate::name::Reference::parse(reference).unwrap();
        let found = self.answer(self.folder.manifest(&Repository::parse(path).unwrap(), &reference))?;
        Ok(Document { bytes: found.bytes, media_type: found.media_type, digest: found.digest })
    }

    fn find_manifest(&self, path: &str, reference: &str) -> Result<Option<Descriptor>, Error> {
        let found = match self.manifest(path, reference) {
            Err(Error::NotFound(_)) => return Ok(None),
            other => other?,
        };
        let size = found.bytes.len() as u64;
        let (media_type, digest) = (found.media_type, found.digest);
        Ok(Some(Descriptor { media_type, digest, size, annotations: Default::default(), platform: None }))
    }

    fn find_blob(&self, path: &str, digest: &Digest) -> Result<Option<u64>, Error> {
        match self.answer(self.folder.blob_size(&Repository::parse(path).unwrap(), digest)) {
            Err(Error::NotFound(_)) => Ok(None),
            other => other.map(Some),
        }
    }

    fn blob(&self, path: &str, blob: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        self.blobs.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panic.load(Ordering::SeqCst), "a fetch that dies");
        match self.answer(self.folder.blob(&Repository::parse(path).unwrap(), &blob.digest))? {
            Content::Whole { size, .. } if self.spoil.load(Ordering::SeqCst) => {
                Ok(Box::new(std::io::repeat(b'!').take(size)))
            }
            Content::Whole { file, .. } => Ok(Box::new(file)),
            Content::Arriving(_) => Err(Error::Unavailable("a folder has whole blobs".to_owned())),
        }
    }

    fn tags(&self, path: &str) -> Result<Vec<String>, Error> {
        self.answer(self.folder.tags(&Repository::parse(path).unwrap()))
    }

    fn referrers(&self, path: &str, subject: &Digest) -> Result<Vec<Digest>, Error> {
        let found = self.answer(self.folder.referrers(&Repository::parse(path).unwrap(), subject))?;
        Ok(found.iter().map(|entry| entry["digest"].as_str().unwrap().parse().unwrap()).collect())
    }
}

struct Cached {
    upstream: Arc<Other>,
    source: Registry,
    cache: Registry,
    root: tempfile::TempDir,
}

async fn cached(max_size: Option<u64>) -> Cached {
    let root = tempfile::tempdir().unwrap();
    let source = folder(&root.path().join("source"));
    let upstream = Arc::new(Other {
        folder: source.clone(),
        away: AtomicBool::new(false),
        blobs: AtomicUsize::new(0),
        spoil: AtomicBool::new(false),
        panic: AtomicBool::new(false),
    });
    let kept = Folder::open(&root.path().join("cache"), DAY).unwrap();
    let address = "docker.io".parse().unwrap();
    let proxy = Proxy::new(address, upstream.clone(), kept, max_size);
    let cache = Registry::start(Arc::new(proxy)).await;
    Cached { upstream, source: Registry::start(source).await, cache, root }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_conforms_and_serves_without_its_upstream() {
    let all = cached(None).await;
    let picture = Picture::of("far away");
    picture.push(&all.source, "some/one", "1").await;
    conformance::pull(&all.cache, "some/one", "1", &picture).await;
    let asked = all.upstream.blobs.load(Ordering::SeqCst);
    assert_eq!(asked, 2, "each blob is fetched once");
    all.upstream.away.store(true, Ordering::SeqCst);
    all.cache.get("/v2/some/one/manifests/1").await.expect(200);
    all.cache.get(&format!("/v2/some/one/blobs/{}", digest_of(&picture.layer))).await.expect(200);
    all.cache.get("/v2/some/one/manifests/2").await.expect(502);
    assert_eq!(all.cache.get("/v2/some/one/tags/list").await.json()["tags"], serde_json::json!(["1"]));
    all.cache.send(Method::POST, "/v2/some/one/blobs/uploads/", &[], b"").await.refused(405, "UNSUPPORTED");
    put(&all.cache, "some/one", "1", (media::MANIFEST, &picture.manifest)).await.refused(405, "UNSUPPORTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_conforms_over_the_network() {
    let root = tempfile::tempdir().unwrap();
    let source = Registry::start(folder(&root.path().join("source"))).await;
    let picture = Picture::of("over the wire");
    picture.push(&source, "some/one", "1").await;
    let address: crate::proxy::upstream::Address = format!("http://{}", source.address).parse().unwrap();
    let remote = Remote::new(&address, registry::Credentials::default());
    let kept = Folder::open(&root.path().join("cache"), DAY).unwrap();
    let cache = Registry::start(Arc::new(Proxy::new(address, Arc::new(remote), kept, None))).await;
    conformance::pull(&cache, "some/one", "1", &picture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_finds_a_blob_whose_manifest_it_never_saw() {
    let all = cached(None).await;
    let picture = Picture::of("blob alone");
    picture.push(&all.source, "some/one", "1").await;
    let path = format!("/v2/some/one/blobs/{}", digest_of(&picture.layer));
    let size = picture.layer.len().to_string();
    assert_eq!(all.cache.head(&path).await.expect(200).header("content-length"), size);
    assert_eq!(all.upstream.blobs.load(Ordering::SeqCst), 0, "its bytes are not fetched for that");
    assert!(all.cache.get(&path).await.expect(200).body == picture.layer);
    all.cache.get(&format!("/v2/other/one/blobs/{}", digest_of(&picture.layer))).await.expect(404);
    all.upstream.away.store(true, Ordering::SeqCst);
    assert!(all.cache.get(&path).await.expect(200).body == picture.layer);
    all.upstream.away.store(false, Ordering::SeqCst);
    all.cache.get(&format!("/v2/some/one/blobs/{}", digest_of(b"nowhere"))).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_dies_leaves_nobody_waiting() {
    let all = cached(None).await;
    let picture = Picture::of("dies on its way");
    picture.push(&all.source, "a/b", "1").await;
    let path = format!("/v2/a/b/blobs/{}", digest_of(&picture.layer));
    all.upstream.panic.store(true, Ordering::SeqCst);
    all.cache.get(&path).await.expect(500);
    all.upstream.panic.store(false, Ordering::SeqCst);
    let deadline = SystemTime::now() + Duration::from_secs(60);
    while all.cache.get(&path).await.status != 200 {
        assert!(SystemTime::now() < deadline, "it is fetched again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_follows_a_tag_that_moves() {
    let all = cached(None).await;
    let (first, second) = (Picture::of("one"), Picture::of("two"));
    first.push(&all.source, "library/moving", "x").await;
    assert_eq!(all.cache.get("/v2/moving/manifests/x").await.expect(200).body, first.manifest);
    second.push(&all.source, "library/moving", "x").await;
    assert_eq!(all.cache.get("/v2/library/moving/manifests/x?ns=docker.io").await.body, second.manifest);
    all.cache.get("/v2/library/moving/manifests/x?ns=ghcr.io").await.expect(404);
    all.source.delete("/v2/library/moving/manifests/x").await.expect(202);
    all.cache.get("/v2/moving/manifests/x").await.expect(404);
    all.cache.get(&format!("/v2/moving/manifests/{}", second.digest())).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_keeps_nothing_damaged() {
    let all = cached(None).await;
    let picture = Picture::of("spoiled on its way");
    picture.push(&all.source, "a/b", "1").await;
    all.cache.get("/v2/a/b/manifests/1").await.expect(200);
    all.upstream.spoil.store(true, Ordering::SeqCst);
    let digest = digest_of(&picture.layer);
    let stream = tokio::net::TcpStream::connect(all.cache.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("/v2/a/b/blobs/{digest}")).header("host", "x");
    // The connection may break before the head of the answer is on its way.
    let answered = sender.send_request(request.body(Full::new(Bytes::new())).unwrap()).await;
    if let Some(response) = answered.ok().filter(|response| response.status() == 200) {
        assert!(response.into_body().collect().await.is_err(), "a damaged blob never looks whole");
    }
    assert!(!all.root.path().join("cache/blobs/sha256").join(digest.hex()).exists());
    all.upstream.spoil.store(false, Ordering::SeqCst);
    // Who comes while the broken transfer still ends is told of its failure.
    let deadline = SystemTime::now() + Duration::from_secs(60);
    let mut whole = all.cache.get(&format!("/v2/a/b/blobs/{digest}")).await;
    while whole.status != 200 {
        assert!(SystemTime::now() < deadline, "it is fetched again");
        whole = all.cache.get(&format!("/v2/a/b/blobs/{digest}")).await;
    }
    assert!(whole.body == picture.layer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_stays_within_its_bound() {
    let all = cached(Some(4096)).await;
    for name in ["one", "two", "three"] {
        let picture = Picture::of(name);
        picture.push(&all.source, name, "1").await;
        picture.push(&all.source, &format!("library/{name}"), "1").await;
        all.cache.get(&format!("/v2/{name}/manifests/1")).await.expect(200);
        all.cache.get(&format!("/v2/{name}/blobs/{}", digest_of(&picture.layer))).await.expect(200);
    }
    let kept = |name: &str| {
        let hex = digest_of(&Picture::of(name).layer).hex();
        all.root.path().join("cache/blobs/sha256").join(hex).exists()
    };
    let deadline = SystemTime::now() + Duration::from_secs(60);
    while kept("one") {
        assert!(SystemTime::now() < deadline, "the oldest goes");
        tokio::task::yield_now().await;
    }
    assert!(kept("three"));
}
