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
    store.clear("x").unwrap();
    store.clear("x").unwrap();
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
    let other = store.open("x").unwrap();
    let busy = || rustix::fs::flock(&other.directory, FlockOperation::NonBlockingLockExclusive).is_err();
    assert!(busy());
    drop(held);
    assert!(!busy());
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
    std::mem::forget(fresh);
    assert!(store.find("x").unwrap().is_none());
    store.clear("x").unwrap();
    assert!(!store.root.join("x").exists());
}
