//! Images on real stores: loaded, named, imported, removed. Needs root (layers hold devices and owners).

use archive::fixture::Tar;
use base::{Digest, Kind, Kinded};
use image::{Error, Force, HostMask, Import, Keep, Progress, Removed, Store};
use serde_json::{Value, json};
use sha2::Digest as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn sha(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Yard {
    folder: tempfile::TempDir,
    store: Store,
}

impl Yard {
    fn new() -> Yard {
        Yard::keeping(Keep::Blobs)
    }

    fn keeping(keep: Keep) -> Yard {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_keeping(folder.path(), HostMask::default(), keep).unwrap();
        Yard { folder, store }
    }

    fn reopen(self) -> Yard {
        let Yard { folder, store } = self;
        drop(store);
        let store = Store::open(folder.path(), HostMask::default()).unwrap();
        Yard { folder, store }
    }

    fn load(&self, archive: &[u8]) -> Result<Vec<Progress>, Error> {
        let mut seen = Vec::new();
        self.store.load(&mut &archive[..], &mut |step| seen.push(step))?;
        Ok(seen)
    }

    fn names(folder: PathBuf) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Names of all blobs and all layers, and what is half-done.
    fn on_disk(&self) -> (Vec<String>, Vec<String>) {
        let root = self.folder.path();
        assert!(Self::names(root.join("layers/tmp")).is_empty());
        assert!(Self::names(root.join("content/ingest")).is_empty());
        (Self::names(root.join("content/blobs/sha256")), Self::names(root.join("layers/sha256")))
    }

    fn is_empty(&self) -> bool {
        let (blobs, layers) = self.on_disk();
        let index = fs::read_to_string(self.folder.path().join("content/index.json")).unwrap();
        blobs.is_empty() && layers.is_empty() && index.contains(r#""manifests":[]"#)
    }

    /// The archive is refused and leaves nothing.
    fn refuses(&self, archive: &[u8]) -> Error {
        let error = self.load(archive).unwrap_err();
        assert!(self.is_empty(), "{error}: {:?}", self.on_disk());
        error
    }
}

fn loaded(steps: &[Progress]) -> Vec<String> {
    steps
        .iter()
        .filter_map(|step| match step {
            Progress::Loaded { tag } => Some(tag.clone()),
            Progress::LoadedUntagged { id } => Some(id.to_string()),
            _ => None,
        })
        .collect()
}

fn config_of(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| sha(layer).to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09Z",
        "config": { "Cmd": ["sh"], "Env": ["A=1"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    serde_json::to_vec(&config).unwrap()
}

fn layer_a() -> Vec<u8> {
    Tar::new().folder("bin", 0o755).file("bin/sh", &[7; 300_000]).finish()
}

fn layer_b() -> Vec<u8> {
    Tar::new().file("etc/b", b"b").file(".wh.gone", b"").finish()
}

/// As `docker save` wrote until 24.0: a folder per layer, configuration and manifest.json at the end.
fn docker_old(tags: &[&str], layers: &[&[u8]]) -> Vec<u8> {
    let config = config_of(layers);
    let config_name = format!("{}.json", sha(&config).hex());
    let mut tar = Tar::new();
    let mut paths = Vec::new();
    for (n, layer) in layers.iter().enumerate() {
        let id = sha(format!("v1 {n}").as_bytes()).hex();
        tar = tar
            .folder(&format!("{id}/"), 0o755)
            .file(&format!("{id}/VERSION"), b"1.0")
            .file(&format!("{id}/json"), b"{}");
        let same = layers[..n].iter().position(|other| other == layer);
        tar = match same {
            Some(same) => tar.symlink(
                &format!("{id}/layer.tar"),
                &format!("../{}/layer.tar", sha(format!("v1 {same}").as_bytes()).hex()),
            ),
            None => tar.file(&format!("{id}/layer.tar"), layer),
        };
        paths.push(format!("{id}/layer.tar"));
    }
    let manifest = json!([{ "Config": config_name, "RepoTags": tags, "Layers": paths }]);
    tar.file(&config_name, &config)
        .file("manifest.json", &serde_json::to_vec(&manifest).unwrap())
        .file("repositories", br#"{"a":{"latest":"x"}}"#)
        .finish()
}

/// The files of an OCI layout.
#[derive(Default)]
struct Layout {
    blobs: Vec<Vec<u8>>,
    index: Vec<Value>,
}

impl Layout {
    fn blob(&mut self, media: &str, bytes: &[u8]) -> Value {
        self.blobs.push(bytes.to_vec());
        json!({ "mediaType": media, "digest": sha(bytes).to_string(), "size": bytes.len() })
    }

    /// Adds an image and returns its descriptor.
    fn image(&mut self, config: &[u8], layers: &[(&str, &[u8])]) -> Value {
        let config = self.blob("application/vnd.oci.image.config.v1+json", config);
        let layers: Vec<Value> = layers.iter().map(|(media, bytes)| self.blob(media, bytes)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
            "annotations": { "kept": "byte for byte" },
        });
        self.blob(MANIFEST, &serde_json::to_vec_pretty(&manifest).unwrap())
    }

    fn name(&mut self, mut descriptor: Value, key: &str, name: &str) {
        descriptor["annotations"] = json!({ key: name });
        self.index.push(descriptor);
    }

    fn finish(self) -> Vec<u8> {
        let index = json!({ "schemaVersion": 2, "manifests": self.index });
        self.with_index(&serde_json::to_vec(&index).unwrap())
    }

    fn with_index(self, index: &[u8]) -> Vec<u8> {
        let mut tar = Tar::new().file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).file("index.json", index);
        for blob in &self.blobs {
            tar = tar.file(&format!("blobs/sha256/{}", sha(blob).hex()), blob);
        }
        tar.finish()
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const FULL: &str = "io.containerd.image.name";
const REF: &str = "org.opencontainers.image.ref.name";

fn oci_archive(name: &str) -> Vec<u8> {
    let (a, b) = (layer_a(), layer_b());
    let mut layout = Layout::default();
    let image = layout.image(&config_of(&[&a, &b]), &[(TAR_GZIP, &gzip(&a)), (TAR, &b)]);
    layout.name(image, FULL, name);
    layout.finish()
}

#[test]
fn an_old_docker_archive_is_loaded_and_survives_a_restart() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    let archive = docker_old(&["busybox:latest", "example.org/x/y:1"], &[&a, &b, &a]);
    let steps = yard.load(&archive).unwrap();
    assert_eq!(loaded(&steps), ["busybox:latest", "example.org/x/y:1"]);
    assert!(steps.iter().any(|step| matches!(step, Progress::LayerDone { .. })));
    let yard = yard.reopen();
    let image = yard.store.get("busybox").unwrap();
    assert_eq!(image.id, sha(&config_of(&[&a, &b, &a])));
    assert_eq!(image.tags, ["busybox:latest", "example.org/x/y:1"]);
    assert_eq!(image.config.config.cmd.as_deref().unwrap(), ["sh"]);
    let (a, b) = (layer::Lower::Layer(sha(&a)), layer::Lower::Layer(sha(&b)));
    assert_eq!(image.lowers, [a.clone(), b, a]);
    assert_eq!(image.size, 600_001);
    assert!(image.tagged_at.starts_with("20"), "{}", image.tagged_at);
    let (blobs, layers) = yard.on_disk();
    assert_eq!((blobs.len(), layers.len()), (4, 2));
    assert_eq!(fs::read(yard.store.layers().diff(&sha(&layer_b())).join("etc/b")).unwrap(), b"b");
}

#[test]
fn the_layout_on_disk_is_valid() {
    let yard = Yard::new();
    yard.load(&docker_old(&["busybox:latest"], &[&layer_a(), &layer_b()])).unwrap();
    yard.load(&oci_archive("docker.io/library/oci:1")).unwrap();
    let content = yard.folder.path().join("content");
    let index: Value = serde_json::from_slice(&fs::read(content.join("index.json")).unwrap()).unwrap();
    let mut names = Vec::new();
    let read = |descriptor: &Value| -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = fs::read(content.join("blobs/sha256").join(digest)).unwrap();
        assert_eq!(sha(&bytes).hex(), digest);
        assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
        bytes
    };
    for entry in index["manifests"].as_array().unwrap() {
        names.push((
            entry["annotations"][REF].as_str().unwrap().to_owned(),
            entry["annotations"][FULL].as_str().unwrap().to_owned(),
        ));
        let manifest: Value = serde_json::from_slice(&read(entry)).unwrap();
        let config: Value = serde_json::from_slice(&read(&manifest["config"])).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), layers.len());
        layers.iter().for_each(|layer| drop(read(layer)));
    }
    // Both archives hold the same image.
    let full = |name: &str| (name.to_owned(), format!("docker.io/library/{name}"));
    assert_eq!(names, [full("busybox:latest"), full("oci:1")]);
}

#[test]
fn oci_archives_keep_their_manifest_and_their_blobs() {
    let (a, b) = (layer_a(), layer_b());
    for whole in [oci_archive("docker.io/library/x:1"), gzip(&oci_archive("docker.io/library/x:1"))] {
        let yard = Yard::new();
        assert_eq!(loaded(&yard.load(&whole).unwrap()), ["x:1"]);
        let image = yard.store.get("x:1").unwrap();
        let manifest = fs::read(yard.folder.path().join("content/blobs/sha256").join(image.manifest.hex())).unwrap();
        assert!(String::from_utf8(manifest).unwrap().contains("byte for byte"));
        let (blobs, _) = yard.on_disk();
        assert!(blobs.contains(&sha(&gzip(&a)).hex()) && blobs.contains(&sha(&b).hex()));
        assert_eq!(yard.store.get(&format!("x@{}", image.manifest)).unwrap().id, image.id);
        assert!(yard.store.get(&format!("y@{}", image.manifest)).is_err());
        // Once more: nothing new.
        let before = yard.on_disk();
        assert_eq!(loaded(&yard.load(&whole).unwrap()), ["x:1"]);
        assert_eq!(yard.on_disk(), before);
    }
}

#[test]
fn a_policy_can_keep_trees_only() {
    let yard = Yard::keeping(Keep::TreesOnly);
    yard.load(&oci_archive("docker.io/library/x:1")).unwrap();
    let (blobs, layers) = yard.on_disk();
    assert_eq!((blobs.len(), layers.len()), (2, 2));
    let yard = yard.reopen();
    assert_eq!(yard.store.get("x:1").unwrap().lowers.len(), 2);
}

#[test]
fn names_of_oci_archives_are_full_names_only() {
    let a = layer_a();
    let mut layout = Layout::default();
    let image = layout.image(&config_of(&[&a]), &[(TAR, &a)]);
    layout.name(image, REF, "latest");
    let yard = Yard::new();
    let id = sha(&config_of(&[&a]));
    assert_eq!(loaded(&yard.load(&layout.finish()).unwrap()), [id.to_string()]);
    assert!(yard.store.get(&id.short()).unwrap().tags.is_empty());
    let yard = yard.reopen();
    assert_eq!(yard.store.get(&id.to_string()).unwrap().id, id);
}

#[test]
fn an_index_gives_the_image_of_this_machine() {
    let machine = image::machine_platform();
    let (a, b) = (layer_a(), layer_b());
    let archive = |ours: &str, both: bool| {
        let mut layout = Layout::default();
        let mut first = layout.image(&config_of(&[&a]), &[(TAR, &a)]);
        first["platform"] = json!({ "architecture": "s390x", "os": "linux" });
        let mut all = vec![first];
        if both {
            let mut second = layout.image(&config_of(&[&b]), &[(TAR, &b)]);
            second["platform"] = json!({ "architecture": ours, "os": "linux" });
            all.push(second);
        }
        let mut attestation = all[0].clone();
        attestation["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
        attestation["digest"] = json!(sha(b"not here").to_string());
        all.push(attestation);
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": all });
        let descriptor = layout.blob(INDEX, &serde_json::to_vec(&index).unwrap());
        layout.name(descriptor, FULL, "docker.io/library/multi:1");
        layout.finish()
    };
    let yard = Yard::new();
    yard.load(&archive(&machine.architecture, true)).unwrap();
    assert_eq!(yard.store.get("multi:1").unwrap().id, sha(&config_of(&[&b])));
    // The other platform's image is of the same name, and shown for that platform only.
    assert_eq!(yard.on_disk().1.len(), 2);
    let other = image::parse_platform("linux/s390x").unwrap();
    assert_eq!(yard.store.get_for("multi:1", Some(&other)).unwrap().id, sha(&config_of(&[&a])));
    assert_eq!(
        yard.store.list().unwrap().iter().filter(|image| image.id != yard.store.get("host").unwrap().id).count(),
        1
    );

    let yard = Yard::new();
    yard.load(&archive("", false)).unwrap();
    assert_eq!(yard.store.get("multi:1").unwrap().id, sha(&config_of(&[&a])));

    // None of them is for this machine: the first is shown.
    let yard = Yard::new();
    yard.load(&archive("ppc64le", true)).unwrap();
    assert_eq!(yard.store.get("multi:1").unwrap().id, sha(&config_of(&[&a])));
}

#[test]
fn an_archive_gives_the_images_of_the_platform_that_is_asked_for() {
    let load = |yard: &Yard, archive: &[u8], platform: &str| {
        let mut seen = Vec::new();
        let platform = image::parse_platform(platform).unwrap();
        yard.store.load_for(&mut &archive[..], Some(&platform), &mut |step| seen.push(step)).map(|()| loaded(&seen))
    };
    let config = |layer: &[u8], architecture: &str| {
        let mut config: Value = serde_json::from_slice(&config_of(&[layer])).unwrap();
        config["architecture"] = json!(architecture);
        serde_json::to_vec(&config).unwrap()
    };
    let (a, b) = (layer_a(), layer_b());
    let (one, two) = (config(&a, "s390x"), config(&b, "ppc64le"));
    let mut layout = Layout::default();
    let mut all = vec![layout.image(&one, &[(TAR, &a)]), layout.image(&two, &[(TAR, &b)])];
    for (entry, architecture) in all.iter_mut().zip(["s390x", "ppc64le"]) {
        entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": all });
    let index = layout.blob(INDEX, &serde_json::to_vec(&index).unwrap());
    layout.name(index, FULL, "docker.io/library/multi:1");
    let mut single = layout.image(&two, &[(TAR, &b)]);
    single["annotations"] = json!({ FULL: "docker.io/library/single:1" });
    layout.index.push(single);
    let items = json!([
        { "Config": format!("blobs/sha256/{}", sha(&one).hex()), "RepoTags": ["multi:1"],
          "Layers": [format!("blobs/sha256/{}", sha(&a).hex())] },
    ]);
    let oci = layout.finish();
    let listed = serde_json::to_vec(&items).unwrap();
    let docker = [Tar::new().file("manifest.json", &listed).unfinished(), oci.clone()].concat();
    for archive in [&oci, &docker] {
        let yard = Yard::new();
        assert_eq!(load(&yard, archive, "linux/s390x").unwrap(), ["multi:1"]);
        assert_eq!(yard.on_disk().1, [sha(&a).hex()]);
        assert_eq!(load(&yard, archive, "linux/ppc64le").unwrap(), ["multi:1", "single:1"]);
        for (wanted, id) in [("linux/ppc64le", sha(&two)), ("linux/s390x", sha(&one))] {
            let wanted = image::parse_platform(wanted).unwrap();
            assert_eq!(yard.store.get_for("multi:1", Some(&wanted)).unwrap().id, id);
        }
        let error = load(&Yard::new(), archive, "linux/riscv64").unwrap_err();
        assert_eq!(error.to_string(), "no image in the archive is for linux/riscv64");
        assert_eq!(error.kind(), Kind::NotFound);
    }
}

#[test]
fn another_architecture_is_loaded_and_another_system_is_not() {
    let a = layer_a();
    let with = |architecture: &str, os: &str| {
        let mut config: Value = serde_json::from_slice(&config_of(&[&a])).unwrap();
        config["architecture"] = json!(architecture);
        config["os"] = json!(os);
        let mut layout = Layout::default();
        let image = layout.image(&serde_json::to_vec(&config).unwrap(), &[(TAR, &a)]);
        layout.name(image, FULL, "docker.io/library/x:1");
        layout.finish()
    };
    let yard = Yard::new();
    yard.load(&with("s390x", "linux")).unwrap();
    assert_eq!(yard.store.get("x:1").unwrap().config.architecture, "s390x");
    assert!(matches!(Yard::new().refuses(&with("amd64", "windows")), Error::Platform { .. }));
}

#[test]
fn wrong_digests_are_refused_and_leave_nothing() {
    let (a, b) = (layer_a(), layer_b());
    // A layer that is not what the configuration says.
    let mut config: Value = serde_json::from_slice(&config_of(&[&a, &b])).unwrap();
    config["rootfs"]["diff_ids"][0] = json!(sha(b"other").to_string());
    let config = serde_json::to_vec(&config).unwrap();
    let mut layout = Layout::default();
    let image = layout.image(&config, &[(TAR, &a), (TAR, &b)]);
    layout.name(image, FULL, "docker.io/library/x:1");
    let error = Yard::new().refuses(&layout.finish());
    assert!(
        matches!(error, Error::WrongDigest { expected, actual, .. } if expected == sha(b"other") && actual == sha(&a)),
        "{error}"
    );
    // A blob under another blob's name: layer, configuration.
    for position in 0..3 {
        let mut layout = Layout::default();
        let image = layout.image(&config_of(&[&a, &b]), &[(TAR_GZIP, &gzip(&a)), (TAR, &b)]);
        layout.name(image, FULL, "docker.io/library/x:1");
        let named = layout.blobs[position].clone();
        let wrong = if position == 0 { b"{ }".to_vec() } else { gzip(&layer_b()) };
        let mut archive = Tar::new().file(&format!("blobs/sha256/{}", sha(&named).hex()), &wrong).unfinished();
        layout.blobs.remove(position);
        archive.extend(layout.finish());
        let error = Yard::new().refuses(&archive);
        assert!(matches!(error, Error::WrongDigest { .. }), "{position}: {error}");
    }
    // A size that is not the blob's.
    let mut layout = Layout::default();
    let mut image = layout.image(&config_of(&[&a]), &[(TAR, &a)]);
    image["size"] = json!(1);
    layout.name(image, FULL, "docker.io/library/x:1");
    assert_eq!(Yard::new().refuses(&layout.finish()).kind(), Kind::Invalid);
}

#[test]
fn ambiguous_documents_are_refused() {
    let a = layer_a();
    let mut layout = Layout::default();
    let config = layout.blob("application/vnd.oci.image.config.v1+json", &config_of(&[&a]));
    let layer = layout.blob(TAR, &a);
    let both = json!({ "schemaVersion": 2, "config": config, "layers": [layer], "manifests": [] });
    let descriptor = layout.blob(MANIFEST, &serde_json::to_vec(&both).unwrap());
    layout.name(descriptor, FULL, "docker.io/library/x:1");
    assert!(Yard::new().refuses(&layout.finish()).to_string().contains("ambiguous"));

    let mut layout = Layout::default();
    let mut image = layout.image(&config_of(&[&a]), &[(TAR, &a)]);
    image["mediaType"] = json!("application/vnd.docker.distribution.manifest.v2+json");
    layout.name(image, FULL, "docker.io/library/x:1");
    assert!(Yard::new().refuses(&layout.finish()).to_string().contains("ambiguous"));
}

#[test]
fn broken_archives_are_refused_and_leave_nothing() {
    let (a, b) = (layer_a(), layer_b());
    let good = docker_old(&["x:1"], &[&a, &b]);
    for cut in [10, 700, 100_000, good.len() / 2, good.len() - 6000] {
        Yard::new().refuses(&good[..cut]);
    }
    let compressed = gzip(&good);
    Yard::new().refuses(&compressed[..compressed.len() - 100]);
    Yard::new().refuses(b"");
    Yard::new().refuses(b"BZh9 no");
    Yard::new().refuses(&Tar::new().file("hello", b"world").finish());
    Yard::new().refuses(&Tar::new().file("manifest.json", b"[]").finish());
    Yard::new().refuses(&Tar::new().file("manifest.json", b"{").finish());
    Yard::new().refuses(&Tar::new().file("index.json", br#"{"manifests":[]}"#).finish());
    Yard::new().refuses(&Tar::new().file("../manifest.json", b"[]").finish());
    let item = |config: &str, layers: &str| {
        let text = format!(r#"[{{"Config":"{config}","RepoTags":["x:1"],"Layers":{layers}}}]"#);
        Tar::new()
            .file("c.json", &config_of(&[&a]))
            .file("a.tar", &a)
            .symlink("loop", "loop")
            .file("manifest.json", text.as_bytes())
            .finish()
    };
    for (config, layers) in [
        ("missing.json", r#"["a.tar"]"#),
        ("c.json", r#"["missing.tar"]"#),
        ("c.json", "[]"),
        ("c.json", r#"["a.tar","a.tar"]"#),
        ("c.json", r#"["../../a.tar"]"#),
        ("c.json", r#"["loop"]"#),
        ("/etc/passwd", r#"["a.tar"]"#),
        ("c.json", "null"),
    ] {
        let error = Yard::new().refuses(&item(config, layers));
        assert_eq!(error.kind(), Kind::Invalid, "{config} {layers}: {error}");
    }
    Yard::new().load(&item("c.json", r#"["./a.tar"]"#)).unwrap();
}

#[test]
fn hostile_layers_are_refused_with_their_reason() {
    let hostile = Tar::new().symlink("l", "/tmp").file("l/x", b"").finish();
    let error = Yard::new().refuses(&docker_old(&["x:1"], &[&layer_a(), &hostile]));
    assert!(base::chain(&error).contains("goes through a symlink"), "{}", base::chain(&error));
    // A broken file that no image needs is no reason to refuse.
    let mut archive = Tar::new().file("stray.tar", &hostile).unfinished();
    archive.extend(docker_old(&["x:1"], &[&layer_a()]));
    let yard = Yard::new();
    yard.load(&archive).unwrap();
    assert_eq!(yard.on_disk().1.len(), 1);
}

#[test]
fn names_in_archives_are_checked() {
    for tag in ["UPPER:1", "x", "../x:1", "x:1@sha256:00"] {
        Yard::new().refuses(&docker_old(&[tag], &[&layer_a()]));
    }
    for tag in ["host:latest", "docker.io/library/host:latest"] {
        let error = Yard::new().refuses(&docker_old(&[tag], &[&layer_a()]));
        assert!(matches!(error, Error::BuiltIn(_)), "{error}");
    }
    Yard::new().load(&docker_old(&["host:1", "me/host:latest"], &[&layer_a()])).unwrap();
}

#[test]
fn an_image_is_found_by_every_name_docker_knows() {
    let yard = Yard::new();
    yard.load(&docker_old(&["busybox:latest"], &[&layer_a()])).unwrap();
    let id = yard.store.get("busybox").unwrap().id;
    for name in [
        "busybox:latest",
        "library/busybox",
        "docker.io/busybox",
        "docker.io/library/busybox:latest",
        &id.to_string(),
        &id.hex(),
        &id.short(),
        &id.hex()[..3],
        &format!("sha256:{}", &id.hex()[..20]),
    ] {
        assert_eq!(yard.store.get(name).unwrap().id, id, "{name}");
    }
    for name in ["nothing", "busybox:1", "sha256:0000", &sha(b"x").to_string(), &sha(b"x").hex(), "fff0fff0"] {
        assert!(matches!(yard.store.get(name), Err(Error::NotFound(_))), "{name}");
    }
    assert_eq!(
        yard.store.get("Busybox").unwrap_err().to_string(),
        "invalid reference format: repository name (library/Busybox) must be lowercase"
    );
    assert_eq!(yard.store.get("a b").unwrap_err().to_string(), "invalid reference format");
    for n in 0..40u32 {
        let layer = Tar::new().file("n", &n.to_le_bytes()).finish();
        yard.load(&docker_old(&[], &[&layer])).unwrap();
    }
    let all: Vec<String> = yard.store.list().unwrap().iter().map(|image| image.id.hex()).collect();
    let digits = "0123456789abcdef".chars();
    let many = digits.map(|d| d.to_string()).find(|d| all.iter().filter(|id| id.starts_with(d)).count() > 1).unwrap();
    assert!(matches!(yard.store.get(&many), Err(Error::Ambiguous(_))));
}

#[test]
fn tags_move_and_the_image_they_left_stays() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    yard.load(&docker_old(&["x:1"], &[&a])).unwrap();
    yard.load(&docker_old(&["y:1"], &[&b])).unwrap();
    let (x, y) = (yard.store.get("x:1").unwrap().id, yard.store.get("y:1").unwrap().id);
    yard.store.tag("x:1", "z").unwrap();
    yard.store.tag(&x.short(), "y:1").unwrap();
    let yard = yard.reopen();
    assert_eq!(yard.store.get("y:1").unwrap().tags, ["x:1", "y:1", "z:latest"]);
    assert_eq!(yard.store.get(&y.short()).unwrap().tags, [] as [String; 0]);
    let digest_tag = format!("q@{x}");
    assert_eq!(
        yard.store.tag("x:1", &digest_tag).unwrap_err().to_string(),
        "refusing to create a tag with a digest reference"
    );
    assert!(matches!(yard.store.tag("nothing", "q"), Err(Error::NotFound(_))));
    assert!(matches!(yard.store.tag("x:1", "Q"), Err(Error::Reference(_))));
}

#[test]
fn removal_follows_the_rules_of_docker() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    yard.load(&docker_old(&["x:1", "x:2"], &[&a, &b])).unwrap();
    yard.load(&docker_old(&["other:1"], &[&a])).unwrap();
    let (x, other) = (yard.store.get("x:1").unwrap().id, yard.store.get("other:1").unwrap().id);

    assert!(matches!(yard.store.remove(&x.short(), Force::No, &[]), Err(Error::ManyNames { names: 2, .. })));
    assert_eq!(yard.store.remove("x:1", Force::No, &[]).unwrap(), [Removed::Untagged("x:1".into())]);
    let top = Digest::from_bytes(sha2::Sha256::digest(format!("{} {}", sha(&a), sha(&b))).into());
    let gone = yard.store.remove("x:2", Force::No, &[]).unwrap();
    assert_eq!(gone, [Removed::Untagged("x:2".into()), Removed::Deleted(x), Removed::Deleted(top)]);
    assert!(matches!(yard.store.get(&x.to_string()), Err(Error::NotFound(_))));
    // The shared layer stays.
    assert_eq!(yard.on_disk().1, [sha(&a).hex()]);

    // In use: the names go, the image stays.
    assert_eq!(yard.store.remove("other:1", Force::Yes, &[other]).unwrap(), [Removed::Untagged("other:1".into())]);
    let yard = yard.reopen();
    assert!(yard.store.get(&other.to_string()).unwrap().tags.is_empty());
    assert!(yard.store.remove(&other.short(), Force::No, &[other]).unwrap().is_empty());
    let gone = yard.store.remove(&other.short(), Force::No, &[]).unwrap();
    assert_eq!(gone, [Removed::Deleted(other), Removed::Deleted(sha(&a))]);
    assert!(matches!(yard.store.remove("other:1", Force::Yes, &[]), Err(Error::NotFound(_))));
    assert_eq!(yard.on_disk(), (vec![], vec![]));
}

#[test]
fn force_removes_an_image_with_all_its_names() {
    let yard = Yard::new();
    yard.load(&docker_old(&["x:1", "y:1"], &[&layer_a()])).unwrap();
    let id = yard.store.get("x:1").unwrap().id;
    let gone = yard.store.remove(&id.to_string(), Force::Yes, &[]).unwrap();
    let untagged = |name: &str| Removed::Untagged(name.into());
    assert_eq!(gone, [untagged("x:1"), untagged("y:1"), Removed::Deleted(id), Removed::Deleted(sha(&layer_a()))]);
    assert_eq!(yard.on_disk(), (vec![], vec![]));
}

#[test]
fn imports_make_an_image_of_one_layer() {
    let yard = Yard::new();
    let tar = Tar::new().file("bin/sh", b"x").finish();
    let import = Import {
        reference: Some("mine".into()),
        message: "Imported from -".into(),
        changes: vec!["CMD [\"sh\"]".into(), "ENV A=1".into()],
        platform: Some("linux/arm64".into()),
    };
    let id = yard.store.import(&mut &gzip(&tar)[..], &import).unwrap();
    let yard = yard.reopen();
    let image = yard.store.get("mine:latest").unwrap();
    assert_eq!(image.id, id);
    assert_eq!(image.lowers, [layer::Lower::Layer(sha(&tar))]);
    assert_eq!(image.config.config.cmd.as_deref().unwrap(), ["sh"]);
    assert_eq!((image.config.architecture.as_str(), image.config.os.as_str()), ("arm64", "linux"));
    assert_eq!(image.config.history[0].comment, "Imported from -");
    assert!(image.config.created.is_some());

    let before = yard.on_disk();
    for (import, kind) in [
        (Import { reference: Some("Mine".into()), ..Import::default() }, Kind::Invalid),
        (Import { reference: Some("host".into()), ..Import::default() }, Kind::Conflict),
        (Import { changes: vec!["RUN x".into()], ..Import::default() }, Kind::Invalid),
        (Import { platform: Some("a/b/c/d".into()), ..Import::default() }, Kind::Invalid),
    ] {
        assert_eq!(yard.store.import(&mut &tar[..], &import).unwrap_err().kind(), kind);
    }
    for broken in [&tar[..600], &Tar::new().file("../x", b"").finish(), &gzip(&tar)[..40], b"not a tar at all"] {
        assert!(yard.store.import(&mut &broken[..], &Import::default()).is_err());
    }
    assert_eq!(yard.on_disk(), before);
}

#[test]
fn the_host_image_is_built_in() {
    let yard = Yard::new();
    yard.load(&docker_old(&["x:1"], &[&layer_a()])).unwrap();
    let host = yard.store.get("host").unwrap();
    assert_eq!(host.tags, ["host:latest"]);
    assert_eq!(host.lowers, [layer::Lower::HostMask, layer::Lower::Folder("/".into())]);
    for name in ["host:latest", "docker.io/library/host", &host.id.to_string(), &host.id.short(), &host.id.hex()] {
        assert_eq!(yard.store.get(name).unwrap().id, host.id, "{name}");
        assert!(matches!(yard.store.remove(name, Force::Yes, &[]), Err(Error::BuiltIn(_))), "{name}");
    }
    assert!(matches!(yard.store.tag("host", "mine"), Err(Error::BuiltIn(_))));
    assert!(matches!(yard.store.tag("x:1", "host"), Err(Error::BuiltIn(_))));
    let list = yard.store.list().unwrap();
    assert_eq!(list.iter().filter(|image| image.id == host.id).count(), 1);
    let yard = yard.reopen();
    assert_eq!(yard.store.get("host").unwrap().id, host.id);
}

#[test]
fn images_are_listed_newest_first() {
    let yard = Yard::new();
    for (n, created) in [(1, "2024-01-01T00:00:00Z"), (2, "2025-01-01T01:00:00+02:00"), (3, "2024-12-31T23:30:00Z")] {
        let layer = Tar::new().file("n", &[n]).finish();
        let mut config: Value = serde_json::from_slice(&config_of(&[&layer])).unwrap();
        config["created"] = json!(created);
        let mut layout = Layout::default();
        let image = layout.image(&serde_json::to_vec(&config).unwrap(), &[(TAR, &layer)]);
        layout.name(image, FULL, &format!("docker.io/library/n:{n}"));
        yard.load(&layout.finish()).unwrap();
    }
    let tags: Vec<String> = yard.store.list().unwrap().iter().map(|image| image.tags[0].clone()).collect();
    assert_eq!(tags, ["n:3", "n:2", "n:1", "host:latest"]);
}

#[test]
fn loads_and_removals_at_once_keep_what_is_named() {
    let yard = Yard::new();
    let a = layer_a();
    let archives: Vec<Vec<u8>> =
        (0..4u8).map(|n| docker_old(&[&format!("n:{n}")], &[&a, &Tar::new().file("n", &[n]).finish()])).collect();
    std::thread::scope(|scope| {
        for (n, archive) in archives.iter().enumerate() {
            let yard = &yard;
            scope.spawn(move || {
                for _ in 0..8 {
                    yard.load(archive).unwrap();
                    yard.store.remove(&format!("n:{n}"), Force::No, &[]).unwrap();
                }
                yard.load(archive).unwrap();
            });
        }
    });
    let (blobs, layers) = yard.on_disk();
    assert_eq!((blobs.len(), layers.len()), (4 * 2 + 5, 5));
    let yard = yard.reopen();
    for n in 0..4 {
        assert_eq!(yard.store.get(&format!("n:{n}")).unwrap().lowers.len(), 2);
    }
}

#[test]
fn a_start_sweeps_garbage_and_mends_what_it_can() {
    let yard = Yard::new();
    yard.load(&docker_old(&["x:1"], &[&layer_a()])).unwrap();
    yard.load(&docker_old(&["y:1"], &[&layer_b()])).unwrap();
    let root: PathBuf = yard.folder.path().to_owned();
    let x = yard.store.get("x:1").unwrap();
    let y = yard.store.get("y:1").unwrap();
    let before = yard.on_disk();
    fs::write(root.join("content/blobs/sha256").join(sha(b"stray").hex()), b"stray").unwrap();
    fs::create_dir_all(root.join("layers/sha256").join(sha(b"stray").hex()).join("diff")).unwrap();
    // A power cut took x's layer and damaged y's layer and blob.
    fs::remove_dir_all(root.join("layers/sha256").join(sha(&layer_a()).hex())).unwrap();
    fs::remove_dir_all(root.join("layers/sha256").join(sha(&layer_b()).hex())).unwrap();
    fs::write(root.join("content/blobs/sha256").join(sha(&layer_b()).hex()), b"zeros").unwrap();
    let yard = yard.reopen();
    assert_eq!(yard.store.get("x:1").unwrap().id, x.id);
    assert!(yard.store.layers().has(&sha(&layer_a())));
    assert!(matches!(yard.store.get("y:1"), Err(Error::NotFound(_))));
    let (blobs, layers) = yard.on_disk();
    assert_eq!(layers, [sha(&layer_a()).hex()]);
    assert_eq!(blobs.len(), before.0.len() - 3);
    assert!(!blobs.contains(&y.id.hex()));
}

#[test]
fn lookups_read_no_file() {
    let yard = Yard::new();
    yard.load(&docker_old(&["x:1"], &[&layer_a()])).unwrap();
    let content = yard.folder.path().join("content");
    let away = yard.folder.path().join("away");
    fs::rename(&content, &away).unwrap();
    assert_eq!(yard.store.get("x:1").unwrap().tags, ["x:1"]);
    fs::rename(&away, &content).unwrap();
}

fn run(program: &str, words: &[&str]) -> bool {
    std::process::Command::new(program).args(words).status().is_ok_and(|status| status.success())
}

/// Other tools as the judge: skopeo reads our layout and writes archives for us (`cargo test -- --ignored`).
#[test]
#[ignore = "needs skopeo and umoci"]
fn other_tools_read_our_layout_and_we_read_theirs() {
    let yard = Yard::new();
    yard.load(&docker_old(&["busybox:latest"], &[&layer_a(), &layer_b()])).unwrap();
    let content = yard.folder.path().join("content");
    let out = tempfile::tempdir().unwrap();
    let ours = format!("oci:{}:busybox:latest", content.display());
    let to = |name: &str| out.path().join(name).display().to_string();
    assert!(run("skopeo", &["inspect", &ours]));
    for (kind, name) in [("docker-archive", "d.tar"), ("oci-archive", "o.tar")] {
        assert!(run("skopeo", &["copy", "-q", &ours, &format!("{kind}:{}:example.org/copy:1", to(name))]));
        let other = Yard::new();
        let archive = fs::read(to(name)).unwrap();
        assert_eq!(loaded(&other.load(&archive).unwrap()), ["example.org/copy:1"]);
        assert_eq!(other.store.get("example.org/copy:1").unwrap().lowers, yard.store.get("busybox").unwrap().lowers);
    }
    assert!(run("umoci", &["unpack", "--image", &format!("{}:busybox:latest", content.display()), &to("bundle")]));
    assert!(Path::new(&to("bundle")).join("rootfs/bin/sh").exists());
}

/// Prints how long a layer of some 200 MB takes, beside tar(1) (`cargo test -- --ignored --nocapture measure`).
#[test]
#[ignore = "a measurement"]
fn measure_a_load() {
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name).display().to_string();
    let some = "find /usr/lib /usr/share -xdev -type f -size -4M | sort | awk 'NR % 5 == 0' | head -n 12000 | tar -cf";
    assert!(run("sh", &["-c", &format!("{some} {} -T -", at("layer.tar"))]));
    let layer = fs::read(at("layer.tar")).unwrap();
    fs::write(at("image.tar"), docker_old(&["big:1"], &[&layer])).unwrap();
    fs::create_dir(at("out")).unwrap();
    let clock = std::time::Instant::now();
    assert!(run("tar", &["-xf", &at("layer.tar"), "-C", &at("out")]));
    println!("{} MB: tar -x {:?}", layer.len() / 1_000_000, clock.elapsed());
    for keep in [Keep::Blobs, Keep::TreesOnly] {
        let yard = Yard::keeping(keep);
        let mut archive = fs::File::open(at("image.tar")).unwrap();
        let clock = std::time::Instant::now();
        yard.store.load(&mut archive, &mut |_| {}).unwrap();
        println!("load, {keep:?}: {:?}", clock.elapsed());
    }
}
