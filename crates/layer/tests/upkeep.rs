//! Layers measured, compared with their tars, and unpacked anew. Needs root.

use archive::fixture::Tar;
use base::Digest;
use layer::{Store, Trash};
use sha2::Digest as _;
use std::fs;
use std::path::Path;
use std::process::Command;

fn tar() -> Vec<u8> {
    Tar::new().folder("a", 0o755).file("a/file", &[7; 100_000]).hardlink("a/same", "a/file").finish()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

fn store() -> (tempfile::TempDir, Store, Digest) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let diff_id = store.unpack(&mut &tar()[..], None).unwrap();
    (folder, store, diff_id)
}

fn du(path: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "-B1"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn usage_follows_what_comes_and_goes() {
    let (folder, store, diff_id) = store();
    assert_eq!(store.usage().unwrap(), du(folder.path()));
    assert_eq!(store.usage_of(&diff_id).unwrap(), du(store.diff(&diff_id).parent().unwrap()));
    store.sync().unwrap();
    assert_eq!(store.usage().unwrap(), du(folder.path()), "the mark is gone");
    store.unpack(&mut &Tar::new().file("b", &[1; 50_000]).finish()[..], None).unwrap();
    assert_eq!(store.usage().unwrap(), du(folder.path()));
    store.remove(&diff_id).unwrap();
    assert_eq!(store.usage_of(&diff_id).unwrap(), 0);
    assert_eq!(store.usage().unwrap(), du(folder.path()));
}

#[test]
fn a_discarded_layer_loses_its_name_at_once_and_its_tree_with_the_trash() {
    let (folder, store, diff_id) = store();
    let mut trash = Trash::default();
    store.discard(&diff_id, &mut trash).unwrap();
    assert!(!store.has(&diff_id));
    let left = || fs::read_dir(folder.path().join("tmp")).unwrap().count();
    assert_eq!(left(), 1);
    drop(trash);
    assert_eq!(left(), 0);
    store.discard(&diff_id, &mut Trash::default()).unwrap();
}

#[test]
fn a_tree_is_compared_with_its_tar_and_made_anew() {
    let (folder, store, diff_id) = store();
    let verified = store.verify(&diff_id, &mut &tar()[..]).unwrap();
    assert_eq!((verified.diff_id, verified.differences), (diff_id, Vec::new()));
    fs::write(store.diff(&diff_id).join("a/more"), b"x").unwrap();
    let open = fs::File::open(store.diff(&diff_id).join("a/more")).unwrap();
    let verified = store.verify(&diff_id, &mut &tar()[..]).unwrap();
    assert!(verified.differences.iter().any(|d| d.path == b"a/more" && d.what == "is not in the tar"));
    assert!(store.replace(&diff_id, &mut &b"another"[..]).is_err());
    assert!(store.diff(&diff_id).join("a/more").exists(), "the old tree is back");
    store.replace(&diff_id, &mut &tar()[..]).unwrap();
    assert!(!store.diff(&diff_id).join("a/more").exists());
    assert_eq!(open.metadata().unwrap().len(), 1);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    assert_eq!(store.verify(&diff_id, &mut &tar()[..]).unwrap().diff_id, digest(&tar()));
}

#[test]
fn what_is_wrong_without_a_tar_is_seen_and_strangers_are_named() {
    let (folder, store, diff_id) = store();
    assert_eq!(store.fault(&diff_id), None);
    assert_eq!(store.strangers().unwrap(), Vec::<std::path::PathBuf>::new());
    fs::write(store.diff(&diff_id).parent().unwrap().join("size"), "x").unwrap();
    assert_eq!(store.fault(&diff_id), Some("its size is not recorded"));
    assert_eq!(store.fault(&digest(b"none")), Some("its tree is missing"));
    fs::write(folder.path().join("sha256/odd"), "x").unwrap();
    assert_eq!(store.strangers().unwrap(), [folder.path().join("sha256/odd")]);
}
