//! Layers that are made here: written above others, named by what they are, the same as unpacked ones. Needs root.

use archive::fixture::Tar;
use base::Digest;
use layer::{Lower, Store};
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

const BASE: u32 = 0x7000_0000;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("layers")).unwrap();
    (folder, store)
}

fn at(root: BorrowedFd<'_>, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd())).join(path)
}

fn lower(store: &Store) -> Digest {
    let tar = Tar::new().folder("d", 0o755).file("d/old", b"old").file("d/gone", b"gone");
    store.unpack(&mut &tar.finish()[..], None).unwrap()
}

fn repacked(store: &Store, layer: &Digest) -> Vec<u8> {
    let mut tar = Vec::new();
    store.repack(layer, &mut tar).unwrap();
    tar
}

#[test]
fn what_is_written_above_layers_is_a_layer_with_the_name_of_its_tar() {
    let (_folder, store) = store();
    let below = lower(&store);
    let work = store.begin(&[Lower::Layer(below)]).unwrap();
    fs::write(at(work.root(), "d/new"), "12345").unwrap();
    fs::remove_file(at(work.root(), "d/gone")).unwrap();
    assert_eq!(fs::read(at(work.root(), "d/old")).unwrap(), b"old");
    let made = store.finish(work).unwrap().unwrap();
    assert_eq!((made.bytes, store.size(&made.diff_id).unwrap()), (5, 5));
    let tar = repacked(&store, &made.diff_id);
    assert_eq!(made.tar, tar.len() as u64);
    assert!(
        store
            .verify(&made.diff_id, &mut &tar[..])
            .is_ok_and(|is| is.diff_id == made.diff_id && is.differences.is_empty())
    );
    let diff = store.diff(&made.diff_id);
    assert!(fs::symlink_metadata(diff.join("d/gone")).unwrap().file_type().is_char_device());
    assert!(!diff.join("d/old").exists());
}

#[test]
fn nothing_written_is_no_layer() {
    let (folder, store) = store();
    let below = lower(&store);
    let work = store.begin(&[Lower::Layer(below)]).unwrap();
    assert_eq!(store.finish(work).unwrap(), None);
    let dropped = store.begin(&[]).unwrap();
    fs::write(at(dropped.root(), "x"), "x").unwrap();
    drop(dropped);
    assert_eq!(store.adopt(&folder.path().join("never-mounted"), 0).unwrap(), None);
    assert_eq!(fs::read_dir(folder.path().join("layers/tmp")).unwrap().count(), 0);
}

#[test]
fn the_same_tree_is_the_same_layer() {
    let (_folder, store) = store();
    let make = || {
        let work = store.begin(&[]).unwrap();
        fs::write(at(work.root(), "f"), "same").unwrap();
        let file = fs::File::open(at(work.root(), "f")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        store.finish(work).unwrap().unwrap()
    };
    assert_eq!(make(), make());
}

#[test]
fn owners_of_a_container_become_those_of_an_image() {
    let (folder, store) = store();
    let rw = folder.path().join("rw");
    let upper = rw.join("upper");
    fs::create_dir_all(upper.join("d")).unwrap();
    fs::write(upper.join("d/set"), "x").unwrap();
    fs::hard_link(upper.join("d/set"), upper.join("d/also")).unwrap();
    symlink("set", upper.join("d/link")).unwrap();
    for path in ["", "d", "d/set"] {
        chown(upper.join(path), Some(BASE + 7), Some(BASE)).unwrap();
    }
    chown(&upper, Some(BASE), Some(BASE)).unwrap();
    fs::set_permissions(&upper, PermissionsExt::from_mode(0o755)).unwrap();
    lchown(upper.join("d/link"), Some(BASE + 7), Some(BASE + 8)).unwrap();
    fs::set_permissions(upper.join("d/set"), PermissionsExt::from_mode(0o4755)).unwrap();
    std::os::unix::net::UnixListener::bind(upper.join("d/socket")).unwrap();
    let made = store.adopt(&rw, BASE).unwrap().unwrap();
    let diff = store.diff(&made.diff_id);
    let look = |path: &str| fs::symlink_metadata(diff.join(path)).unwrap();
    assert_eq!((look("").uid(), look("d").uid(), look("d").gid()), (0, 7, 0));
    assert_eq!((look("d/set").uid(), look("d/set").mode() & 0o7777), (7, 0o4755));
    assert_eq!((look("d/link").uid(), look("d/link").gid()), (7, 8));
    assert_eq!((look("d/set").ino(), made.bytes), (look("d/also").ino(), 1));
    assert!(!diff.join("d/socket").exists() && !is_there(&upper));
    let tar = repacked(&store, &made.diff_id);
    assert_eq!(store.verify(&made.diff_id, &mut &tar[..]).unwrap().differences, []);
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
