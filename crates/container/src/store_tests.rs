//! Records that come back, and what does not.

use super::*;
use crate::{Config, Status};
use base::Digest;
use std::time::Instant;

fn container(name: &str) -> Container {
    Container {
        id: Id::random(),
        name: name.to_owned(),
        created_at: 1,
        image_id: Digest::from_bytes([7; 32]),
        config: Config {
            image: "busybox".to_owned(),
            cmd: Some(vec!["true".to_owned()]),
            asked: serde_json::json!({ "HostConfig": { "Memory": 5 } }).into(),
            ..Config::default()
        },
        mounts: Vec::new(),
        own_user_namespace: true,
    }
}

fn running(pid: i32) -> State {
    State { status: Status::Running, pid, ..State::default() }
}

#[test]
fn what_was_saved_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("containers.db");
    let (first, second, third) =
        (container("one"), Container { created_at: 2, ..container("two") }, container("three"));
    let store = Store::open(&path).unwrap();
    for each in [&second, &first, &third] {
        store.insert(each, &State::default()).unwrap();
    }
    store.save_state(&first.id, &running(42)).unwrap();
    store.rename(&second.id, "deux").unwrap();
    store.remove(&third.id).unwrap();
    store.remove(&third.id).unwrap();
    // As kill -9 does: nothing is closed.
    std::mem::forget(store);

    let found = Store::open(&path).unwrap().all().unwrap();
    assert_eq!(found, [(first, running(42)), (Container { name: "deux".to_owned(), ..second }, State::default())]);
}

#[test]
fn a_record_is_inserted_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db")).unwrap();
    let one = container("one");
    store.insert(&one, &running(1)).unwrap();
    assert!(store.insert(&one, &running(2)).is_err());
    assert_eq!(store.all().unwrap(), [(one, running(1))], "the failed insert changed nothing");
}

#[test]
fn a_broken_row_is_left_out_and_left_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Store::open(&path).unwrap();
    let (good, bad, newer, stateless) =
        (container("good"), container("bad"), container("newer"), container("stateless"));
    for each in [&good, &bad, &newer, &stateless] {
        store.insert(each, &running(5)).unwrap();
    }
    drop(store);
    let other = Connection::open(&path).unwrap();
    let set = |sql: &str, id: &Id| assert_eq!(other.execute(sql, [id.to_string()]).unwrap(), 1);
    set("UPDATE container SET record = '{broken' WHERE id = ?1", &bad.id);
    set("UPDATE container SET record = '{\"version\":99,\"value\":{}}' WHERE id = ?1", &newer.id);
    set("UPDATE state SET state = x'ff00' WHERE id = ?1", &stateless.id);
    drop(other);

    let store = Store::open(&path).unwrap();
    let mut found = store.all().unwrap();
    found.sort_by_key(|(container, _)| container.name.clone());
    assert_eq!(found, [(good, running(5)), (stateless, State::default())]);
    let rows: i64 = store.lock().query_row("SELECT count(*) FROM container", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 4);
}

#[test]
fn a_database_of_a_newer_engine_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(Store::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Version { found: 99, known: LAYOUT, .. }), "{error}");
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[test]
fn a_file_that_is_no_database_is_an_error_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    std::fs::write(&path, "no database ".repeat(1000)).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Database { .. })));
    assert!(std::fs::read(&path).unwrap().starts_with(b"no database"));
}

#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db")).unwrap();
    store.insert(&container("one"), &State::default()).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[test]
fn many_threads_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..25 {
                    let one = container(&format!("c{thread}-{number}"));
                    store.insert(&one, &State::default()).unwrap();
                    store.save_state(&one.id, &running(number)).unwrap();
                }
            });
        }
    });
    let found = store.all().unwrap();
    assert_eq!(found.len(), 100);
    assert!(found.iter().all(|(_, state)| state.status == Status::Running));
}

#[test]
fn the_log_does_not_grow_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Store::open(&path).unwrap();
    let one = container("one");
    store.insert(&one, &State::default()).unwrap();
    for pid in 0..5000 {
        store.save_state(&one.id, &running(pid)).unwrap();
    }
    let log = folder.path().join("db-wal");
    assert!(std::fs::metadata(&log).unwrap().len() < 6 << 20);
    store.checkpoint().unwrap();
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    assert_eq!(store.all().unwrap().len(), 1);
}

/// `cargo test -p container -- --ignored --nocapture writes`: prints the mean time of one write.
#[test]
#[ignore = "a measurement"]
fn writes_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db")).unwrap();
    let all: Vec<Container> = (0..1000).map(|number| container(&format!("c{number}"))).collect();
    let clock = Instant::now();
    for each in &all {
        store.insert(each, &State::default()).unwrap();
    }
    println!("insert {:?}", clock.elapsed() / 1000);
    let clock = Instant::now();
    for each in &all {
        store.save_state(&each.id, &running(1)).unwrap();
    }
    println!("save_state {:?}", clock.elapsed() / 1000);
}
