//! Logs read back: tails, times, rotation under the reader, broken text.

use logs::read::{Range, Reader};
use logs::{Driver, Target};
use std::fs;
use std::io::Write;
use std::path::Path;

fn target(folder: &Path) -> Target {
    Target { driver: Driver::JsonFile, path: folder.join("log"), max_size: 0, max_file: 10, ..Target::default() }
}

/// The entries of seconds `range`, as text.
fn entries(range: std::ops::Range<u32>) -> String {
    range
        .map(|n| format!("{{\"log\":\"{n}\\n\",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:{n:02}Z\"}}\n"))
        .collect()
}

fn append(path: &Path, text: &str) {
    fs::File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn rest(reader: &mut Reader) -> Vec<i64> {
    std::iter::from_fn(|| reader.next().unwrap()).map(|entry| entry.time / 1_000_000_000).collect()
}

fn all(target: &Target, range: Range) -> Vec<i64> {
    rest(&mut Reader::open(target, range).unwrap())
}

#[test]
fn rotated_files_are_read_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    append(&folder.path().join("log.2"), &entries(0..3));
    append(&folder.path().join("log.1"), &entries(3..5));
    append(&target.path, &entries(5..6));
    assert_eq!(all(&target, Range::default()), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_tail_of_any_length_is_found_across_files() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    append(&folder.path().join("log.2"), &entries(0..3));
    append(&folder.path().join("log.1"), &entries(3..5));
    append(&target.path, &entries(5..6));
    for count in 0..9_u64 {
        let expected: Vec<i64> = (6_i64.saturating_sub_unsigned(count).max(0)..6).collect();
        assert_eq!(all(&target, Range { tail: Some(count), ..Range::default() }), expected, "tail {count}");
    }
    assert_eq!(all(&target, Range { tail: Some(u64::MAX), ..Range::default() }).len(), 6);
}

#[test]
fn a_tail_of_a_large_file_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let text = entries(0..60);
    append(&target.path, &text.repeat(100));
    for count in [1, 59, 60, 1000, 5999, 6000, 6001] {
        let found = all(&target, Range { tail: Some(count), ..Range::default() });
        assert_eq!(found.len() as u64, count.min(6000));
        assert_eq!(found.last(), Some(&59));
    }
}

#[test]
fn times_are_inclusive_and_until_ends_the_reading() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    append(&target.path, &entries(0..10));
    let second = 1_000_000_000;
    let range = Range { tail: None, since: Some(3 * second), until: Some(5 * second) };
    let mut reader = Reader::open(&target, range).unwrap();
    assert_eq!(rest(&mut reader), [3, 4, 5]);
    append(&target.path, &entries(4..5));
    assert_eq!(rest(&mut reader), [0_i64; 0]);
    assert_eq!(all(&target, Range { tail: Some(3), since: Some(8 * second), until: None }), [8, 9]);
}

#[test]
fn a_reader_follows_a_log_through_rotations() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let name = |index: u32| folder.path().join(format!("log.{index}"));
    let mut reader = Reader::open(&target, Range::default()).unwrap();
    assert_eq!(rest(&mut reader), [0_i64; 0]);
    append(&target.path, &entries(0..2));
    assert_eq!(rest(&mut reader), [0, 1]);
    // Two rotations between two looks, with more at the end of the file that was being read.
    append(&target.path, &entries(2..3));
    fs::rename(&target.path, name(1)).unwrap();
    assert_eq!(rest(&mut reader), [2]);
    append(&target.path, &entries(3..4));
    fs::rename(name(1), name(2)).unwrap();
    fs::rename(&target.path, name(1)).unwrap();
    append(&target.path, &entries(4..6));
    assert_eq!(rest(&mut reader), [3, 4, 5]);
    // The file being read and the one after it are dropped: the oldest left is next.
    fs::rename(&target.path, name(1)).unwrap();
    append(&target.path, &entries(7..8));
    fs::remove_file(name(1)).unwrap();
    fs::remove_file(name(2)).unwrap();
    assert_eq!(rest(&mut reader), [7]);
}

#[test]
fn a_file_that_was_shortened_is_read_on_without_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    append(&target.path, &entries(0..5));
    let mut reader = Reader::open(&target, Range::default()).unwrap();
    assert_eq!(rest(&mut reader), [0, 1, 2, 3, 4]);
    fs::write(&target.path, entries(0..3) + &entries(5..6)).unwrap();
    assert_eq!(rest(&mut reader), [5]);
    fs::write(&target.path, entries(6..8)).unwrap();
    append(&target.path, &entries(8..9));
    assert_eq!(rest(&mut reader), [6, 7, 8]);
}

#[test]
fn torn_and_foreign_text_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    append(&folder.path().join("log.1"), &(entries(0..1) + "{\"log\":\"to"));
    append(&target.path, &format!("\0\0\0\n\n{}garbage\n{}{{\"log\":\"x", entries(1..2), entries(2..3)));
    let mut reader = Reader::open(&target, Range::default()).unwrap();
    assert_eq!(rest(&mut reader), [0, 1, 2]);
    append(&target.path, "\\n\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:03Z\"}\n");
    assert_eq!(rest(&mut reader), [3]);
}

#[test]
fn between_the_steps_of_a_rotation_the_rotated_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    append(&folder.path().join("log.1"), &entries(0..4));
    for (tail, expected) in [(None, vec![0, 1, 2, 3]), (Some(2), vec![2, 3])] {
        let mut reader = Reader::open(&target, Range { tail, ..Range::default() }).unwrap();
        assert_eq!(rest(&mut reader), expected);
    }
}
