//! Images saved into archives that others read. Needs root (layers hold owners).

mod yard;

use base::{Digest, Kind, Kinded};
use image::{Keep, parse_platform};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use yard::{Pack, Yard, archive, layer};

/// The files of an archive, in order.
fn files(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = archive::Reader::new(bytes);
    let mut files = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        let content = reader.content_at_most(1 << 24).unwrap();
        assert_eq!((entry.modified.seconds, entry.uid, entry.gid), (0, 0, 0));
        files.push((String::from_utf8(entry.path).unwrap(), content));
    }
    files
}

fn document(bytes: &[u8], path: &str) -> Value {
    let files: BTreeMap<String, Vec<u8>> = files(bytes).into_iter().collect();
    serde_json::from_slice(&files[path]).unwrap()
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

#[test]
fn an_archive_is_what_docker_writes_with_the_bytes_that_came() {
    let yard = Yard::new();
    let (a, b) = (layer("a", 100_000), layer("b", 10));
    let app = archive(&["example.org/app:1", "app:2"], &[&a, &b], Pack::Gzip);
    yard.load(&app.bytes).unwrap();
    let saved = yard.save(&["app:2", "example.org/app:1", "app:2"]).unwrap();
    let names: Vec<String> = files(&saved).into_iter().map(|(name, _)| name).collect();
    let mut expected = ["oci-layout", "index.json", "manifest.json", "repositories", "blobs/", "blobs/sha256/"]
        .map(str::to_owned)
        .to_vec();
    let mut documents = [path(&app.id), path(&app.manifest)];
    documents.sort();
    expected.extend(documents);
    expected.extend(app.blobs.iter().map(path));
    assert_eq!(names, expected);
    for (name, content) in files(&saved) {
        if let Some(hex) = name.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
            assert_eq!(yard::sha(&content).hex(), hex);
        }
    }
    assert_eq!(
        document(&saved, "manifest.json"),
        json!([{ "Config": path(&app.id), "RepoTags": ["app:2", "example.org/app:1"],
                 "Layers": app.blobs.iter().map(path).collect::<Vec<_>>() }])
    );
    let index = document(&saved, "index.json");
    assert_eq!(index["manifests"][0]["digest"], app.manifest.to_string());
    assert_eq!(
        index["manifests"][0]["annotations"],
        json!({ "io.containerd.image.name": "docker.io/library/app:2", "org.opencontainers.image.ref.name": "2" })
    );
    let top = app.diff_ids[1].hex();
    assert_eq!(document(&saved, "repositories"), json!({ "app": { "2": top }, "example.org/app": { "1": top } }));
    assert_eq!(document(&saved, "oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }));
}

#[test]
fn a_save_and_a_load_change_no_digest() {
    for pack in [Pack::Plain, Pack::Gzip, Pack::DockerGzip, Pack::Zstd] {
        let (here, there) = (Yard::new(), Yard::new());
        let app = archive(&["app:1"], &[&layer("a", 200_000), &layer("b", 10)], pack);
        here.load(&app.bytes).unwrap();
        let saved = here.save(&["app:1"]).unwrap();
        there.load(&saved).unwrap();
        let image = there.store.get("app:1").unwrap();
        assert_eq!((image.id, image.manifest), (app.id, app.manifest));
        assert_eq!(there.on_disk(), here.on_disk());
        assert_eq!(there.save(&["app:1"]).unwrap(), saved);
    }
}

#[test]
fn zstd_layers_are_there_a_second_time_for_readers_that_do_not_know_them() {
    let yard = Yard::new();
    let app = archive(&["app:1"], &[&layer("a", 200_000)], Pack::Zstd);
    yard.load(&app.bytes).unwrap();
    let saved = yard.save(&["app"]).unwrap();
    assert_eq!(document(&saved, "manifest.json")[0]["Layers"], json!([path(&app.diff_ids[0])]));
    let manifest = document(&saved, &path(&app.manifest));
    assert_eq!(manifest["layers"][0]["digest"], app.blobs[0].to_string());
    let plain = files(&saved).into_iter().find(|(name, _)| *name == path(&app.diff_ids[0])).unwrap().1;
    assert_eq!(yard::sha(&plain), app.diff_ids[0]);
}

#[test]
fn a_layer_that_is_needed_in_two_forms_is_there_once_in_each() {
    let yard = Yard::new();
    let (a, b) = (layer("a", 3000), layer("b", 10));
    yard.load(&archive(&["zstd:1"], &[&a], Pack::Zstd).bytes).unwrap();
    yard.load(&archive(&["plain:1"], &[&a, &b], Pack::Plain).bytes).unwrap();
    let saved = yard.save(&["zstd", "plain"]).unwrap();
    let mut names: Vec<String> = files(&saved).into_iter().map(|(name, _)| name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    let there = Yard::new();
    there.load(&saved).unwrap();
    assert_eq!(there.store.get("plain:1").unwrap().lowers.len(), 2);
}

#[test]
fn manifests_of_dockers_type_have_a_twin_that_readers_of_layouts_know() {
    let yard = Yard::new();
    let app = archive(&["app:1"], &[&layer("a", 2000)], Pack::DockerGzip);
    yard.load(&app.bytes).unwrap();
    let saved = yard.save(&["app"]).unwrap();
    let entry = &document(&saved, "index.json")["manifests"][0];
    assert_eq!(entry["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(entry["annotations"]["dhow.image.manifest"], app.manifest.to_string());
    let digest: Digest = entry["digest"].as_str().unwrap().parse().unwrap();
    let twin = document(&saved, &path(&digest));
    assert_eq!(twin["layers"][0]["digest"], app.blobs[0].to_string());
    assert!(!twin.to_string().contains("vnd.docker"), "{twin}");
}

#[test]
fn names_choose_images_as_dockers_do() {
    let yard = Yard::new();
    let one = archive(&["app:1", "app:2", "other:1"], &[&layer("a", 10)], Pack::Gzip);
    let two = archive(&["app:3", "only:latest"], &[&layer("b", 10)], Pack::Gzip);
    yard.load(&one.bytes).unwrap();
    yard.load(&two.bytes).unwrap();
    let tags = |names: &[&str]| -> Vec<Value> {
        let saved = yard.save(names).unwrap();
        document(&saved, "manifest.json").as_array().unwrap().iter().map(|item| item["RepoTags"].clone()).collect()
    };
    assert_eq!(tags(&["app"]), [json!(["app:1", "app:2"]), json!(["app:3"])]);
    assert_eq!(tags(&["app:2", "app:1"]), [json!(["app:2", "app:1"])]);
    assert_eq!(tags(&[&one.id.to_string()]), [Value::Null]);
    assert_eq!(tags(&[&one.id.hex()[..12]]), [Value::Null]);
    assert_eq!(tags(&[&one.id.to_string(), "app:2"]), [json!(["app:2"])]);
    assert_eq!(tags(&["only", "app:1"]), [json!(["only:latest"]), json!(["app:1"])]);
    let untagged = yard.save(&[&one.id.to_string()]).unwrap();
    assert!(files(&untagged).iter().all(|(name, _)| name != "repositories"));
    assert_eq!(document(&untagged, "index.json")["manifests"].as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_saved_is_refused_before_a_byte_is_written() {
    let yard = Yard::new();
    let app = archive(&["app:1"], &[&layer("a", 10)], Pack::Gzip);
    yard.load(&app.bytes).unwrap();
    for (names, kind, text) in [
        (&["app:9"][..], Kind::NotFound, "reference does not exist"),
        (&["app:1", "gone"][..], Kind::NotFound, "no such image: gone"),
        (&["host"][..], Kind::Conflict, "export a container of it"),
    ] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut bytes = Vec::new();
        let error = yard.store.save(&names, None, &mut bytes).unwrap_err();
        assert_eq!((error.kind(), bytes.len()), (kind, 0), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    let mut bytes = Vec::new();
    let arm = parse_platform("linux/arm64").unwrap();
    let error = yard.store.save(&["app:1".to_owned()], Some(&arm), &mut bytes).unwrap_err();
    assert_eq!(error.to_string(), "no suitable export target found for platform linux/arm64");
    yard.store.save(&["app:1".to_owned()], Some(&parse_platform("linux/amd64").unwrap()), &mut bytes).unwrap();
}

#[test]
fn an_image_whose_blobs_were_not_kept_is_refused_unless_its_trees_give_the_same_bytes() {
    let yard = Yard::keeping(Keep::TreesOnly);
    let app = archive(&["app:1"], &[&layer("a", 10)], Pack::Gzip);
    yard.load(&app.bytes).unwrap();
    let error = yard.save(&["app:1"]).unwrap_err();
    assert!(error.to_string().contains("pull or load its image again"), "{error}");

    let mut packed = Vec::new();
    yard.store.layers().repack(&app.diff_ids[0], &mut packed).unwrap();
    let again = archive(&["again:1"], &[&packed], Pack::Gzip);
    yard.load(&again.bytes).unwrap();
    let saved = yard.save(&["again:1"]).unwrap();
    let there = Yard::new();
    there.load(&saved).unwrap();
    assert_eq!(there.store.get("again:1").unwrap().id, again.id);
}
