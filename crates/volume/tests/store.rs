//! Making, finding and removing volumes, also after a crash.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use volume::{Error, Store};

fn store() -> (tempfile::TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("volumes");
    let store = Store::open(root.clone()).unwrap();
    (folder, root, store)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_volume_is_a_folder_with_a_record_that_survives_the_store() {
    let (_folder, root, store) = store();
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let made = store.create(Some("data-1"), labels.clone()).unwrap();
    assert_eq!(made.mountpoint, root.join("data-1/_data"));
    assert_eq!((made.labels.clone(), made.anonymous, made.created_at.len()), (labels, false, 20));
    assert_eq!((mode(&root), mode(&root.join("data-1")), mode(&made.mountpoint)), (0o701, 0o701, 0o755));
    let again = Store::open(root.clone()).unwrap();
    assert_eq!(again.get("data-1").unwrap(), made);
    assert_eq!(again.create(Some("data-1"), BTreeMap::new()).unwrap(), made);
    assert_eq!(names(&root), ["data-1"]);
}

#[test]
fn anonymous_volumes_have_64_hex_digits_and_are_listed_with_the_others() {
    let (_folder, _root, store) = store();
    let anonymous = store.create(None, BTreeMap::new()).unwrap();
    assert!(anonymous.anonymous && anonymous.name.len() == 64);
    assert!(anonymous.name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    let named = store.create(Some("zz"), BTreeMap::new()).unwrap();
    assert_eq!(store.list().unwrap(), [anonymous, named]);
}

#[test]
fn names_that_lead_elsewhere_are_refused_everywhere() {
    let (_folder, root, store) = store();
    for name in ["", ".", "..", "a/b", "/etc", "../x", ".new-1", "-a", "_a", "a b", "a\n", "a\0", "ä", &"x".repeat(256)]
    {
        assert!(matches!(store.create(Some(name), BTreeMap::new()), Err(Error::Name(_))), "{name:?}");
        assert!(matches!(store.get(name), Err(Error::Name(_))), "{name:?}");
        assert!(matches!(store.remove(name), Err(Error::Name(_))), "{name:?}");
    }
    assert!(names(&root).is_empty());
}

#[test]
fn what_is_not_there_is_not_found() {
    let (_folder, _root, store) = store();
    assert!(matches!(store.get("none"), Err(Error::NotFound(name)) if name == "none"));
    assert!(matches!(store.remove("none"), Err(Error::NotFound(_))));
}

#[test]
fn removal_follows_no_link_and_reaches_any_depth() {
    let (folder, root, store) = store();
    let volume = store.create(Some("deep"), BTreeMap::new()).unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "1").unwrap();
    symlink(&outside, volume.mountpoint.join("first")).unwrap();
    let mut inner = rustix::fs::open(&volume.mountpoint, flags(), rustix::fs::Mode::empty()).unwrap();
    for level in 0..3000 {
        rustix::fs::mkdirat(&inner, "d", rustix::fs::Mode::RWXU).unwrap();
        if level % 100 == 0 {
            rustix::fs::symlinkat(outside.to_str().unwrap(), &inner, "link").unwrap();
        }
        inner = rustix::fs::openat(&inner, "d", flags(), rustix::fs::Mode::empty()).unwrap();
    }
    drop(inner);
    store.remove("deep").unwrap();
    assert!(outside.join("precious").exists());
    assert!(names(&root).is_empty());
}

fn flags() -> rustix::fs::OFlags {
    rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC
}

#[test]
fn what_a_crash_left_half_done_is_cleared_away_or_completed() {
    let (_folder, root, store) = store();
    let volume = store.create(Some("half"), BTreeMap::new()).unwrap();
    let whole = store.create(Some("whole"), BTreeMap::new()).unwrap();
    let inode = fs::metadata(&whole.mountpoint).unwrap().ino();
    for path in [".new-1/_data", ".gone-2/_data/x", "half/_data.tmp/some", "whole/_data.full/a/b"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    fs::write(root.join("whole/_data.full/file"), "text").unwrap();
    fs::write(root.join("whole/_data/moved-before-the-crash"), "text").unwrap();
    fs::set_permissions(root.join("whole/_data.full"), fs::Permissions::from_mode(0o1777)).unwrap();
    let store = Store::open(root.clone()).unwrap();
    assert_eq!(names(&root), ["half", "whole"]);
    assert_eq!(names(&root.join("half")), ["_data", "volume.json"]);
    assert!(names(&volume.mountpoint).is_empty());
    assert_eq!(names(&root.join("whole")), ["_data", "volume.json"]);
    assert_eq!(names(&whole.mountpoint), ["a", "file", "moved-before-the-crash"]);
    assert_eq!((mode(&whole.mountpoint), fs::metadata(&whole.mountpoint).unwrap().ino()), (0o1777, inode));
    assert_eq!(store.list().unwrap().len(), 2);
}

#[test]
fn a_record_that_cannot_be_trusted_is_an_error_and_hides_no_other_volume() {
    let (_folder, root, store) = store();
    store.create(Some("good"), BTreeMap::new()).unwrap();
    for (name, text) in [
        ("broken", "{"),
        ("later", r#"{"version":2,"name":"later","created_at":""}"#),
        ("moved", r#"{"version":1,"name":"good","created_at":""}"#),
    ] {
        fs::create_dir_all(root.join(name).join("_data")).unwrap();
        fs::write(root.join(name).join("volume.json"), text).unwrap();
        assert!(matches!(store.get(name), Err(Error::Io { action: "read", .. })), "{name}");
    }
    assert_eq!(store.list().unwrap().len(), 1);
    store.remove("broken").unwrap();
    assert_eq!(names(&root), ["good", "later", "moved"]);
}

#[test]
fn many_who_create_one_name_get_one_volume() {
    let (_folder, root, store) = store();
    let made: Vec<_> = std::thread::scope(|scope| {
        let create = |n: u32| store.create(Some("one"), BTreeMap::from([("by".to_owned(), n.to_string())])).unwrap();
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || create(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|volume| *volume == made[0]));
    assert_eq!(names(&root), ["one"]);
}
