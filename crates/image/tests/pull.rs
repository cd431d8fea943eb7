//! Pulls from a registry in this process. Needs root (layers hold devices and owners).

mod fake;

use archive::fixture::Tar;
use base::{Digest, Kind, Kinded};
use fake::{CONFIG, Fake, Fault, INDEX, MANIFEST, TAR, TAR_GZIP, config_of, descriptor, gzip, sha, until};
use image::pull::{LayerState, Pull, Pulled, Step};
use image::{Error, Force, HostMask, Keep, Reference, Store};
use oci::image::Platform;
use registry::{Cancel, Client, Credentials, Settings};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

struct Yard {
    folder: tempfile::TempDir,
    store: Store,
    client: Client,
    fake: Fake,
}

/// What differs from pull to pull.
#[derive(Default)]
struct Wish {
    platform: Option<Platform>,
    cancel: Cancel,
}

impl Yard {
    fn new() -> Yard {
        Yard::keeping(Keep::Blobs)
    }

    fn keeping(keep: Keep) -> Yard {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_keeping(folder.path(), HostMask::default(), keep).unwrap();
        Yard { folder, store, client: Client::new(Settings::default()), fake: Fake::new() }
    }

    /// Opens the store anew, with another policy.
    fn reopen(self, keep: Keep) -> Yard {
        let Yard { folder, store, client, fake } = self;
        drop(store);
        let store = Store::open_keeping(folder.path(), HostMask::default(), keep).unwrap();
        Yard { folder, store, client, fake }
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.fake.host)
    }

    fn pull(&self, rest: &str) -> Result<Pulled, Error> {
        self.pull_with(rest, &Wish::default(), &|_| {})
    }

    fn pull_telling(&self, rest: &str) -> Vec<Step> {
        let steps = Mutex::new(Vec::new());
        self.pull_with(rest, &Wish::default(), &|step| steps.lock().unwrap().push(step)).unwrap();
        steps.into_inner().unwrap()
    }

    fn pull_with(&self, rest: &str, wish: &Wish, tell: &(dyn Fn(Step) + Sync)) -> Result<Pulled, Error> {
        let reference = Reference::parse(&self.name(rest)).unwrap();
        let pull = Pull {
            reference: &reference,
            platform: wish.platform.as_ref(),
            registry: &self.client,
            credentials: &Credentials::default(),
            cancel: &wish.cancel,
            downloads: 3,
        };
        self.store.pull(&pull, tell)
    }

    fn names(folder: PathBuf) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Names of all blobs and all layers; nothing may be half-done.
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

    /// The pull fails and leaves nothing.
    fn refuses(&self, rest: &str) -> Error {
        let error = self.pull(rest).unwrap_err();
        assert!(self.is_empty(), "{error}: {:?}", self.on_disk());
        error
    }

    /// Every blob that the index leads to is there and is what its descriptor says.
    fn layout_is_valid(&self) {
        let content = self.folder.path().join("content");
        let read = |descriptor: &Value| -> Value {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = fs::read(content.join("blobs/sha256").join(digest)).unwrap();
            assert_eq!(sha(&bytes).hex(), digest);
            assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
            serde_json::from_slice(&bytes).unwrap_or_default()
        };
        let index: Value = serde_json::from_slice(&fs::read(content.join("index.json")).unwrap()).unwrap();
        for entry in index["manifests"].as_array().unwrap() {
            let manifest = read(entry);
            read(&manifest["config"]);
            manifest["layers"].as_array().unwrap().iter().for_each(|layer| drop(read(layer)));
        }
    }
}

fn layer_a() -> Vec<u8> {
    let noise: Vec<u8> = (0..900_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    Tar::new().folder("bin", 0o755).file("bin/sh", &noise).finish()
}

fn layer_b() -> Vec<u8> {
    Tar::new().file("etc/b", b"b").file(".wh.gone", b"").finish()
}

fn hex(digests: &[Digest]) -> Vec<String> {
    let mut all: Vec<String> = digests.iter().map(Digest::hex).collect();
    all.sort();
    all
}

fn states(steps: &[Step], blob: &[u8]) -> Vec<LayerState> {
    let short = sha(blob).short();
    let of = |step: &Step| match step {
        Step::Layer { id, state } if *id == short => Some(state.clone()),
        _ => None,
    };
    steps.iter().filter_map(of).collect()
}

#[test]
fn an_image_is_pulled_by_its_tag() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    let packed = gzip(&a);
    let manifest = yard.fake.put_image(("x/app", "1"), &config_of(&[&a, &b]), &[(TAR_GZIP, &packed), (TAR, &b)]);
    let steps = Mutex::new(Vec::new());
    let pulled = yard.pull_with("x/app:1", &Wish::default(), &|step| steps.lock().unwrap().push(step)).unwrap();
    let id = sha(&config_of(&[&a, &b]));
    assert_eq!(pulled, Pulled { id, digest: manifest, newer: true });
    let steps = steps.into_inner().unwrap();
    assert_eq!(steps[0], Step::Begun);
    let total = packed.len() as u64;
    let told = states(&steps, &packed);
    assert_eq!(told[..2], [LayerState::Found, LayerState::Downloading { current: 0, total }]);
    let end = [
        LayerState::Downloading { current: total, total },
        LayerState::Downloaded,
        LayerState::Extracting { current: total, total },
        LayerState::Complete,
    ];
    assert_eq!(told[told.len() - 4..], end);
    assert_eq!(yard.on_disk(), (hex(&[id, manifest, sha(&packed), sha(&b)]), hex(&[sha(&a), sha(&b)])));
    yard.layout_is_valid();
    let yard = yard.reopen(Keep::Blobs);
    let image = yard.store.get(&yard.name("x/app:1")).unwrap();
    assert_eq!((image.id, image.manifest), (id, manifest));
    assert_eq!(image.tags, [yard.name("x/app:1")]);
    assert_eq!(image.digests, [yard.name(&format!("x/app@{manifest}"))]);
    assert_eq!(yard.store.get(&yard.name(&format!("x/app:9@{manifest}"))).unwrap().id, id);
    assert_eq!(fs::read(yard.store.layers().diff(&sha(&b)).join("etc/b")).unwrap(), b"b");
}

#[test]
fn a_second_pull_fetches_the_digest_only() {
    let yard = Yard::new();
    let (a, packed) = (layer_a(), gzip(&layer_a()));
    yard.fake.put_image(("app", "1"), &config_of(&[&a]), &[(TAR_GZIP, &packed)]);
    let first = yard.pull("app:1").unwrap();
    yard.fake.forget();
    let before = yard.on_disk();
    assert_eq!(yard.pull("app:1").unwrap(), Pulled { newer: false, ..first.clone() });
    assert_eq!((yard.fake.asked("GET", "/manifests/"), yard.fake.asked("GET", "/blobs/")), (0, 0));
    // A further tag of the same image: no layer comes again.
    let (media, bytes) = yard.fake.manifest("app:1").unwrap();
    yard.fake.put_manifest("app", "2", &media, &bytes);
    assert_eq!(yard.pull("app:2").unwrap(), first);
    assert_eq!(yard.fake.gets(&packed), 0);
    assert_eq!(yard.on_disk(), before);
    let image = yard.store.get(&yard.name("app:2")).unwrap();
    assert_eq!((image.tags.len(), image.digests.len()), (2, 1));
}

#[test]
fn a_tag_moves_and_leaves_its_old_image_with_a_digest() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    let old = yard.fake.put_image(("app", "latest"), &config_of(&[&a]), &[(TAR, &a)]);
    let first = yard.pull("app").unwrap();
    let new = yard.fake.put_image(("app", "latest"), &config_of(&[&a, &b]), &[(TAR, &a), (TAR, &b)]);
    let steps = yard.pull_telling("app");
    assert_eq!(states(&steps, &a), [LayerState::Exists]);
    let image = yard.store.get(&yard.name("app")).unwrap();
    assert_eq!((image.manifest, image.digests.len()), (new, 1));
    let left = yard.store.get(&first.id.to_string()).unwrap();
    assert_eq!(left.tags, [] as [String; 0]);
    assert_eq!(left.digests, [yard.name(&format!("app@{old}"))]);
    // And back again.
    yard.fake.put_image(("app", "latest"), &config_of(&[&a]), &[(TAR, &a)]);
    assert_eq!(yard.pull("app").unwrap(), Pulled { newer: true, ..first });
    // The last tag takes the digest along.
    yard.store.remove(&yard.name("app"), Force::No, &[]).unwrap();
    yard.store.remove(&image.id.to_string(), Force::No, &[]).unwrap();
    assert!(yard.is_empty());
}

#[test]
fn a_pull_by_digest_gives_the_digest_name_only() {
    let yard = Yard::new();
    let a = layer_a();
    let manifest = yard.fake.put_image(("app", "1"), &config_of(&[&a]), &[(TAR, &a)]);
    for rest in [format!("app@{manifest}"), format!("app:1@{manifest}")] {
        let pulled = yard.pull(&rest).unwrap();
        assert_eq!(pulled.digest, manifest);
        let image = yard.store.get(&pulled.id.to_string()).unwrap();
        assert_eq!(image.tags, [] as [String; 0]);
        assert_eq!(image.digests, [yard.name(&format!("app@{manifest}"))]);
    }
    assert!(!yard.pull(&format!("app@{manifest}")).unwrap().newer);
    // A registry that answers with something else.
    let yard = Yard::new();
    yard.fake.put_image(("app", "1"), &config_of(&[&a]), &[(TAR, &a)]);
    let (media, bytes) = yard.fake.manifest("app:1").unwrap();
    let wanted = sha(b"other");
    yard.fake.state().manifests.insert(format!("app@{wanted}"), (media, bytes));
    yard.refuses(&format!("app@{wanted}"));
}

#[test]
fn an_index_gives_the_image_of_the_platform() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    let machine = image::machine_platform();
    let platform = |text: &str| image::parse_platform(text).unwrap();
    let entry = |digest: Digest, architecture: &str, os: &str| {
        let (_, bytes) = yard.fake.manifest(&format!("app@{digest}")).unwrap();
        let mut entry = descriptor(MANIFEST, &bytes);
        entry["platform"] = json!({ "architecture": architecture, "os": os });
        entry
    };
    let mut foreign: Value = serde_json::from_slice(&config_of(&[&b])).unwrap();
    foreign["architecture"] = json!("s390x");
    let foreign = serde_json::to_vec(&foreign).unwrap();
    let ours = yard.fake.put_image(("app", "ours"), &config_of(&[&a]), &[(TAR, &a)]);
    let other = yard.fake.put_image(("app", "other"), &foreign, &[(TAR, &b)]);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        entry(other, "unknown", "unknown"), entry(other, "s390x", "linux"), entry(ours, &machine.architecture, "linux"),
    ]});
    let index = serde_json::to_vec(&index).unwrap();
    let digest = yard.fake.put_manifest("app", "1", INDEX, &index);
    let pulled = yard.pull("app:1").unwrap();
    assert_eq!((pulled.id, pulled.digest), (sha(&config_of(&[&a])), digest));
    assert_eq!(yard.store.get(&yard.name("app:1")).unwrap().manifest, ours);
    assert!(!yard.pull("app:1").unwrap().newer);
    // Another platform of the same index comes beside it.
    let wish = Wish { platform: Some(platform("linux/s390x")), ..Wish::default() };
    let second = yard.pull_with("app:1", &wish, &|_| {}).unwrap();
    assert_eq!((second.id, second.newer), (sha(&foreign), true));
    assert!(!yard.pull("app:1").unwrap().newer);
    assert!(!yard.pull_with("app:1", &wish, &|_| {}).unwrap().newer);
    assert_eq!(yard.store.get(&yard.name("app:1")).unwrap().id, sha(&config_of(&[&a])));
    assert_eq!(yard.store.get_for(&yard.name("app:1"), wish.platform.as_ref()).unwrap().id, sha(&foreign));
    let wish = Wish { platform: Some(platform("linux/arm64")), ..Wish::default() };
    if machine.architecture != "arm64" {
        let error = yard.pull_with("app:1", &wish, &|_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no matching manifest for linux/arm64/v8 in the manifest list entries: no match for platform in manifest: \
             not found"
        );
        assert_eq!(error.kind(), Kind::NotFound);
    }
    yard.layout_is_valid();
}

#[test]
fn what_is_no_image_is_refused() {
    let yard = Yard::new();
    let a = layer_a();
    let config = config_of(&[&a]);
    yard.fake.put_blob("app", &config);
    yard.fake.put_blob("app", &a);
    let manifest = |config: Value, layer: Value| json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    let put = |media: &str, document: &Value| {
        yard.fake.put_manifest("app", "1", media, &serde_json::to_vec(document).unwrap());
    };
    let good = manifest(descriptor(CONFIG, &config), descriptor(TAR, &a));
    put(MANIFEST, &manifest(descriptor("application/vnd.cncf.helm.config.v1+json", &config), descriptor(TAR, &a)));
    assert_eq!(
        yard.refuses("app:1").to_string(),
        r#"Encountered remote "application/vnd.cncf.helm.config.v1+json"(unknown) when fetching"#
    );
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    put(MANIFEST, &manifest(descriptor(CONFIG, &config), descriptor(foreign, &a)));
    assert!(yard.refuses("app:1").to_string().contains("license"));
    put(MANIFEST, &manifest(descriptor(CONFIG, &config_of(&[])), descriptor(TAR, &a)));
    yard.fake.put_blob("app", &config_of(&[]));
    assert_eq!(yard.refuses("app:1").to_string(), "layers from manifest don't match image configuration");
    // Ambiguous: both at once; inside against outside.
    let mut both = good.clone();
    both["manifests"] = json!([]);
    put(MANIFEST, &both);
    assert!(yard.refuses("app:1").to_string().contains("both a manifest and an index"));
    // Go's JSON takes keys in any case.
    let mut both = good.clone();
    both["Manifests"] = json!([]);
    put(MANIFEST, &both);
    assert!(yard.refuses("app:1").to_string().contains("both a manifest and an index"));
    for other in ["application/vnd.docker.distribution.manifest.v2+json", INDEX] {
        put(other, &good);
        let error = yard.refuses("app:1");
        assert!(error.kind() == Kind::Invalid && error.to_string().contains(other), "{error}");
    }
    put("application/vnd.docker.distribution.manifest.v1+prettyjws", &json!({ "schemaVersion": 1, "fsLayers": [] }));
    assert!(yard.refuses("app:1").to_string().contains("schema 1"));
    put(MANIFEST, &json!({ "schemaVersion": 2, "mediaType": MANIFEST }));
    assert_eq!(yard.refuses("app:1").kind(), Kind::Invalid);
    let mut windows: Value = serde_json::from_slice(&config).unwrap();
    windows["os"] = json!("windows");
    let windows = serde_json::to_vec(&windows).unwrap();
    yard.fake.put_blob("app", &windows);
    put(MANIFEST, &manifest(descriptor(CONFIG, &windows), descriptor(TAR, &a)));
    assert!(matches!(yard.refuses("app:1"), Error::Platform { .. }));
    assert_eq!(yard.refuses("app:none").kind(), Kind::NotFound);
    // An index that calls its manifest something else, or that gives it another size.
    let bytes = serde_json::to_vec(&good).unwrap();
    yard.fake.put_manifest("app", "good", MANIFEST, &bytes);
    for (key, value) in
        [("mediaType", json!("application/vnd.docker.distribution.manifest.v2+json")), ("size", json!(bytes.len() + 1))]
    {
        let mut entry = descriptor(MANIFEST, &bytes);
        entry[key] = value;
        put(INDEX, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }));
        assert_eq!(yard.refuses("app:1").kind(), Kind::Invalid);
    }
    // A registry whose web server knows no types.
    put("text/plain", &good);
    yard.pull("app:1").unwrap();
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    let (a, b) = (layer_a(), layer_b());
    let packed = gzip(&a);
    let config = config_of(&[&a, &b]);
    let yard = Yard::new();
    let put = || yard.fake.put_image(("app", "1"), &config, &[(TAR_GZIP, &packed), (TAR, &b)]);
    let lie = |blob: &[u8], bytes: &[u8]| {
        put();
        yard.fake.state().blobs.insert(format!("app@{}", sha(blob)), bytes.to_vec());
    };
    // The right number of bytes, but others.
    let mut other = b.clone();
    other[600] ^= 1;
    lie(&b, &other);
    let error = yard.refuses("app:1");
    assert_eq!(error.to_string(), format!("filesystem layer verification failed for digest {}", sha(&b)));
    let mut spoiled = config.clone();
    spoiled[10] ^= 1;
    lie(&config, &spoiled);
    assert!(yard.refuses("app:1").to_string().contains("image config verification failed"));
    // Also where they break the tree before the last of them is here.
    let mut broken = packed.clone();
    broken[20] ^= 0xff;
    for bytes in [vec![7; packed.len()], broken, [&b"BZh9"[..], &packed[4..]].concat()] {
        lie(&packed, &bytes);
        let error = yard.refuses("app:1");
        assert_eq!(error.to_string(), format!("filesystem layer verification failed for digest {}", sha(&packed)));
    }
    // A layer that is what its digest says, and not what the configuration says.
    let swapped = config_of(&[&b, &a]);
    yard.fake.put_image(("app", "1"), &swapped, &[(TAR_GZIP, &packed), (TAR, &b)]);
    assert!(matches!(yard.refuses("app:1"), Error::WrongDigest { .. }));
    // A layer that would write elsewhere.
    let hostile = Tar::new().symlink("l", "/tmp").file("l/x", b"").finish();
    yard.fake.put_image(("app", "1"), &config_of(&[&a, &hostile]), &[(TAR_GZIP, &packed), (TAR, &hostile)]);
    let error = yard.refuses("app:1");
    assert_eq!(error.to_string(), "failed to register layer");
    assert!(base::chain(&error).contains("goes through a symlink"), "{}", base::chain(&error));
    // And after all that, the right one.
    put();
    yard.pull("app:1").unwrap();
}

#[test]
fn a_layer_is_downloaded_when_its_digest_is_right_whatever_its_tree_is() {
    for keep in [Keep::Blobs, Keep::TreesOnly] {
        let yard = Yard::keeping(keep);
        let hostile = gzip(&Tar::new().file("a/../../x", b"").finish());
        yard.fake.put_image(("app", "1"), &config_of(&[&layer_a()]), &[(TAR_GZIP, &hostile)]);
        let steps = Mutex::new(Vec::new());
        let error = yard.pull_with("app:1", &Wish::default(), &|step| steps.lock().unwrap().push(step)).unwrap_err();
        assert_eq!(error.to_string(), "failed to register layer");
        assert_eq!(states(&steps.into_inner().unwrap(), &hostile).last(), Some(&LayerState::Downloaded));
        assert!(yard.is_empty());
        // And not when it is wrong.
        let key = format!("app@{}", sha(&hostile));
        yard.fake.state().blobs.insert(key, vec![0; hostile.len()]);
        let steps = Mutex::new(Vec::new());
        yard.pull_with("app:1", &Wish::default(), &|step| steps.lock().unwrap().push(step)).unwrap_err();
        assert!(!states(&steps.into_inner().unwrap(), &hostile).contains(&LayerState::Downloaded));
        assert!(yard.is_empty());
    }
}

#[test]
fn wrong_sizes_and_ambiguous_manifests_leave_nothing() {
    let yard = Yard::new();
    let packed = gzip(&layer_a());
    let config = config_of(&[&layer_a()]);
    yard.fake.put_blob("app", &config);
    yard.fake.put_blob("app", &packed);
    let manifest = |change: &dyn Fn(&mut Value)| {
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, &config),
            "layers": [descriptor(TAR_GZIP, &packed)],
        });
        change(&mut manifest);
        yard.fake.put_manifest("app", "1", MANIFEST, &serde_json::to_vec(&manifest).unwrap());
    };
    for size in [0, 1, packed.len() - 1, packed.len() + 1, 1 << 40] {
        manifest(&|manifest| manifest["layers"][0]["size"] = json!(size));
        yard.refuses("app:1");
    }
    for size in [1, config.len() + 1, 1 << 40] {
        manifest(&|manifest| manifest["config"]["size"] = json!(size));
        yard.refuses("app:1");
    }
    for key in ["manifests", "Manifests", "MANIFESTS"] {
        manifest(&|manifest| manifest[key] = json!([]));
        let error = yard.refuses("app:1").to_string();
        assert!(error.contains("both a manifest and an index"), "{error}");
    }
    manifest(&|_| ());
    yard.pull("app:1").unwrap();
}

/// Gigabytes of one file of zeros, as blocks of a repeated byte (RFC 8878, 3.1.1.2).
#[test]
fn a_bomb_leaves_nothing() {
    const BLOCK: u32 = 128 << 10;
    let size = 5_u64 << 30;
    let head = archive::fixture::Head { path: b"bomb", size, ..Default::default() };
    let head = Tar::new().entry(head, b"").unfinished();
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
    bomb.extend(&(512_u32 << 3).to_le_bytes()[..3]);
    bomb.extend(&head);
    for _ in 0..size / u64::from(BLOCK) {
        bomb.extend(&(BLOCK << 3 | 2).to_le_bytes()[..3]);
        bomb.push(0);
    }
    bomb.extend([1, 0, 0]);
    for keep in [Keep::Blobs, Keep::TreesOnly] {
        let yard = Yard::keeping(keep);
        let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
        yard.fake.put_image(("app", "1"), &config_of(&[&layer_a()]), &[(zstd, &bomb)]);
        let error = yard.refuses("app:1");
        assert!(base::chain(&error).contains("this is a bomb"), "{}", base::chain(&error));
    }
}

#[test]
fn the_name_of_the_built_in_image_is_refused() {
    let yard = Yard::new();
    let reference = Reference::parse("host").unwrap();
    let pull = Pull {
        reference: &reference,
        platform: None,
        registry: &yard.client,
        credentials: &Credentials::default(),
        cancel: &Cancel::default(),
        downloads: 3,
    };
    assert!(matches!(yard.store.pull(&pull, &|_| {}), Err(Error::BuiltIn(_))));
}

#[test]
fn a_pull_mends_an_image_that_was_loaded_in_other_clothes() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    let config = config_of(&[&a, &b]);
    let listing = json!([{ "Config": "c.json", "RepoTags": ["app:1"], "Layers": ["a.tar", "b.tar"] }]);
    let archive = Tar::new()
        .file("c.json", &config)
        .file("a.tar", &a)
        .file("b.tar", &b)
        .file("manifest.json", &serde_json::to_vec(&listing).unwrap())
        .finish();
    yard.store.load(&mut &archive[..], &mut |_| {}).unwrap();
    let packed = gzip(&a);
    let manifest = yard.fake.put_image(("app", "1"), &config, &[(TAR_GZIP, &packed), (TAR, &b)]);
    let steps = yard.pull_telling("app:1");
    assert_eq!(states(&steps, &b), [LayerState::Exists]);
    assert_eq!(states(&steps, &packed).last(), Some(&LayerState::Complete));
    let image = yard.store.get("app:1").unwrap();
    assert_eq!((image.manifest, image.tags.len()), (manifest, 2));
    // The plain blob is gone, the tree is still the same one.
    assert_eq!(yard.on_disk(), (hex(&[sha(&config), manifest, sha(&packed), sha(&b)]), hex(&[sha(&a), sha(&b)])));
    yard.layout_is_valid();
}

#[test]
fn a_tree_without_its_blob_gets_it() {
    let yard = Yard::keeping(Keep::TreesOnly);
    let (a, packed) = (layer_a(), gzip(&layer_a()));
    let config = config_of(&[&a]);
    let manifest = yard.fake.put_image(("app", "1"), &config, &[(TAR_GZIP, &packed)]);
    yard.pull("app:1").unwrap();
    assert_eq!(yard.on_disk(), (hex(&[sha(&config), manifest]), hex(&[sha(&a)])));
    yard.fake.forget();
    yard.pull("app:1").unwrap();
    assert_eq!(yard.fake.gets(&packed), 0);
    let yard = yard.reopen(Keep::Blobs);
    yard.pull("app:1").unwrap();
    assert_eq!(yard.fake.gets(&packed), 1);
    assert_eq!(yard.on_disk(), (hex(&[sha(&config), manifest, sha(&packed)]), hex(&[sha(&a)])));
    yard.layout_is_valid();
}

#[test]
fn a_manifest_cannot_claim_a_tree_for_a_blob_of_another() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    let packed = gzip(&b);
    yard.fake.put_image(("app", "1"), &config_of(&[&a]), &[(TAR, &a)]);
    yard.pull("app:1").unwrap();
    let before = yard.on_disk();
    // The configuration names a layer that is here, the manifest another blob for it.
    yard.fake.put_image(("app", "2"), &config_of(&[&a]), &[(TAR_GZIP, &packed)]);
    assert!(matches!(yard.pull("app:2").unwrap_err(), Error::WrongDigest { .. }));
    // And a blob that is here for a layer that is not.
    yard.fake.put_image(("app", "3"), &config_of(&[&b]), &[(TAR, &a)]);
    assert!(matches!(yard.pull("app:3").unwrap_err(), Error::WrongDigest { .. }));
    assert_eq!(yard.on_disk(), before);
}

#[test]
fn two_pulls_at_once_fetch_a_layer_once() {
    let yard = Yard::new();
    let (a, b, packed) = (layer_a(), layer_b(), gzip(&layer_a()));
    yard.fake.put_image(("one", "1"), &config_of(&[&a]), &[(TAR_GZIP, &packed)]);
    yard.fake.put_image(("two", "1"), &config_of(&[&a, &b]), &[(TAR_GZIP, &packed), (TAR, &b)]);
    yard.fake.fault(&packed, Fault::Held);
    let steps = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let one = scope.spawn(|| yard.pull("one:1").unwrap());
        until("the first fetches", || yard.fake.gets(&packed) == 1);
        let two = scope
            .spawn(|| yard.pull_with("two:1", &Wish::default(), &|step| steps.lock().unwrap().push(step)).unwrap());
        until("the second has its own layer", || {
            states(&steps.lock().unwrap(), &b).last() == Some(&LayerState::Complete)
        });
        yard.fake.release();
        one.join().unwrap();
        two.join().unwrap();
    });
    assert_eq!(yard.fake.gets(&packed), 1);
    let told = states(&steps.into_inner().unwrap(), &packed);
    assert_eq!(told.first(), Some(&LayerState::Found));
    assert_eq!(told.last(), Some(&LayerState::Complete));
    assert!(told.iter().any(|state| matches!(state, LayerState::Downloading { .. })), "{told:?}");
    yard.layout_is_valid();
}

#[test]
fn a_cancelled_pull_leaves_nothing_and_its_layer_to_who_waits() {
    let yard = Yard::new();
    let (a, b, packed) = (layer_a(), layer_b(), gzip(&layer_a()));
    let both = config_of(&[&a, &b]);
    yard.fake.put_image(("one", "1"), &both, &[(TAR_GZIP, &packed), (TAR, &b)]);
    yard.fake.put_image(("two", "1"), &config_of(&[&a]), &[(TAR_GZIP, &packed)]);
    // Alone.
    yard.fake.fault(&packed, Fault::Held);
    let wish = Wish::default();
    let steps = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let one = scope.spawn(|| yard.pull_with("one:1", &wish, &|step| steps.lock().unwrap().push(step)).unwrap_err());
        until("one layer is complete", || states(&steps.lock().unwrap(), &b).last() == Some(&LayerState::Complete));
        until("the other is fetched", || yard.fake.gets(&packed) == 1);
        wish.cancel.cancel();
        let error = one.join().unwrap();
        assert!(matches!(error, Error::Registry(registry::Error::Cancelled)), "{error:?}");
    });
    assert!(yard.is_empty(), "{:?}", yard.on_disk());
    // While another waits for the same layer.
    yard.fake.forget();
    let wish = Wish::default();
    std::thread::scope(|scope| {
        let one = scope.spawn(|| yard.pull_with("one:1", &wish, &|_| {}).unwrap_err());
        until("the layer is fetched", || yard.fake.gets(&packed) == 1);
        let two = scope.spawn(|| yard.pull("two:1").unwrap());
        until("the second has begun", || yard.fake.asked("GET", "/two/blobs/") >= 1);
        wish.cancel.cancel();
        one.join().unwrap();
        until("the second takes over", || yard.fake.asked("GET", &format!("/two/blobs/{}", sha(&packed))) == 1);
        yard.fake.release();
        two.join().unwrap();
    });
    assert_eq!(yard.on_disk().1, hex(&[sha(&a)]));
    yard.layout_is_valid();
}

#[test]
fn one_failing_layer_ends_the_pull() {
    let yard = Yard::new();
    let (a, b, packed) = (layer_a(), layer_b(), gzip(&layer_a()));
    yard.fake.put_image(("app", "1"), &config_of(&[&a, &b]), &[(TAR_GZIP, &packed), (TAR, &b)]);
    yard.fake.fault(&packed, Fault::Missing);
    // The other layer, which does not come any further, is not waited for.
    yard.fake.fault(&b, Fault::Held);
    assert_eq!(yard.refuses("app:1").kind(), Kind::NotFound);
    yard.fake.release();
    yard.pull("app:1").unwrap();
}

#[test]
fn a_layer_that_a_pull_found_stays_when_its_image_goes() {
    let yard = Yard::new();
    let (a, b, packed) = (layer_a(), layer_b(), gzip(&layer_b()));
    yard.fake.put_image(("old", "1"), &config_of(&[&a]), &[(TAR, &a)]);
    yard.pull("old:1").unwrap();
    yard.fake.put_image(("new", "1"), &config_of(&[&a, &b]), &[(TAR, &a), (TAR_GZIP, &packed)]);
    yard.fake.fault(&packed, Fault::Held);
    std::thread::scope(|scope| {
        let new = scope.spawn(|| yard.pull("new:1").unwrap());
        until("the other layer is fetched", || yard.fake.gets(&packed) == 1);
        yard.store.remove(&yard.name("old:1"), Force::No, &[]).unwrap();
        yard.fake.release();
        new.join().unwrap();
    });
    assert_eq!(yard.fake.gets(&a), 1);
    assert_eq!(yard.on_disk().1, hex(&[sha(&a), sha(&b)]));
    yard.layout_is_valid();
}

#[test]
fn many_layers_wait_for_their_turn() {
    let yard = Yard::new();
    let layers: Vec<Vec<u8>> = (0..8u8).map(|n| Tar::new().file("n", &[n; 1000]).finish()).collect();
    let all: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    // One of them twice.
    let all = [&all[..], &all[..1]].concat();
    let blobs: Vec<(&str, &[u8])> = all.iter().map(|layer| (TAR, *layer)).collect();
    yard.fake.put_image(("app", "1"), &config_of(&all), &blobs);
    let steps = yard.pull_telling("app:1");
    let waiting = steps.iter().filter(|s| matches!(s, Step::Layer { state: LayerState::Waiting, .. })).count();
    assert_eq!(waiting, 5);
    let found = steps.iter().filter(|s| matches!(s, Step::Layer { state: LayerState::Found, .. })).count();
    assert_eq!(found, 8);
    assert!(all.iter().all(|layer| yard.fake.gets(layer) == 1));
    assert_eq!(yard.store.get(&yard.name("app:1")).unwrap().lowers.len(), 9);
}
