//! Images: loaded, imported, tagged, removed; broken ones refused without a trace.

use it::Stage;
use std::process::Command;

#[test]
fn an_image_is_loaded_listed_and_removed() {
    let stage = Stage::new();
    let row = stage.dhow(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    assert!(row.lines().any(|line| line == "busybox:latest"), "{row}");
    stage.dhow(["tag", "busybox", "other:1"]).ok();
    assert_eq!(stage.dhow(["rmi", "busybox"]).ok(), "Untagged: busybox:latest\n");
    assert_eq!(stage.dhow(["run", "--rm", "other:1", "echo", "still"]).ok(), "still\n");
    assert!(stage.dhow(["rmi", "other:1"]).ok().contains("Deleted: sha256:"));
    assert_eq!(stage.dhow(["run", "--rm", "other:1", "true"]).code, 125);
    let left = Command::new("find").arg(stage.data_root().join("layers")).args(["-name", "busybox"]).output().unwrap();
    assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
}

#[test]
fn an_oci_archive_is_loaded() {
    let stage = Stage::bare();
    let said = stage.dhow(["load", "-i", &it::oci_archive().display().to_string()]).ok();
    assert!(said.contains("Loaded image: busybox:oci"), "{said}");
    assert_eq!(stage.dhow(["run", "--rm", "busybox:oci", "echo", "works"]).ok(), "works\n");
}

#[test]
fn a_tarball_is_imported() {
    let stage = Stage::bare();
    let root = stage.folder().join("root");
    it::busybox_root(&root).unwrap();
    let tar = Command::new("tar").args(["-C", &root.display().to_string(), "-c", "."]).output().unwrap().stdout;
    let id = stage
        .dhow_with_stdin(["import", "-c", "CMD [\"echo\",\"imported\"]", "-c", "ENV PATH=/bin", "-", "mine:1"], &tar)
        .ok();
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(stage.dhow(["run", "--rm", "mine:1"]).ok(), "imported\n");
}

#[test]
fn broken_archives_are_refused_and_leave_nothing() {
    let stage = Stage::bare();
    let before = files(&stage);
    let good = std::fs::read(it::oci_archive()).unwrap();
    let torn = &good[..good.len() / 2];
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    for (what, bytes) in [
        ("torn", torn),
        ("flipped", &flipped[..]),
        ("text", b"this is no archive, only a text\n".as_slice()),
        ("empty", b""),
    ] {
        let said = stage.dhow_with_stdin(["load"], bytes);
        assert_ne!(said.code, 0, "{what}");
        assert!(!said.err.trim().is_empty(), "{what}");
        assert_eq!(files(&stage), before, "{what}");
    }
}

fn files(stage: &Stage) -> Vec<String> {
    let output =
        Command::new("find").arg(stage.data_root()).args(["-type", "f", "-not", "-name", "*.db*"]).output().unwrap();
    let mut files: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    files.sort();
    files
}
