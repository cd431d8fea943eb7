//! What every driver must do: the cases of the distribution specification.

use super::material::{Picture, part, push_blob, put};
use super::{Registry, Reply};
use crate::blobs::digest_of;
use http::Method;
use oci::image::media;
use serde_json::json;

/// Pulling and content discovery, of an image that is there as `repository`:`tag`.
pub async fn pull(registry: &Registry, repository: &str, tag: &str, picture: &Picture) {
    let base = registry.get("/v2/").await.expect(200);
    assert_eq!(base.header("docker-distribution-api-version"), "registry/2.0");
    for reference in [tag.to_owned(), picture.digest().to_string()] {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let got = registry.get(&path).await.expect(200);
        assert_eq!(got.body, picture.manifest);
        assert_eq!(got.header("content-type"), media::MANIFEST);
        assert_eq!(got.header("docker-content-digest"), picture.digest().to_string());
        let head = registry.head(&path).await.expect(200);
        assert_eq!(head.header("content-length"), picture.manifest.len().to_string());
        assert_eq!(head.header("docker-content-digest"), picture.digest().to_string());
        let known = [("if-none-match", got.header("etag"))];
        registry.send(Method::GET, &path, &known, b"").await.expect(304);
    }
    for blob in [&picture.config, &picture.layer] {
        blob_in_parts(registry, repository, blob).await;
    }
    let missing = digest_of(b"nobody has this");
    registry.get(&format!("/v2/{repository}/manifests/{missing}")).await.refused(404, "MANIFEST_UNKNOWN");
    registry.get(&format!("/v2/{repository}/manifests/no-such-tag")).await.refused(404, "MANIFEST_UNKNOWN");
    registry.get(&format!("/v2/{repository}/blobs/{missing}")).await.refused(404, "BLOB_UNKNOWN");
    registry.head(&format!("/v2/{repository}/blobs/{missing}")).await.expect(404);
    registry.get("/v2/no/such/name/tags/list").await.refused(404, "NAME_UNKNOWN");
    registry.get("/v2/Bad_/tags/list").await.refused(400, "NAME_INVALID");
    registry.get(&format!("/v2/{repository}/blobs/sha256:short")).await.refused(400, "DIGEST_INVALID");
    registry.get(&format!("/v2/{repository}/manifests/sha256:short")).await.refused(400, "DIGEST_INVALID");
    let tags = registry.get(&format!("/v2/{repository}/tags/list")).await.expect(200).json();
    assert_eq!(tags["name"], repository);
    assert!(tags["tags"].as_array().unwrap().contains(&json!(tag)));
    let catalog = registry.get("/v2/_catalog").await.expect(200).json();
    assert!(catalog["repositories"].as_array().unwrap().contains(&json!(repository)), "{catalog}");
    let none = registry.get(&format!("/v2/{repository}/referrers/{missing}")).await.expect(200);
    assert_eq!((none.header("content-type"), none.json()["manifests"].clone()), (media::INDEX, json!([])));
}

async fn blob_in_parts(registry: &Registry, repository: &str, blob: &[u8]) {
    let path = format!("/v2/{repository}/blobs/{}", digest_of(blob));
    let head = registry.head(&path).await.expect(200);
    assert_eq!(head.header("content-length"), blob.len().to_string());
    let got = registry.get(&path).await.expect(200);
    assert!(got.body == blob);
    assert_eq!(got.header("accept-ranges"), "bytes");
    let get = |range: &'static str| {
        let path = path.clone();
        async move { registry.send(Method::GET, &path, &[("range", range)], b"").await }
    };
    let middle = get("bytes=2-5").await.expect(206);
    assert_eq!(middle.body, &blob[2..6]);
    assert_eq!(middle.header("content-range"), format!("bytes 2-5/{}", blob.len()));
    assert_eq!(get("bytes=-3").await.expect(206).body, &blob[blob.len() - 3..]);
    assert_eq!(get("bytes=7-").await.expect(206).body, &blob[7..]);
    let beyond = get("bytes=99999999-").await.expect(416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", blob.len()));
}

/// Pushing in all its ways.
pub async fn push(registry: &Registry) {
    push_whole(registry).await;
    push_in_chunks(registry).await;
    refused_uploads(registry).await;
    mounts(registry).await;
    let picture = Picture::of("an image");
    picture.push(registry, "made/here", "v1").await;
    pull(registry, "made/here", "v1", &picture).await;
    refused_manifests(registry, &picture).await;
    tag_pages(registry).await;
    indexes(registry).await;
    referrers(registry).await;
}

async fn push_whole(registry: &Registry) {
    let blob = b"put after post";
    let started = registry.send(Method::POST, "/v2/made/blobs/blobs/uploads/", &[], b"").await.expect(202);
    let location = started.header("location");
    let path = format!("{location}?digest={}", digest_of(blob));
    let done = registry.send(Method::PUT, &path, &[], blob).await.expect(201);
    let got = registry.get(done.header("location")).await.expect(200);
    assert_eq!(got.body, blob);
    registry.get(location).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    let empty = push_blob(registry, "made/blobs", b"").await;
    assert_eq!(registry.get(&format!("/v2/made/blobs/blobs/{empty}")).await.expect(200).body, b"");
    // Large enough for several batches.
    let large: Vec<u8> = (0..5_000_000u32).map(|at| u8::try_from(at % 253).unwrap()).collect();
    let digest = push_blob(registry, "made/blobs", &large).await;
    assert!(registry.get(&format!("/v2/made/blobs/blobs/{digest}")).await.expect(200).body == large);
}

async fn push_in_chunks(registry: &Registry) {
    let started = registry.send(Method::POST, "/v2/made/blobs/blobs/uploads/", &[], b"").await.expect(202);
    let patch = |location: String, range: &'static str, bytes: &'static [u8]| async move {
        registry.send(Method::PATCH, &location, &[("content-range", range)], bytes).await
    };
    let location = started.header("location").to_owned();
    let first = patch(location.clone(), "0-4", b"01234").await.expect(202);
    assert_eq!(first.header("range"), "0-4");
    let wrong = patch(location.clone(), "7-8", b"78").await.expect(416);
    assert_eq!(wrong.header("range"), "0-4");
    patch(location.clone(), "5-9", b"56").await.refused(400, "SIZE_INVALID");
    patch(location.clone(), "junk", b"56").await.refused(400, "BLOB_UPLOAD_INVALID");
    let state = registry.get(&location).await.expect(204);
    assert_eq!((state.header("range"), state.header("location")), ("0-4", location.as_str()));
    patch(first.header("location").to_owned(), "5-6", b"56").await.expect(202);
    let digest = digest_of(b"012345678");
    let path = format!("{location}?digest={digest}");
    registry.send(Method::PUT, &path, &[("content-range", "6-7")], b"78").await.expect(416);
    registry.send(Method::PUT, &path, &[("content-range", "7-8")], b"78").await.expect(201);
    assert_eq!(registry.get(&format!("/v2/made/blobs/blobs/{digest}")).await.expect(200).body, b"012345678");
}

async fn refused_uploads(registry: &Registry) {
    let uploads = "/v2/made/blobs/blobs/uploads/";
    let wrong = digest_of(b"something else");
    registry.send(Method::POST, &format!("{uploads}?digest={wrong}"), &[], b"x").await.refused(400, "DIGEST_INVALID");
    registry.head(&format!("/v2/made/blobs/blobs/{wrong}")).await.expect(404);
    let started = registry.send(Method::POST, uploads, &[], b"").await.expect(202);
    let location = started.header("location");
    registry.send(Method::PUT, location, &[], b"x").await.refused(400, "DIGEST_INVALID");
    let path = format!("{location}?digest=sha512:{}", "0".repeat(128));
    registry.send(Method::PUT, &path, &[], b"x").await.refused(400, "DIGEST_INVALID");
    registry.send(Method::PATCH, &location.replace("made/blobs", "made/other"), &[], b"x").await.expect(404);
    registry.delete(location).await.expect(204);
    registry.delete(location).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    registry.send(Method::PATCH, location, &[], b"x").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    registry.send(Method::POST, &format!("{uploads}?digest-algorithm=sha512"), &[], b"").await.expect(400);
}

async fn mounts(registry: &Registry) {
    let digest = push_blob(registry, "made/blobs", b"to be mounted").await;
    let mount = |from: &str, digest: &base::Digest| {
        let path = format!("/v2/made/mounted/blobs/uploads/?mount={digest}{from}");
        async move { registry.send(Method::POST, &path, &[], b"").await }
    };
    mount("&from=made/nowhere", &digest).await.expect(202);
    let done = mount("&from=made/blobs", &digest).await.expect(201);
    assert_eq!(registry.get(done.header("location")).await.expect(200).body, b"to be mounted");
    mount("&from=made/blobs", &digest_of(b"nothing")).await.expect(202);
}

async fn refused_manifests(registry: &Registry, picture: &Picture) {
    let send = |reference: &'static str, media_type: &'static str, bytes: Vec<u8>| async move {
        put(registry, "made/here", reference, (media_type, &bytes)).await
    };
    let other = Picture::of("blobs that nobody pushed");
    let refused = send("x", media::MANIFEST, other.manifest.clone()).await.refused(400, "MANIFEST_BLOB_UNKNOWN");
    assert!(refused.json()["errors"][0]["detail"]["digest"].is_string());
    send("x", media::INDEX, picture.manifest.clone()).await.refused(400, "MANIFEST_INVALID");
    send("x", "text/plain", b"{}".to_vec()).await.refused(400, "MANIFEST_INVALID");
    send("x", media::MANIFEST, b"no json".to_vec()).await.refused(400, "MANIFEST_INVALID");
    send("x", media::MANIFEST, vec![b' '; 4 * 1024 * 1024 + 1]).await.expect(413);
    let mut both: serde_json::Value = serde_json::from_slice(&picture.manifest).unwrap();
    both["manifests"] = json!([]);
    send("x", media::MANIFEST, both.to_string().into_bytes()).await.refused(400, "MANIFEST_INVALID");
    send("-bad", media::MANIFEST, picture.manifest.clone()).await.refused(400, "MANIFEST_INVALID");
    let wrong = format!("sha256:{}", "0".repeat(64));
    put(registry, "made/here", &wrong, (media::MANIFEST, &picture.manifest)).await.refused(400, "DIGEST_INVALID");
    registry.get("/v2/made/here/manifests/x").await.refused(404, "MANIFEST_UNKNOWN");
}

async fn tag_pages(registry: &Registry) {
    let picture = Picture::of("many names");
    picture.push_blobs(registry, "made/tags").await;
    for tag in ["c", "a", "d", "b"] {
        put(registry, "made/tags", tag, (media::MANIFEST, &picture.manifest)).await.expect(201);
    }
    let list = |query: &'static str| registry.get_tags("made/tags", query);
    assert_eq!(list("").await.json()["tags"], json!(["a", "b", "c", "d"]));
    let first = list("?n=2").await;
    assert_eq!(first.json()["tags"], json!(["a", "b"]));
    assert_eq!(first.header("link"), r#"</v2/made/tags/tags/list?n=2&last=b>; rel="next""#);
    let second = list("?n=2&last=b").await;
    assert_eq!((second.json()["tags"].clone(), second.header("link")), (json!(["c", "d"]), ""));
    assert_eq!(list("?last=c").await.json()["tags"], json!(["d"]));
    assert_eq!(list("?n=0").await.json()["tags"], json!([]));
    registry.get("/v2/made/tags/tags/list?n=x").await.expect(400);
    let page = registry.get("/v2/_catalog?n=1").await.expect(200);
    assert!(page.header("link").starts_with("</v2/_catalog?n=1&last="), "{:?}", page.headers);
}

impl Registry {
    async fn get_tags(&self, repository: &str, query: &str) -> Reply {
        self.get(&format!("/v2/{repository}/tags/list{query}")).await.expect(200)
    }
}

async fn indexes(registry: &Registry) {
    let picture = Picture::of("one of several");
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media::INDEX,
        "manifests": [part(media::MANIFEST, &picture.manifest)],
    });
    let index = index.to_string().into_bytes();
    put(registry, "made/index", "all", (media::INDEX, &index)).await.refused(400, "MANIFEST_BLOB_UNKNOWN");
    picture.push(registry, "made/index", &picture.digest().to_string()).await;
    put(registry, "made/index", "all", (media::INDEX, &index)).await.expect(201);
    let got = registry.get("/v2/made/index/manifests/all").await.expect(200);
    assert_eq!((got.body, got.headers["content-type"].to_str().unwrap()), (index.clone(), media::INDEX));
    let path = format!("/v2/made/index/manifests/{}?tag=x&tag=y", digest_of(&index));
    let tagged = registry.send(Method::PUT, &path, &[("content-type", media::INDEX)], &index).await.expect(201);
    assert_eq!(tagged.headers.get_all("oci-tag").iter().count(), 2);
    assert_eq!(registry.get("/v2/made/index/manifests/y").await.expect(200).body, index);
}

async fn referrers(registry: &Registry) {
    let subject = digest_of(b"a manifest that comes later");
    let config = b"{}";
    push_blob(registry, "made/notes", config).await;
    let note = |artifact_type: &str| {
        let empty = part("application/vnd.oci.empty.v1+json", config);
        let mut note = json!({
            "schemaVersion": 2, "mediaType": media::MANIFEST, "config": empty, "layers": [],
            "subject": { "mediaType": media::MANIFEST, "digest": subject, "size": 27 },
            "annotations": { "said": "yes" },
        });
        if !artifact_type.is_empty() {
            note["artifactType"] = json!(artifact_type);
        }
        note.to_string().into_bytes()
    };
    for kind in ["application/x-a", "application/x-b", ""] {
        let bytes = note(kind);
        let reference = digest_of(&bytes).to_string();
        let done = put(registry, "made/notes", &reference, (media::MANIFEST, &bytes)).await.expect(201);
        assert_eq!(done.header("oci-subject"), subject.to_string());
    }
    let path = format!("/v2/made/notes/referrers/{subject}");
    let all = registry.get(&path).await.expect(200).json();
    assert_eq!(all["manifests"].as_array().unwrap().len(), 3);
    let some = registry.get(&format!("{path}?artifactType=application/x-a")).await.expect(200);
    assert_eq!(some.header("oci-filters-applied"), "artifactType");
    let list = some.json()["manifests"].clone();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["annotations"]["said"]), (1, &json!("yes")));
    let by_config = registry.get(&format!("{path}?artifactType=application/vnd.oci.empty.v1%2Bjson")).await;
    assert_eq!(by_config.json()["manifests"].as_array().unwrap().len(), 1);
    registry.get("/v2/made/notes/referrers/junk").await.refused(400, "DIGEST_INVALID");
    let first = all["manifests"][0]["digest"].as_str().unwrap();
    registry.delete(&format!("/v2/made/notes/manifests/{first}")).await.expect(202);
    assert_eq!(registry.get(&path).await.json()["manifests"].as_array().unwrap().len(), 2);
}

/// Content management: tags, manifests, and what is left then.
pub async fn delete(registry: &Registry) {
    let picture = Picture::of("soon gone");
    picture.push(registry, "made/gone", "a").await;
    put(registry, "made/gone", "b", (media::MANIFEST, &picture.manifest)).await.expect(201);
    registry.delete("/v2/made/gone/manifests/a").await.expect(202);
    registry.get("/v2/made/gone/manifests/a").await.expect(404);
    registry.get("/v2/made/gone/manifests/b").await.expect(200);
    let by_digest = format!("/v2/made/gone/manifests/{}", picture.digest());
    registry.delete(&by_digest).await.expect(202);
    registry.get(&by_digest).await.refused(404, "MANIFEST_UNKNOWN");
    registry.get("/v2/made/gone/manifests/b").await.refused(404, "MANIFEST_UNKNOWN");
    registry.delete(&by_digest).await.expect(404);
}
