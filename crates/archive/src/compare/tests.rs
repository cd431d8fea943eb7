//! Trees that are what their tar says, and trees that are not. Needs root (owners, devices).

use super::compare;
use crate::extract;
use crate::fixture::{Head, Tar};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

fn tar() -> Vec<u8> {
    Tar::new()
        .folder("bin", 0o1777)
        .file("bin/sh", &[7; 600_000])
        .hardlink("bin/ash", "bin/sh")
        .file("bin/twice", b"old")
        .hardlink("bin/old", "bin/twice")
        .file("bin/twice", b"new!")
        .symlink("bin/link", "../etc/target")
        .file("etc/made/parents", b"x")
        .file("etc/.wh.gone", b"")
        .folder("opaque", 0o755)
        .file("opaque/.wh..wh..opq", b"")
        .entry(Head { path: b"dev/null", flag: b'3', device: (1, 3), mode: 0o666, uid: 5, ..Head::default() }, b"")
        .pax(&[("SCHILY.xattr.user.a", b"b"), ("mtime", b"12.5")])
        .file("etc/marked", b"")
        .finish()
}

fn differences(folder: &Path, tar: &[u8]) -> Vec<String> {
    let root = File::open(folder).unwrap();
    let found = compare(tar, root.as_fd()).unwrap();
    found.iter().map(|d| format!("{} {}", String::from_utf8_lossy(&d.path), d.what)).collect()
}

fn unpacked() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    extract(&tar()[..], File::open(folder.path()).unwrap().as_fd()).unwrap();
    folder
}

#[test]
fn what_was_unpacked_is_what_the_tar_says() {
    let folder = unpacked();
    assert!(differences(folder.path(), &tar()).is_empty(), "{:?}", differences(folder.path(), &tar()));
}

#[test]
fn every_change_of_a_tree_is_found() {
    type Break = fn(&Path);
    let breaks: &[(Break, &str)] = &[
        (|p| fs::write(p.join("new"), b"x").unwrap(), "new is not in the tar"),
        (|p| fs::remove_file(p.join("etc/gone")).unwrap(), "etc/gone is missing"),
        (|p| chown(p.join("dev/null"), Some(0), Some(0)).unwrap(), "dev/null has another owner"),
        (|p| fs::set_permissions(p.join("bin"), PermissionsExt::from_mode(0o755)).unwrap(), "bin has another mode"),
        (|p| fs::remove_dir_all(p.join("opaque")).unwrap(), "opaque is missing"),
        (
            |p| {
                fs::remove_file(p.join("bin/link")).unwrap();
                symlink("elsewhere", p.join("bin/link")).unwrap();
            },
            "bin/link points elsewhere",
        ),
        (
            |p| {
                fs::remove_file(p.join("bin/ash")).unwrap();
                let bytes = fs::read(p.join("bin/sh")).unwrap();
                fs::write(p.join("bin/ash"), bytes).unwrap();
            },
            "bin/ash has another time",
        ),
        (|p| flip(&p.join("bin/sh")), "bin/sh has other content"),
        (|p| flip(&p.join("bin/twice")), "bin/twice has other content"),
        (
            |p| rustix::fs::removexattr(p.join("etc/marked"), "user.a").unwrap(),
            "etc/marked has other extended attributes",
        ),
        (
            |p| rustix::fs::removexattr(p.join("opaque"), "trusted.overlay.opaque").unwrap(),
            "opaque hides other things of lower layers",
        ),
    ];
    for (change, expected) in breaks {
        let folder = unpacked();
        change(folder.path());
        let found = differences(folder.path(), &tar());
        assert!(found.iter().any(|line| line == expected), "{expected}: {found:?}");
    }
}

/// One byte changes, and nothing that stat(2) tells.
fn flip(path: &Path) {
    use std::os::unix::fs::FileExt;
    let before = fs::metadata(path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(b"?", 2).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(fs::metadata(path).unwrap().size(), before.size());
}
