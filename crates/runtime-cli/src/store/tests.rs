//! State folders in a temporary root.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a").join("root");
    (folder, Store { root })
}

fn myself(id: &str) -> Saved {
    let pid = i32::try_from(std::process::id()).unwrap();
    let start = process::start_time(pid).unwrap().unwrap();
    Saved {
        version: Saved::VERSION,
        id: id.to_owned(),
        init_process_pid: pid,
        init_process_start: start,
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        ..Saved::default()
    }
}

fn clear(store: &Store, id: &str) {
    match store.hold(id).unwrap() {
        Some(Held::Remains(remains)) => remains.remove().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Whether somebody holds it.
fn is_held(path: &Path) -> bool {
    let folder = folder::open(path).unwrap().unwrap();
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err()
}

#[test]
fn ids_are_names_of_files_that_need_no_quotes() {
    let (_folder, store) = store();
    for id in ["a/b", ".", "..", "a b", "a\0", "é", "a%b"] {
        assert_eq!(store.make(id).unwrap_err().message, "invalid container ID format", "{id:?}");
        assert_eq!(store.open(id).unwrap_err().message, "invalid container ID format", "{id:?}");
    }
    assert_eq!(store.open("").unwrap_err().message, "container id cannot be empty");
    store.make("a_b+c-d.e9").unwrap();
}

#[test]
fn a_folder_is_made_once_and_is_gone_when_it_is_not_kept() {
    let (_folder, store) = store();
    let fresh = store.make("x").unwrap();
    assert_eq!(fs::metadata(&fresh.path).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(store.make("x").unwrap_err().message, "container with given ID already exists");
    assert_eq!(store.open("x").unwrap_err().message, "container does not exist");
    drop(fresh);
    assert!(store.ids().unwrap().is_empty());
    store.make("x").unwrap().into_container(Saved::default()).unwrap();
    assert_eq!(store.ids().unwrap(), ["x"]);
    clear(&store, "x");
    assert!(store.hold("x").unwrap().is_none());
    assert!(store.ids().unwrap().is_empty());
}

#[test]
fn what_is_saved_is_read_again() {
    let (_folder, store) = store();
    let fresh = store.make("x").unwrap();
    fresh.save(&myself("x")).unwrap();
    let config = Spec { hostname: Some("h".to_owned()), ..Spec::default() };
    fresh.save_config(&config).unwrap();
    fresh.into_container(Saved::default()).unwrap();
    let container = store.lock("x").unwrap();
    assert_eq!(container.saved, myself("x"));
    assert_eq!(container.config().unwrap(), config);
    assert_eq!(container.state().annotations["a"], "b");
    container.remove().unwrap();
    assert!(store.find("x").unwrap().is_none());
}

#[test]
fn a_lock_keeps_others_out_until_it_is_dropped() {
    let (_folder, store) = store();
    let fresh = store.make("x").unwrap();
    fresh.save(&myself("x")).unwrap();
    fresh.into_container(myself("x")).unwrap();
    let held = store.lock("x").unwrap();
    assert!(is_held(&held.folder));
    held.release();
    assert!(!is_held(&held.folder));
    let held = held.hold().unwrap().unwrap();
    let path = held.folder.clone();
    assert!(is_held(&path));
    drop(held);
    assert!(!is_held(&path));
}

#[test]
fn a_folder_is_held_until_others_can_read_what_it_is() {
    let (_folder, store) = store();
    let fresh = store.make("x").unwrap();
    assert!(is_held(&fresh.path));
    fresh.save(&myself("x")).unwrap();
    assert!(!is_held(&fresh.path));
}

#[test]
fn who_waited_for_a_container_that_was_deleted_does_not_get_the_next_one() {
    let (_folder, store) = store();
    let old = store.make("x").unwrap();
    let path = old.path.clone();
    let waiting = std::thread::spawn({
        let store = store.clone();
        move || store.hold("x").unwrap().map(|held| matches!(held, Held::Container(_)))
    });
    let locks = || fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !locks().lines().any(|line| line.contains("->") && line.contains(&format!(":{inode} "))) {
        assert!(std::time::Instant::now() < deadline, "nobody waits");
        std::thread::yield_now();
    }
    folder::remove(&path).unwrap();
    let next = store.make("x").unwrap();
    drop(old);
    assert!(path.exists(), "the next one was taken for the old one");
    next.save(&myself("x")).unwrap();
    next.into_container(myself("x")).unwrap();
    assert_eq!(waiting.join().unwrap(), Some(true));
}

#[test]
fn the_state_of_another_runtime_is_refused() {
    let (_folder, store) = store();
    let fresh = store.make("x").unwrap();
    fs::write(fresh.path.join(STATE), r#"{"id":"x","init_process_pid":1,"config":{}}"#).unwrap();
    let message = store.open("x").unwrap_err().message;
    assert!(message.starts_with("cannot read the state of x: it has the layout 0 of another runtime"), "{message}");
}

#[test]
fn the_status_is_what_the_process_and_the_gate_say() {
    let (_folder, store) = store();
    let fresh = store.make("x").unwrap();
    let gate = fresh.gate().unwrap();
    let mut container = fresh.into_container(myself("x")).unwrap();
    assert_eq!(container.status(), Status::Created);
    assert_eq!(container.state().pid, container.saved.init_process_pid);
    container.close_gate().unwrap();
    container.close_gate().unwrap();
    assert_eq!(container.status(), Status::Running);
    assert!(container.init().unwrap().is_some());
    container.saved.init_process_start += 1;
    assert_eq!(container.status(), Status::Stopped);
    assert_eq!(container.state().pid, 0);
    assert!(container.init().unwrap().is_none());
    drop(gate);
}

#[test]
fn a_gate_opens_however_long_the_path_is() {
    let (folder, _) = store();
    let store = Store { root: folder.path().join("n".repeat(200)) };
    let fresh = store.make(&"i".repeat(200)).unwrap();
    let _gate = fresh.gate().unwrap();
    assert!(fresh.path.join(GATE).exists());
}

#[test]
fn what_a_killed_create_noted_is_found_and_removed() {
    let (_folder, store) = store();
    let fresh = store.make("x").unwrap();
    fresh.note_groups("/oci-tests-that-never-were/x").unwrap();
    // As if its maker were gone, and with it the lock.
    let (path, aside) = (store.root.join("x"), store.root.join("aside"));
    fs::rename(&path, &aside).unwrap();
    drop(fresh);
    fs::rename(&aside, &path).unwrap();
    assert!(store.find("x").unwrap().is_none());
    clear(&store, "x");
    assert!(!store.root.join("x").exists());
}
