//! The content store as its users see it.

use base::Digest;
use content::{Error, Store};
use oci::image::{Descriptor, media};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

fn files(path: &std::path::Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[test]
fn a_new_store_is_a_valid_empty_layout_that_only_its_owner_reads() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("content");
    let store = Store::open(&root).unwrap();
    assert_eq!(fs::read_to_string(root.join("oci-layout")).unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
    assert_eq!(
        fs::read_to_string(root.join("index.json")).unwrap(),
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#
    );
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_blob_has_its_name_only_when_it_is_complete_and_right() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blobs = folder.path().join("blobs/sha256");

    let mut ingest = store.ingest().unwrap();
    ingest.write_all(b"hello").unwrap();
    assert_eq!(files(&blobs), 0);
    drop(ingest);

    let mut ingest = store.ingest().unwrap();
    ingest.write_all(b"hello").unwrap();
    let error = ingest.commit(Some(&digest(b"other")), None).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { actual, .. } if actual == digest(b"hello")));

    let mut ingest = store.ingest().unwrap();
    ingest.write_all(b"hello").unwrap();
    assert!(matches!(ingest.commit(None, Some(4)), Err(Error::WrongSize { expected: 4, actual: 5 })));
    assert_eq!(files(&blobs) + files(&folder.path().join("ingest")), 0);

    for _ in 0..2 {
        let mut ingest = store.ingest().unwrap();
        ingest.write_all(b"hello").unwrap();
        assert_eq!(ingest.commit(Some(&digest(b"hello")), Some(5)).unwrap(), (digest(b"hello"), 5));
    }
    assert_eq!(store.list().unwrap(), [digest(b"hello")]);
    assert_eq!(store.size(&digest(b"hello")).unwrap(), 5);
}

#[test]
fn a_reader_sees_the_bytes_while_the_blob_grows() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut ingest = store.ingest().unwrap().unhashed();
    ingest.write_all(b"one").unwrap();
    let mut reader = ingest.reader().unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    ingest.write_all(b"two").unwrap();
    ingest.commit_as(&digest(b"onetwo")).unwrap();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "onetwo");
    assert_eq!(store.read(&digest(b"onetwo"), 6).unwrap(), b"onetwo");
}

#[test]
fn documents_are_verified_and_bounded_when_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let name = store.put(b"{}").unwrap();
    assert_eq!(store.read(&name, 2).unwrap(), b"{}");
    assert!(matches!(store.read(&name, 1), Err(Error::TooLarge { .. })));
    fs::write(store.path(&name), b"[]").unwrap();
    assert!(matches!(store.read(&name, 2), Err(Error::WrongDigest { .. })));
    store.remove(&name).unwrap();
    store.remove(&name).unwrap();
    assert!(matches!(store.read(&name, 2), Err(Error::NotFound(_))));
    assert!(!store.has(&name));
}

#[test]
fn the_index_keeps_every_change_of_many_threads() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let store = &store;
            scope.spawn(move || {
                store
                    .change_index(|index| {
                        index.manifests.push(Descriptor {
                            media_type: media::MANIFEST.to_owned(),
                            digest: digest(&[n]),
                            size: 1,
                            annotations: BTreeMap::new(),
                            platform: None,
                        });
                    })
                    .unwrap();
            });
        }
    });
    let again = Store::open(folder.path()).unwrap();
    assert_eq!(again.index().unwrap().manifests.len(), 8);
}

#[test]
fn opening_sweeps_what_was_half_written() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    fs::write(folder.path().join("ingest/left"), b"half").unwrap();
    Store::open(folder.path()).unwrap();
    assert_eq!(files(&folder.path().join("ingest")), 0);
}
