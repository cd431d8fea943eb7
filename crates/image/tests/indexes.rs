//! One name for images of several platforms: pulled, listed, pushed, saved, loaded, removed. Needs root.

mod fake;

use archive::fixture::Tar;
use base::{Digest, Kind, Kinded};
use fake::{Fake, INDEX, MANIFEST, TAR, config_of, descriptor, sha};
use image::pull::{Pull, Pulled};
use image::push::{Push, Pushed};
use image::upkeep::Mend;
use image::{AssembledIndex, Available, Error, Force, HostMask, Keep, Kind as PartKind, Reference, Removed, Store};
use oci::image::{Index, Platform};
use registry::{Cancel, Client, Credentials, Settings};
use serde_json::{Value, json};
use std::fs;

struct Yard {
    folder: tempfile::TempDir,
    store: Store,
    client: Client,
    fake: Fake,
}

/// An index of this machine's image and one for s390x, in the registry as `app:TAG`.
struct Multi {
    index: Vec<u8>,
    ours: Digest,
    other: Digest,
}

impl Yard {
    fn new() -> Yard {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_keeping(folder.path(), HostMask::default(), Keep::Blobs).unwrap();
        Yard { folder, store, client: Client::new(Settings::default()), fake: Fake::new() }
    }

    fn reopen(self) -> Yard {
        let Yard { folder, store, client, fake } = self;
        drop(store);
        let store = Store::open(folder.path(), HostMask::default()).unwrap();
        Yard { folder, store, client, fake }
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.fake.host)
    }

    fn pull(&self, rest: &str, platform: Option<&Platform>) -> Pulled {
        let reference = Reference::parse(&self.name(rest)).unwrap();
        let pull = Pull {
            reference: &reference,
            platform,
            registry: &self.client,
            credentials: &Credentials::default(),
            cancel: &Cancel::default(),
            downloads: 3,
        };
        self.store.pull(&pull, &|_| {}).unwrap()
    }

    fn push(&self, rest: &str, platform: Option<&Platform>) -> Result<Pushed, Error> {
        let reference = Reference::parse(&self.name(rest)).unwrap();
        let push = Push {
            reference: &reference,
            registry: &self.client,
            credentials: &Credentials::default(),
            cancel: &Cancel::default(),
            platform,
            uploads: 3,
        };
        self.store.push(&push, &|_| {})
    }

    fn serve(&self, tag: &str) -> Multi {
        let (a, b) = (layer(&format!("ours-{tag}")), layer(&format!("other-{tag}")));
        let (ours, other) = (config(&a, &machine().architecture), config(&b, "s390x"));
        let one = self.fake.put_image(("app", "ours"), &ours, &[(TAR, &a)]);
        let two = self.fake.put_image(("app", "other"), &other, &[(TAR, &b)]);
        let index = index(&[self.entry(one, &machine().architecture), self.entry(two, "s390x")]);
        self.fake.put_manifest("app", tag, INDEX, &index);
        Multi { index, ours: sha(&ours), other: sha(&other) }
    }

    fn entry(&self, manifest: Digest, architecture: &str) -> Value {
        let (_, bytes) = self.fake.manifest(&format!("app@{manifest}")).unwrap();
        let mut entry = descriptor(MANIFEST, &bytes);
        entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
        entry
    }

    fn shown(&self) -> Vec<Digest> {
        let host = self.store.get("host").unwrap().id;
        self.store.list().unwrap().iter().map(|image| image.id).filter(|id| *id != host).collect()
    }

    fn blobs(&self) -> Vec<String> {
        names(&self.folder.path().join("content/blobs/sha256"))
    }

    fn layers(&self) -> Vec<String> {
        names(&self.folder.path().join("layers/sha256"))
    }

    fn save(&self, name: &str, platform: Option<&Platform>) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.store.save(&[name.to_owned()], platform, &mut bytes).unwrap();
        bytes
    }

    fn is_sound(&self) {
        let report = self.store.check(Mend::No, &mut |_| {}).unwrap();
        assert_eq!(report.faults, []);
    }
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn machine() -> Platform {
    image::machine_platform()
}

fn s390x() -> Platform {
    image::parse_platform("linux/s390x").unwrap()
}

fn layer(name: &str) -> Vec<u8> {
    Tar::new().file(name, name.as_bytes()).finish()
}

fn config(layer: &[u8], architecture: &str) -> Vec<u8> {
    let mut config: Value = serde_json::from_slice(&config_of(&[layer])).unwrap();
    config["architecture"] = json!(architecture);
    serde_json::to_vec(&config).unwrap()
}

fn index(entries: &[Value]) -> Vec<u8> {
    serde_json::to_vec_pretty(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries })).unwrap()
}

#[test]
fn platforms_that_are_pulled_one_after_the_other_are_one_image() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    let name = yard.name("app:1");
    // The foreign one comes first, and is all there is.
    assert_eq!(yard.pull("app:1", Some(&s390x())).id, multi.other);
    assert_eq!(yard.store.get(&name).unwrap().id, multi.other);
    let error = yard.store.get_for(&name, Some(&machine())).unwrap_err();
    assert!(error.to_string().contains("was found but does not provide the specified platform (linux/"), "{error}");
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(yard.pull("app:1", None).id, multi.ours);

    let check = |yard: &Yard| {
        assert_eq!(yard.shown(), [multi.ours]);
        assert_eq!(yard.store.get(&name).unwrap().id, multi.ours);
        assert_eq!(yard.store.get_for(&name, Some(&s390x())).unwrap().id, multi.other);
        let parts = yard.store.parts_of(&multi.ours);
        assert!(parts.iter().all(|part| part.available == Available::Yes && part.content > 0));
        let of = |part: &image::PartView| match &part.kind {
            PartKind::Image { id, platform, .. } => (*id, platform.architecture.clone()),
            other => panic!("{other:?}"),
        };
        let expected = [(Some(multi.ours), machine().architecture), (Some(multi.other), "s390x".to_owned())];
        assert_eq!(parts.iter().map(of).collect::<Vec<_>>(), expected);
        assert_eq!(yard.store.target_of(&name).unwrap().digest, sha(&multi.index));
        assert_eq!(yard.store.get(&sha(&multi.index).to_string()).unwrap().id, multi.ours);
        yard.is_sound();
    };
    check(&yard);
    let yard = yard.reopen();
    check(&yard);
    let usage = yard.store.usage().unwrap();
    assert_eq!(usage.images.iter().map(|image| image.id).collect::<Vec<_>>(), [multi.ours]);

    // A further name is one of all of it.
    yard.store.tag(&name, "other:1").unwrap();
    assert_eq!(yard.store.get_for("other:1", Some(&s390x())).unwrap().id, multi.other);
    yard.store.remove(&name, Force::No, &[]).unwrap();
    assert_eq!(yard.store.get_for("other:1", Some(&s390x())).unwrap().id, multi.other);
    let removed = yard.store.remove("other:1", Force::No, &[]).unwrap();
    for id in [multi.ours, multi.other] {
        assert!(removed.contains(&Removed::Deleted(id)), "{removed:?}");
    }
    assert_eq!((yard.blobs(), yard.layers()), (Vec::new(), Vec::new()));
}

#[test]
fn a_container_of_another_platform_keeps_its_image() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    yard.pull("app:1", Some(&s390x()));
    yard.store.remove(&yard.name("app:1"), Force::Yes, &[multi.other]).unwrap();
    assert_eq!(yard.store.get(&multi.other.to_string()).unwrap().id, multi.other);
    yard.is_sound();
    let left = yard.store.get(&multi.other.to_string()).unwrap();
    yard.store.remove(&left.id.to_string(), Force::Yes, &[]).unwrap();
    for id in yard.shown() {
        yard.store.remove(&id.to_string(), Force::Yes, &[]).unwrap();
    }
    assert_eq!((yard.blobs(), yard.layers()), (Vec::new(), Vec::new()));
}

#[test]
fn a_tag_that_moves_leaves_its_old_index_with_its_digest() {
    let yard = Yard::new();
    let old = yard.serve("1");
    yard.pull("app:1", None);
    yard.pull("app:1", Some(&s390x()));
    let (a, b) = (layer("new-ours"), layer("new-other"));
    let new = config(&a, &machine().architecture);
    let one = yard.fake.put_image(("app", "x"), &new, &[(TAR, &a)]);
    let two = yard.fake.put_image(("app", "y"), &config(&b, "s390x"), &[(TAR, &b)]);
    let moved = index(&[yard.entry(one, &machine().architecture), yard.entry(two, "s390x")]);
    yard.fake.put_manifest("app", "1", INDEX, &moved);
    assert!(yard.pull("app:1", None).newer);
    let name = yard.name("app:1");
    assert_eq!(yard.store.get(&name).unwrap().id, sha(&new));
    assert!(yard.store.get_for(&name, Some(&s390x())).is_err());
    let before = yard.name(&format!("app@{}", sha(&old.index)));
    assert_eq!(yard.store.get_for(&before, Some(&s390x())).unwrap().id, old.other);
    yard.is_sound();
}

#[test]
fn an_index_is_pushed_when_all_of_it_is_here() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    yard.store.tag(&yard.name("app:1"), &yard.name("copy:1")).unwrap();
    // One platform is here: it is pushed by itself, and that is told.
    let pushed = yard.push("copy:1", None).unwrap();
    let (original, selected) = *pushed.instead_of.clone().unwrap();
    assert_eq!((original.digest, selected.digest), (sha(&multi.index), pushed.digest));
    assert_eq!(yard.fake.manifest("copy:1").unwrap().0, MANIFEST);
    yard.pull("app:1", Some(&s390x()));
    let pushed = yard.push("copy:1", None).unwrap();
    assert_eq!((pushed.digest, pushed.instead_of), (sha(&multi.index), None));
    let (media, bytes) = yard.fake.manifest("copy:1").unwrap();
    assert_eq!((media.as_str(), &bytes), (INDEX, &multi.index));
    let parsed: Value = serde_json::from_slice(&bytes).unwrap();
    for entry in parsed["manifests"].as_array().unwrap() {
        let (_, manifest) = yard.fake.manifest(&format!("copy@{}", entry["digest"].as_str().unwrap())).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap();
        assert!(
            yard.fake.blob("copy", layer).is_some()
                && yard.fake.blob("copy", manifest["config"]["digest"].as_str().unwrap()).is_some()
        );
    }
    // One platform alone, and one that there is not.
    let pushed = yard.push("copy:1", Some(&s390x())).unwrap();
    assert_eq!(pushed.instead_of, None);
    assert_eq!(yard.fake.manifest("copy:1").unwrap().0, MANIFEST);
    let error = yard.push("copy:1", Some(&image::parse_platform("linux/riscv64").unwrap())).unwrap_err();
    assert!(error.to_string().ends_with("does not provide the specified platform (linux/riscv64)"), "{error}");
}

#[test]
fn a_save_and_a_load_keep_the_index() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    yard.pull("app:1", Some(&s390x()));
    let name = yard.name("app:1");
    let archive = yard.save(&name, None);
    assert_eq!(archive, yard.save(&name, None));
    let second = Yard::new();
    let mut seen = Vec::new();
    second.store.load(&mut &archive[..], &mut |step| seen.push(step)).unwrap();
    assert!(seen.contains(&image::Progress::Loaded { tag: name.clone() }), "{seen:?}");
    assert_eq!(second.shown(), [multi.ours]);
    assert_eq!(second.store.get_for(&name, Some(&s390x())).unwrap().id, multi.other);
    assert_eq!(second.store.target_of(&name).unwrap().digest, sha(&multi.index));
    assert_eq!(second.save(&name, None), archive);
    second.is_sound();

    let third = Yard::new();
    third.store.load_for(&mut &archive[..], Some(&s390x()), &mut |_| {}).unwrap();
    assert_eq!(third.store.get(&name).unwrap().id, multi.other);
    assert!(third.store.get_for(&name, Some(&machine())).is_err());
    // An archive of one platform is one of a plain image.
    let fourth = Yard::new();
    fourth.store.load(&mut &yard.save(&name, Some(&s390x()))[..], &mut |_| {}).unwrap();
    assert_eq!(fourth.store.get(&name).unwrap().id, multi.other);
    assert_eq!(fourth.layers().len(), 1);
}

#[test]
fn an_index_is_put_together_with_what_is_said_of_its_images() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    yard.pull("app:1", Some(&s390x()));
    let entries = [multi.ours, multi.other].map(|id| yard.store.manifest_of(&id).unwrap());
    let statement = br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#.to_vec();
    let attested = br#"{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec();
    let said = json!({ "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor(fake::CONFIG, &attested),
        "layers": [descriptor("application/vnd.in-toto+json", &statement)] });
    let said = serde_json::to_vec(&said).unwrap();
    let mut about = descriptor(MANIFEST, &said);
    about["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    about["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": entries[0].digest });
    let about: oci::image::Descriptor = serde_json::from_value(about).unwrap();
    let index = Index {
        schema_version: 2,
        media_type: Some(INDEX.to_owned()),
        manifests: vec![entries[0].clone(), entries[1].clone(), about],
        ..Index::default()
    };
    let names = [Reference::parse(&yard.name("made:1")).unwrap()];
    // Without its documents it is not complete, and nothing stays of it.
    let before = yard.blobs();
    let bare = AssembledIndex { index: &index, documents: &[], names: &names };
    assert_eq!(yard.store.assemble_index(&bare).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(yard.blobs(), before);
    let documents = [said, attested, statement];
    let whole = AssembledIndex { index: &index, documents: &documents, names: &names };
    let made = yard.store.assemble_index(&whole).unwrap();
    assert_eq!(made.image, multi.ours);
    let yard = yard.reopen();
    yard.is_sound();
    let kinds: Vec<PartKind> = yard.store.parts_of(&multi.ours).into_iter().map(|part| part.kind).collect();
    assert!(kinds.contains(&PartKind::Attestation(entries[0].digest)), "{kinds:?}");
    assert_eq!(yard.shown(), [multi.ours]);
    let pushed = yard.push("made:1", None).unwrap();
    assert_eq!((pushed.digest, pushed.instead_of), (made.digest, None));
    // What is said goes with it, into archives, too.
    let second = Yard::new();
    let name = yard.name("made:1");
    second.store.load(&mut &yard.save(&name, None)[..], &mut |_| {}).unwrap();
    assert_eq!(second.store.target_of(&name).unwrap().digest, made.digest);
    assert_eq!(second.save(&name, None), yard.save(&name, None));
    yard.store.remove(&name, Force::No, &[]).unwrap();
    yard.store.remove(&yard.name("app:1"), Force::No, &[]).unwrap();
    assert_eq!((yard.blobs(), yard.layers()), (Vec::new(), Vec::new()));
}

#[test]
fn an_index_that_was_not_named_before_a_crash_is_swept() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    let content = yard.folder.path().join("content");
    let saved = fs::read(content.join("index.json")).unwrap();
    let before = yard.blobs();
    yard.pull("app:1", Some(&s390x()));
    // As if the engine had died before the index of the layout was replaced.
    fs::write(content.join("index.json"), saved).unwrap();
    let yard = yard.reopen();
    assert_eq!(yard.store.get(&yard.name("app:1")).unwrap().id, multi.ours);
    assert!(yard.store.get_for(&yard.name("app:1"), Some(&s390x())).is_err());
    assert_eq!(yard.blobs(), before);
    yard.is_sound();
    assert!(yard.pull("app:1", Some(&s390x())).newer);
    assert_eq!(yard.store.get_for(&yard.name("app:1"), Some(&s390x())).unwrap().id, multi.other);
}

#[test]
fn an_index_whose_document_is_gone_leaves_its_images() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    yard.pull("app:1", Some(&s390x()));
    fs::remove_file(yard.folder.path().join("content/blobs/sha256").join(sha(&multi.index).hex())).unwrap();
    let report = yard.store.check(Mend::Yes, &mut |_| {}).unwrap();
    assert!(report.faults.iter().any(|fault| fault.what.starts_with("index ") && fault.mended), "{report:?}");
    yard.is_sound();
    let yard = yard.reopen();
    assert_eq!(yard.store.get(&yard.name("app:1")).unwrap().id, multi.ours);
    let mut shown = yard.shown();
    shown.sort();
    let mut both = [multi.ours, multi.other];
    both.sort();
    assert_eq!(shown, both);
}

#[test]
fn the_layout_names_only_plain_manifests() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    yard.pull("app:1", Some(&s390x()));
    let index: Value =
        serde_json::from_slice(&fs::read(yard.folder.path().join("content/index.json")).unwrap()).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["mediaType"] == MANIFEST));
    let named = |entry: &&Value| entry["annotations"]["io.containerd.image.name"] == yard.name("app:1");
    let named = entries.iter().find(named).unwrap();
    assert_eq!(named["annotations"]["dhow.image.index"], sha(&multi.index).to_string());
}

#[test]
fn the_disk_budget_takes_platforms_one_by_one() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    yard.pull("app:1", Some(&s390x()));
    yard.store.touch(&multi.other);
    let gone = yard.store.evict(0, &[multi.other]).unwrap();
    assert_eq!(gone, [multi.ours]);
    assert_eq!(yard.store.get(&yard.name("app:1")).unwrap().id, multi.other);
    yard.is_sound();
    yard.store.evict(0, &[]).unwrap();
    assert_eq!((yard.blobs(), yard.layers()), (Vec::new(), Vec::new()));
}

#[test]
fn a_platform_goes_without_the_other_names_of_its_image() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    yard.pull("app:1", Some(&s390x()));
    let name = yard.name("app:1");
    yard.store.tag(&multi.other.to_string(), "other:1").unwrap();
    assert_eq!(yard.store.remove_platforms(&name, &[s390x()], &[]).unwrap(), []);
    assert!(yard.store.get_for(&name, Some(&s390x())).is_err());
    assert_eq!(yard.store.get("other:1").unwrap().id, multi.other);
    // The last platform of a name takes that name with it, and no other.
    yard.store.tag("other:1", "more:1").unwrap();
    yard.store.remove_platforms("other:1", &[s390x()], &[]).unwrap();
    assert!(yard.store.get("other:1").is_err());
    assert_eq!(yard.store.get("more:1").unwrap().id, multi.other);
    yard.is_sound();
}

#[test]
fn an_index_that_lists_one_manifest_very_often_is_refused() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    let listed: Index = serde_json::from_slice(&multi.index).unwrap();
    let entry = serde_json::to_value(&listed.manifests[0]).unwrap();
    let many = index(&vec![entry.clone(); 2000]);
    yard.fake.put_manifest("app", "many", INDEX, &many);
    let reference = Reference::parse(&yard.name("app:many")).unwrap();
    let pull = Pull {
        reference: &reference,
        platform: None,
        registry: &yard.client,
        credentials: &Credentials::default(),
        cancel: &Cancel::default(),
        downloads: 3,
    };
    let error = yard.store.pull(&pull, &|_| {}).unwrap_err();
    assert!(base::chain(&error).contains("lists more than 1000 manifests"), "{}", base::chain(&error));
    // Several times is allowed: for platforms that have one image in common.
    yard.fake.put_manifest("app", "twice", INDEX, &index(&vec![entry; 2]));
    yard.pull("app:twice", None);
    let archive = yard.save(&yard.name("app:twice"), None);
    let second = Yard::new();
    second.store.load(&mut &archive[..], &mut |_| {}).unwrap();
    assert_eq!(second.shown(), [multi.ours]);
    second.is_sound();
}

#[test]
fn an_index_that_cannot_be_read_for_now_is_kept() {
    let yard = Yard::new();
    let multi = yard.serve("1");
    yard.pull("app:1", None);
    yard.pull("app:1", Some(&s390x()));
    let name = yard.name("app:1");
    let path = yard.folder.path().join("content/blobs/sha256").join(sha(&multi.index).hex());
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    // Reading it fails, and not because it is not there.
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let yard = yard.reopen();
    assert!(yard.store.get(&name).is_err());
    yard.store.tag(&multi.ours.to_string(), "other:1").unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let yard = yard.reopen();
    assert_eq!(yard.store.get_for(&name, Some(&s390x())).unwrap().id, multi.other);
}
