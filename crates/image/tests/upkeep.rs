//! Usage, checks, garbage, eviction, and an engine killed at any moment. Needs root (layers hold owners).

mod yard;

use base::Digest;
use image::upkeep::{Fault, Mend};
use image::{Force, HostMask, Keep, Store};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use yard::{Archive, Pack, Yard, archive, layer, on_disk};

fn du(root: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "-c", "-B1", "content", "layers"]).current_dir(root).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

fn faults(yard: &Yard, mend: Mend) -> Vec<Fault> {
    yard.store.check(mend, &mut |_| ()).unwrap().faults
}

fn told(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|fault| format!("{}: {}", fault.what, fault.wrong)).collect()
}

/// Two images with a layer in common.
fn filled() -> (Yard, Archive, Archive) {
    let yard = Yard::new();
    let base = layer("base", 400_000);
    let one = archive(&["one:1"], &[&base, &layer("one", 100_000)], Pack::Gzip);
    let two = archive(&["two:1"], &[&base, &layer("two", 50)], Pack::Gzip);
    yard.load(&one.bytes).unwrap();
    yard.load(&two.bytes).unwrap();
    settled(&yard);
    (yard, one, two)
}

/// Waits until no layer has a mark any more: marks take room, too.
fn settled(yard: &Yard) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !yard.store.layers().is_synced().unwrap() {
        assert!(Instant::now() < deadline, "the layers do not come to disk");
        std::thread::yield_now();
    }
}

#[test]
fn usage_is_what_du_says_and_shares_are_told() {
    let (yard, one, two) = filled();
    let usage = yard.store.usage().unwrap();
    let du = du(yard.root());
    assert!(usage.total.abs_diff(du) * 100 <= du, "{} {du}", usage.total);
    let of = |id: &Digest| usage.images.iter().find(|image| image.id == *id).unwrap();
    assert_eq!(of(&one.id).shared, of(&two.id).shared);
    assert!(of(&one.id).shared > 400_000 && of(&one.id).size > of(&two.id).size + 90_000);
    assert!(of(&two.id).size > of(&two.id).shared);
    yard.store.remove("one:1", Force::No, &[]).unwrap();
    let usage = yard.store.usage().unwrap();
    assert_eq!(usage.images.len(), 1);
    assert_eq!(usage.images[0].shared, 0);
}

#[test]
fn an_intact_store_has_no_faults_and_all_of_it_was_read() {
    let (yard, ..) = filled();
    let mut told = Vec::new();
    let report = yard.store.check(Mend::No, &mut |line| told.push(line.to_owned())).unwrap();
    assert_eq!(report.faults, Vec::new());
    assert_eq!((report.blobs, report.layers), (7, 3));
    let sizes =
        yard.on_disk().0.into_iter().map(|name| fs::metadata(yard.root().join("content/blobs/sha256").join(name)));
    assert_eq!(report.bytes, sizes.map(|m| m.unwrap().len()).sum::<u64>());
    assert_eq!(told.len(), 7 + 3 + 2);
}

#[test]
fn a_store_of_nothing_has_no_faults() {
    assert_eq!(told(&faults(&Yard::new(), Mend::No)), Vec::<String>::new());
}

#[test]
fn images_whose_blobs_were_not_to_be_kept_are_intact() {
    let yard = Yard::keeping(Keep::TreesOnly);
    let base = layer("base", 4000);
    yard.load(&archive(&["one:1"], &[&base], Pack::Gzip).bytes).unwrap();
    yard.load(&archive(&[], &[&base, &layer("two", 50)], Pack::Plain).bytes).unwrap();
    assert_eq!(told(&faults(&yard, Mend::No)), Vec::<String>::new());
    // Now blobs are kept: of what comes, not of what came.
    let yard = yard.reopen();
    assert_eq!(told(&faults(&yard, Mend::Yes)), Vec::<String>::new());
    let three = archive(&["three:1"], &[&layer("three", 50)], Pack::Gzip);
    yard.load(&three.bytes).unwrap();
    fs::remove_file(yard.blob(&three.blobs[0])).unwrap();
    let found = told(&faults(&yard, Mend::No));
    assert!(found.len() == 1 && found[0].contains("three:1"), "{found:?}");
}

#[test]
fn a_broken_tree_is_found_and_unpacked_again() {
    let (yard, one, _) = filled();
    let changed = yard.layer(&one.diff_ids[1]).join("diff/bin/one");
    fs::write(&changed, b"short").unwrap();
    fs::remove_dir_all(yard.layer(&one.diff_ids[0])).unwrap();
    let found = told(&faults(&yard, Mend::No));
    let changed = format!("layer {}: bin/one has another size", one.diff_ids[1]);
    let missing = format!("layer {}: its tree is missing", one.diff_ids[0]);
    assert!(found.contains(&changed) && found.contains(&missing), "{found:?}");
    let mended = faults(&yard, Mend::Yes);
    assert!(mended.iter().all(|fault| fault.mended), "{mended:?}");
    assert_eq!(faults(&yard, Mend::No), Vec::new());
    assert_eq!(yard.store.list().unwrap().len(), 3);
    let yard = yard.reopen();
    yard.on_disk();
}

#[test]
fn a_blob_that_lies_goes_and_its_image_stays_as_long_as_it_runs() {
    let (yard, one, two) = filled();
    fs::write(yard.blob(&one.blobs[1]), b"other").unwrap();
    fs::write(yard.blob(&two.id), b"{}").unwrap();
    let before = faults(&yard, Mend::No);
    assert!(told(&before).iter().any(|line| line.starts_with(&format!("blob {}: its bytes are", one.blobs[1]))));
    assert!(told(&before).iter().any(|line| line.starts_with("image two:1: ")), "{before:?}");
    assert!(before.iter().all(|fault| !fault.mended));
    faults(&yard, Mend::Yes);
    assert!(yard.store.get("two:1").is_err());
    assert_eq!(yard.store.get("one:1").unwrap().id, one.id);
    let left = told(&faults(&yard, Mend::No));
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains("cannot be saved or pushed") && left[0].contains(&one.blobs[1].to_string()), "{left:?}");
    yard.load(&one.bytes).unwrap();
    assert_eq!(faults(&yard, Mend::No), Vec::new());
}

#[test]
fn orphans_strangers_and_a_broken_index_are_found_and_go() {
    let (yard, one, _) = filled();
    let orphan = yard::sha(b"orphan");
    fs::write(yard.blob(&orphan), b"orphan").unwrap();
    let tree = yard.layer(&yard::sha(b"tree"));
    fs::create_dir_all(tree.join("diff")).unwrap();
    fs::write(tree.join("size"), "0").unwrap();
    fs::write(yard.root().join("layers/sha256/stranger"), b"x").unwrap();
    fs::write(yard.root().join("content/index.json"), b"{").unwrap();
    assert_eq!(faults(&yard, Mend::No).len(), 4);
    let mended = faults(&yard, Mend::Yes);
    assert!(mended.len() == 4 && mended.iter().all(|fault| fault.mended), "{mended:?}");
    assert_eq!(faults(&yard, Mend::No), Vec::new());
    let (blobs, layers) = yard.on_disk();
    assert_eq!((blobs.len(), layers.len()), (7, 3));
    assert_eq!(yard.reopen().store.get("one:1").unwrap().id, one.id);
}

#[test]
fn garbage_goes_on_demand_and_says_what_it_was() {
    let (yard, ..) = filled();
    fs::write(yard.blob(&yard::sha(b"x")), vec![0; 10_000]).unwrap();
    let tree = yard.layer(&yard::sha(b"tree"));
    fs::create_dir_all(tree.join("diff")).unwrap();
    fs::write(tree.join("diff/file"), vec![1; 50_000]).unwrap();
    let before = du(yard.root());
    let collected = yard.store.collect_garbage().unwrap();
    assert_eq!((collected.blobs, collected.layers), (1, 1));
    assert_eq!(collected.bytes, before - du(yard.root()));
    assert_eq!(yard.store.collect_garbage().unwrap(), Default::default());
    assert_eq!(faults(&yard, Mend::No), Vec::new());
}

/// An archive in whose midst somebody wants the garbage collected.
struct Meddling<'a> {
    store: &'a Store,
    bytes: &'a [u8],
    meddled: usize,
}

impl Read for Meddling<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = buffer.len().min(4096);
        assert_eq!(self.store.collect_garbage().unwrap(), Default::default());
        assert_eq!(self.store.check(Mend::Yes, &mut |_| ()).unwrap().faults, Vec::new());
        self.meddled += 1;
        self.bytes.read(&mut buffer[..size])
    }
}

#[test]
fn what_arrives_is_safe_from_collectors_and_checks() {
    let (yard, ..) = filled();
    let orphan = yard.blob(&yard::sha(b"orphan"));
    fs::write(&orphan, b"orphan").unwrap();
    let new = archive(&["new:1"], &[&layer("base", 400_000), &layer("new", 90_000)], Pack::Plain);
    let mut source = Meddling { store: &yard.store, bytes: &new.bytes, meddled: 0 };
    yard.store.load(&mut source, &mut |_| ()).unwrap();
    assert!(source.meddled > 10);
    assert!(!orphan.exists(), "it goes when the load is over");
    assert_eq!(yard.store.get("new:1").unwrap().id, new.id);
    assert_eq!(faults(&yard, Mend::No), Vec::new());
}

#[test]
fn the_longest_unused_images_go_until_the_budget_is_kept() {
    let yard = Yard::new();
    let all: Vec<Archive> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| archive(&[&format!("{name}:1"), &format!("{name}:2")], &[&layer(name, 300_000)], Pack::Plain))
        .collect();
    for one in &all {
        yard.load(&one.bytes).unwrap();
    }
    for n in [2, 0, 1, 3] {
        yard.store.touch(&all[n].id);
    }
    let yard = yard.reopen();
    settled(&yard);
    let usage = yard.store.usage().unwrap().total;
    assert_eq!(yard.store.evict(usage, &[]).unwrap(), []);
    // c was used first, but a container stands on it; then comes a.
    assert_eq!(yard.store.evict(usage - 1, &[all[2].id]).unwrap(), [all[0].id]);
    assert!(yard.store.get("a:1").is_err() && yard.store.get("a:2").is_err());
    assert!(yard.store.usage().unwrap().total < usage - 600_000);
    yard.store.touch(&all[1].id);
    let gone = yard.store.evict(0, &[all[1].id]).unwrap();
    assert_eq!(gone, [all[2].id, all[3].id]);
    assert_eq!(yard.store.list().unwrap().len(), 2, "b, and the host image");
    assert_eq!(yard.on_disk().1.len(), 1);
    assert_eq!(yard::names(&yard.root().join("used")), [all[1].id.hex()]);
}

const STORM: &str = "DHOW_TEST_STORM";

/// An engine that loads, names, commits, removes and collects until it is killed. A line for each step.
fn storm(root: &Path) {
    let store = Store::open(root, HostMask::default()).unwrap();
    let rw = tempfile::tempdir().unwrap();
    fs::create_dir(rw.path().join("upper")).unwrap();
    fs::create_dir(rw.path().join("work")).unwrap();
    let base = layer("base", 30_000);
    let packs = [Pack::Plain, Pack::Gzip, Pack::Zstd];
    for round in 0.. {
        let name = format!("app{}:1", round % 3);
        let top = layer(&format!("top{}", round % 5), 20_000);
        let app = archive(&[&name], &[&base, &top], packs[round % 3]);
        store.load(&mut &app.bytes[..], &mut |_| ()).unwrap();
        println!("loaded");
        store.tag(&name, &format!("also{}:{}", round % 2, round % 7)).unwrap();
        println!("tagged");
        fs::write(rw.path().join("upper/file"), round.to_string()).unwrap();
        let commit = image::Commit {
            parent: app.id,
            rw: rw.path().to_owned(),
            owner: 0,
            config: Default::default(),
            changes: Vec::new(),
            author: String::new(),
            comment: String::new(),
            created_by: String::new(),
            reference: Some(image::Reference::parse("committed").unwrap()),
        };
        store.touch(&store.commit(&commit).unwrap());
        println!("committed");
        for image in store.list().unwrap().into_iter().filter(|image| image.tags.is_empty()).take(2) {
            store.remove(&image.id.to_string(), Force::Yes, &[]).unwrap();
        }
        store.remove(&name, Force::No, &[]).unwrap();
        println!("removed");
        store.collect_garbage().unwrap();
        println!("collected");
    }
}

/// A number below `most` that nobody knows beforehand.
fn chance(most: u64) -> u64 {
    u64::from_str_radix(&base::Id::random().to_string()[..8], 16).unwrap() % most
}

#[test]
fn an_engine_killed_at_any_moment_leaves_a_sound_store() {
    if let Some(root) = std::env::var_os(STORM) {
        storm(Path::new(&root));
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut images = 0;
    for _ in 0..30 {
        kill_a_storm(root.path(), scratch.path());
        let store = Store::open(root.path(), HostMask::default()).unwrap();
        let report = store.check(Mend::No, &mut |_| ()).unwrap();
        assert_eq!(report.faults, Vec::new());
        images += store.list().unwrap().len() - 1;
        drop(store);
        let (blobs, layers) = on_disk(root.path());
        assert_eq!((blobs.len(), layers.len()), (report.blobs, report.layers));
    }
    assert!(images > 30, "the engines did too little: {images}");
}

fn kill_a_storm(root: &Path, scratch: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_engine_killed_at_any_moment_leaves_a_sound_store", "--nocapture"])
        .env(STORM, root)
        .env("TMPDIR", scratch)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let steps = ["loaded", "tagged", "committed", "removed", "collected"];
    let mut left = chance(12);
    while left > 0 {
        let line = lines.next().expect("the child ended").unwrap();
        left -= u64::from(steps.iter().any(|step| line.ends_with(step)));
    }
    let moment = Instant::now() + Duration::from_micros(chance(20_000));
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
