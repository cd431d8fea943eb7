//! Pushes to a registry in this process. Needs root (layers hold devices and owners).

mod fake;

use archive::fixture::Tar;
use base::{Digest, Kind, Kinded};
use fake::{Fake, TAR, TAR_GZIP, config_of, gzip, sha};
use image::pull::Pull;
use image::push::{LayerState, Push, Pushed, Step};
use image::{Error, HostMask, Keep, Reference, Store};
use registry::{Cancel, Client, Credentials, Settings};
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Mutex;

struct Yard {
    _folder: tempfile::TempDir,
    store: Store,
    client: Client,
    fake: Fake,
}

impl Yard {
    fn new() -> Yard {
        Yard::keeping(Keep::Blobs)
    }

    fn keeping(keep: Keep) -> Yard {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_keeping(folder.path(), HostMask::default(), keep).unwrap();
        Yard { _folder: folder, store, client: Client::new(Settings::default()), fake: Fake::new() }
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.fake.host)
    }

    fn push(&self, rest: &str) -> Result<(Pushed, Vec<Step>), Error> {
        self.push_until(rest, &Cancel::default())
    }

    fn push_until(&self, rest: &str, cancel: &Cancel) -> Result<(Pushed, Vec<Step>), Error> {
        let reference = Reference::parse(&self.name(rest)).unwrap();
        let steps = Mutex::new(Vec::new());
        let push = Push {
            platform: None,
            reference: &reference,
            registry: &self.client,
            credentials: &Credentials::default(),
            cancel,
            uploads: 5,
        };
        let pushed = self.store.push(&push, &|step| steps.lock().unwrap().push(step))?;
        Ok((pushed, steps.into_inner().unwrap()))
    }

    fn pull(&self, rest: &str) {
        let reference = Reference::parse(&self.name(rest)).unwrap();
        let pull = Pull {
            reference: &reference,
            platform: None,
            registry: &self.client,
            credentials: &Credentials::default(),
            cancel: &Cancel::default(),
            downloads: 3,
        };
        self.store.pull(&pull, &|_| {}).unwrap();
    }

    /// Loads a docker-archive with plain layers.
    fn load(&self, rest: &str, layers: &[&[u8]]) {
        let paths: Vec<String> = (0..layers.len()).map(|n| format!("{n}.tar")).collect();
        let listing = json!([{ "Config": "c.json", "RepoTags": [self.name(rest)], "Layers": paths }]);
        let mut tar = Tar::new().file("c.json", &config_of(layers));
        for (path, layer) in paths.iter().zip(layers) {
            tar = tar.file(path, layer);
        }
        let archive = tar.file("manifest.json", &serde_json::to_vec(&listing).unwrap()).finish();
        self.store.load(&mut &archive[..], &mut |_| {}).unwrap();
    }

    fn last(steps: &[Step], layer: &[u8]) -> Option<LayerState> {
        let short = sha(layer).short();
        let of = |step: &Step| match step {
            Step::Layer { id, state } if *id == short => Some(state.clone()),
            _ => None,
        };
        steps.iter().rev().find_map(of)
    }

    /// The manifest behind a tag in the registry.
    fn served(&self, name: &str) -> (Digest, Value) {
        let (_, bytes) = self.fake.manifest(name).unwrap();
        (sha(&bytes), serde_json::from_slice(&bytes).unwrap())
    }
}

fn layer_a() -> Vec<u8> {
    let text: Vec<u8> = (0..200_000u32).flat_map(|n| format!("{} ", n.wrapping_mul(7919)).into_bytes()).collect();
    Tar::new().folder("bin", 0o755).file("bin/sh", &text).finish()
}

fn layer_b() -> Vec<u8> {
    Tar::new().file("etc/b", b"b").finish()
}

#[test]
fn a_loaded_image_is_compressed_and_pushed() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    yard.load("x/app:1", &[&a, &b, &a]);
    let (pushed, steps) = yard.push("x/app:1").unwrap();
    let first: Vec<&Step> = steps.iter().take(2).collect();
    let preparing = |layer: &[u8]| Step::Layer { id: sha(layer).short(), state: LayerState::Preparing };
    assert_eq!(first, [&preparing(&a), &preparing(&b)]);
    assert_eq!(Yard::last(&steps, &a), Some(LayerState::Pushed));
    assert_eq!(Yard::last(&steps, &b), Some(LayerState::Pushed));
    let (digest, manifest) = yard.served("x/app:1");
    assert_eq!(pushed.digest, digest);
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 3);
    for (layer, plain) in layers.iter().zip([&a, &b, &a]) {
        assert_eq!(layer["mediaType"], json!(TAR_GZIP));
        let blob = yard.fake.blob("x/app", layer["digest"].as_str().unwrap()).unwrap();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&blob[..]).read_to_end(&mut back).unwrap();
        assert!(back == *plain);
    }
    let config = manifest["config"]["digest"].as_str().unwrap();
    assert_eq!(yard.fake.blob("x/app", config).unwrap(), config_of(&[&a, &b, &a]));
    // The image is the same one, in its new clothes, and knows where it lies.
    let image = yard.store.get(&yard.name("x/app:1")).unwrap();
    assert_eq!((image.id, image.manifest), (sha(&config_of(&[&a, &b, &a])), digest));
    assert_eq!(image.digests, [yard.name(&format!("x/app@{digest}"))]);
    // Once more: nothing is sent.
    let (again, steps) = yard.push("x/app:1").unwrap();
    assert_eq!(again, pushed);
    assert_eq!(Yard::last(&steps, &a), Some(LayerState::Exists));
    // Another engine has the same bytes.
    let other = Yard::new();
    other.load("x/app:1", &[&a, &b, &a]);
    assert_eq!(other.push("x/app:1").unwrap().0, pushed);
}

#[test]
fn a_pulled_image_is_pushed_byte_for_byte() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    let packed = gzip(&a);
    let manifest = yard.fake.put_image(("from", "1"), &config_of(&[&a, &b]), &[(TAR_GZIP, &packed), (TAR, &b)]);
    yard.pull("from:1");
    yard.store.tag(&yard.name("from:1"), &yard.name("to:2")).unwrap();
    let (pushed, steps) = yard.push("to:2").unwrap();
    assert_eq!(pushed.digest, manifest);
    assert_eq!(yard.fake.manifest("to:2"), yard.fake.manifest("from:1"));
    // The same registry has the layers: nothing is sent.
    assert_eq!(Yard::last(&steps, &a), Some(LayerState::Mounted { from: "from".to_owned() }));
    assert_eq!(yard.fake.blob("to", &sha(&packed).to_string()).unwrap(), packed);
    let image = yard.store.get(&yard.name("to:2")).unwrap();
    assert_eq!(image.digests.len(), 2);
}

#[test]
fn a_layer_that_was_pulled_is_not_compressed_again() {
    let yard = Yard::new();
    let (a, b) = (layer_a(), layer_b());
    let packed = gzip(&a);
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    yard.fake.put_image(("base", "1"), &config_of(&[&a]), &[(docker, &packed)]);
    yard.pull("base:1");
    yard.load("mine:1", &[&a, &b]);
    let (_, steps) = yard.push("mine:1").unwrap();
    assert_eq!(Yard::last(&steps, &a), Some(LayerState::Mounted { from: "base".to_owned() }));
    assert_eq!(Yard::last(&steps, &b), Some(LayerState::Pushed));
    let (_, manifest) = yard.served("mine:1");
    assert_eq!(manifest["layers"][0]["digest"], json!(sha(&packed).to_string()));
    // Under the type that belongs into an OCI manifest.
    assert_eq!(manifest["layers"][0]["mediaType"], json!(TAR_GZIP));
}

#[test]
fn what_is_not_here_is_not_pushed() {
    let yard = Yard::new();
    let error = yard.push("x/app:1").unwrap_err();
    let expected = format!("An image does not exist locally with the tag: {}", yard.name("x/app"));
    assert_eq!((error.to_string(), error.kind()), (expected, Kind::NotFound));
    yard.load("x/app:1", &[&layer_b()]);
    let error = yard.push("x/app:2").unwrap_err();
    assert_eq!(error.to_string(), format!("tag does not exist: {}", yard.name("x/app:2")));
    let error = yard.push(&format!("x/app@{}", sha(b"x"))).unwrap_err();
    assert_eq!(error.to_string(), "cannot push a digest reference");
    let reference = Reference::parse("host").unwrap();
    let push = Push {
        platform: None,
        reference: &reference,
        registry: &yard.client,
        credentials: &Credentials::default(),
        cancel: &Cancel::default(),
        uploads: 5,
    };
    assert!(matches!(yard.store.push(&push, &|_| {}), Err(Error::Reference(_))));
}

#[test]
fn a_layer_whose_bytes_were_not_kept_cannot_be_pushed_elsewhere() {
    let yard = Yard::keeping(Keep::TreesOnly);
    let (a, packed) = (layer_a(), gzip(&layer_a()));
    yard.fake.put_image(("from", "1"), &config_of(&[&a]), &[(TAR_GZIP, &packed)]);
    yard.pull("from:1");
    // To where it came from it need not be sent.
    yard.push("from:1").unwrap();
    yard.store.tag(&yard.name("from:1"), &yard.name("to:1")).unwrap();
    yard.push("to:1").unwrap();
    yard.fake.state().blobs.clear();
    let error = yard.push("to:1").unwrap_err();
    assert!(matches!(error, Error::NotKept(layer) if layer == sha(&a)), "{error}");
}

#[test]
fn a_tree_alone_is_packed_again_where_that_gives_the_same_bytes() {
    let yard = Yard::keeping(Keep::TreesOnly);
    // No tar of ours has this order.
    let unsorted = Tar::new().file("z", b"z").file("a", b"a").finish();
    yard.load("x/app:1", &[&unsorted]);
    let error = yard.push("x/app:1").unwrap_err();
    assert!(matches!(error, Error::NotKept(layer) if layer == sha(&unsorted)), "{error}");
    let mut ours = Vec::new();
    yard.store.layers().repack(&sha(&unsorted), &mut ours).unwrap();
    yard.load("x/app:2", &[&ours]);
    let (_, steps) = yard.push("x/app:2").unwrap();
    assert_eq!(Yard::last(&steps, &ours), Some(LayerState::Pushed));
}

#[test]
fn a_cancelled_push_sends_nothing() {
    let yard = Yard::new();
    yard.load("x/app:1", &[&layer_a()]);
    let cancel = Cancel::default();
    cancel.cancel();
    let error = yard.push_until("x/app:1", &cancel).unwrap_err();
    assert!(matches!(error, Error::Registry(registry::Error::Cancelled)), "{error:?}");
    assert_eq!(yard.fake.asked("", "/v2/"), 0);
    yard.push("x/app:1").unwrap();
}
