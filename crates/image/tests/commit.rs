//! Containers' changes as images. Needs root (layers hold owners and devices).

mod yard;

use base::{Digest, Kind, Kinded};
use image::{Commit, Keep, Reference};
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use yard::{Archive, Pack, Yard, archive, layer};

const OWNER: u32 = 0x7000_0000;

fn parent(yard: &Yard, pack: Pack) -> Archive {
    let app = archive(&["app:1"], &[&layer("a", 1000)], pack);
    yard.load(&app.bytes).unwrap();
    app
}

/// A writable folder as `layer::Store::mount` leaves it.
fn rw(yard: &Yard) -> PathBuf {
    let rw = tempfile::tempdir_in(yard.root()).unwrap().keep();
    for folder in ["upper", "work"] {
        fs::create_dir(rw.join(folder)).unwrap();
        chown(rw.join(folder), Some(OWNER), Some(OWNER)).unwrap();
    }
    rw
}

fn change(rw: &Path) {
    let file = rw.join("upper/new");
    fs::write(&file, b"new").unwrap();
    chown(&file, Some(OWNER + 7), Some(OWNER)).unwrap();
    let mode = rustix::fs::Mode::empty();
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, rw.join("upper/gone"), kind, mode, 0).unwrap();
}

fn commit(parent: Digest, rw: &Path) -> Commit {
    Commit {
        parent,
        rw: rw.to_owned(),
        owner: OWNER,
        config: oci::image::Config { cmd: Some(vec!["top".to_owned()]), ..Default::default() },
        changes: vec!["ENV B=2".to_owned(), "HEALTHCHECK CMD true".to_owned()],
        author: "me".to_owned(),
        comment: "why".to_owned(),
        created_by: "sh -c x".to_owned(),
        reference: Some(Reference::parse("new").unwrap()),
    }
}

#[test]
fn a_commit_is_one_more_layer_and_one_more_line_of_history() {
    let yard = Yard::new();
    let app = parent(&yard, Pack::DockerGzip);
    let rw = rw(&yard);
    change(&rw);
    let id = yard.store.commit(&commit(app.id, &rw)).unwrap();
    let image = yard.store.get("new:latest").unwrap();
    assert_eq!(image.id, id);
    let config = &image.config;
    assert_eq!((config.author.as_str(), config.comment.as_str(), config.os.as_str()), ("me", "why", "linux"));
    assert_eq!(
        (config.config.cmd.clone(), config.config.env.clone()),
        (Some(vec!["top".to_owned()]), vec!["B=2".to_owned()])
    );
    assert!(config.config.healthcheck.is_some());
    assert_eq!(config.rootfs.diff_ids[..1], app.diff_ids[..]);
    let (base, line) = (&config.history[0], &config.history[1]);
    assert_eq!(base.created_by, "base");
    assert_eq!((line.created_by.as_str(), line.author.as_str(), line.comment.as_str()), ("sh -c x", "me", "why"));
    assert_eq!((line.created.clone(), line.empty_layer), (config.created.clone(), false));
    let tree = yard.store.layers().diff(&config.rootfs.diff_ids[1]);
    let new = fs::metadata(tree.join("new")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&new), 7);
    assert!(std::os::unix::fs::FileTypeExt::is_char_device(&fs::metadata(tree.join("gone")).unwrap().file_type()));
    let manifest = fs::read_to_string(yard.blob(&image.manifest)).unwrap();
    assert!(!manifest.contains("vnd.docker"), "{manifest}");

    let there = Yard::new();
    there.load(&yard.save(&["new"]).unwrap()).unwrap();
    assert_eq!(there.store.get("new").unwrap().manifest, image.manifest);
    let report = there.store.check(image::upkeep::Mend::No, &mut |_| ()).unwrap();
    assert_eq!((report.faults, report.layers), (Vec::new(), 2));
}

#[test]
fn a_container_that_changed_nothing_adds_no_layer() {
    let yard = Yard::new();
    let app = parent(&yard, Pack::Gzip);
    let before = yard.on_disk();
    let rw = rw(&yard);
    let id = yard.store.commit(&Commit { reference: None, ..commit(app.id, &rw) }).unwrap();
    fs::remove_dir_all(&rw).unwrap();
    let image = yard.store.get(&id.to_string()).unwrap();
    assert_eq!(image.config.rootfs.diff_ids, app.diff_ids);
    assert!(image.config.history[1].empty_layer);
    let after = yard.on_disk();
    assert_eq!((after.0.len(), after.1), (before.0.len() + 2, before.1));
}

#[test]
fn a_file_whose_name_looks_compressed_is_a_file() {
    let yard = Yard::new();
    let app = parent(&yard, Pack::Gzip);
    for name in [&b"BZh1"[..], b"\x1f\x8b\x08"] {
        let rw = rw(&yard);
        let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name);
        fs::write(rw.join("upper").join(name), b"x").unwrap();
        let id = yard.store.commit(&commit(app.id, &rw)).unwrap();
        let image = yard.store.get(&id.to_string()).unwrap();
        assert!(yard.store.layers().diff(&image.config.rootfs.diff_ids[1]).join(name).exists());
    }
}

#[test]
fn a_commit_that_cannot_be_says_why_and_leaves_nothing() {
    let yard = Yard::new();
    let app = parent(&yard, Pack::Gzip);
    let rw = rw(&yard);
    change(&rw);
    let good = commit(app.id, &rw);
    let host = yard.store.get("host").unwrap().id;
    let digest = Reference::parse(&format!("new@{}", app.id)).unwrap();
    for (commit, kind, text) in [
        (Commit { parent: host, ..good.clone() }, Kind::Conflict, "export"),
        (Commit { parent: app.manifest, ..good.clone() }, Kind::NotFound, "no such image"),
        (Commit { reference: Some(digest), ..good.clone() }, Kind::Invalid, "digest reference"),
        (Commit { changes: vec!["RUN x".to_owned()], ..good.clone() }, Kind::Invalid, "RUN x"),
    ] {
        let error = yard.store.commit(&commit).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(base::chain(&error).contains(text), "{error}");
    }
    fs::remove_dir_all(&rw).unwrap();
    assert_eq!(yard.on_disk().1.len(), 1);
    assert_eq!(yard.on_disk().0.len(), 3);
}

#[test]
fn two_commits_of_the_same_are_two_images_on_one_layer() {
    let yard = Yard::keeping(Keep::TreesOnly);
    let app = parent(&yard, Pack::Gzip);
    let rw = rw(&yard);
    change(&rw);
    let first = yard.store.commit(&commit(app.id, &rw)).unwrap();
    let second = yard.store.commit(&commit(app.id, &rw)).unwrap();
    fs::remove_dir_all(&rw).unwrap();
    assert_ne!(first, second);
    assert_eq!(yard.store.get("new").unwrap().id, second);
    assert_eq!(yard.on_disk().1.len(), 2);
}

#[test]
fn a_commit_knows_what_it_was_made_from_as_long_as_that_is_here() {
    let yard = Yard::new();
    let app = parent(&yard, Pack::DockerGzip);
    let rw = rw(&yard);
    change(&rw);
    yard.store.commit(&commit(app.id, &rw)).unwrap();
    assert_eq!(yard.store.get("new").unwrap().parent, Some(app.id));
    assert_eq!(yard.store.get("app:1").unwrap().parent, None);
    let yard = yard.reopen();
    assert_eq!(yard.store.get("new").unwrap().parent, Some(app.id));
    yard.store.remove("app:1", image::Force::No, &[]).unwrap();
    assert_eq!(yard.store.get("new").unwrap().parent, None);
}
