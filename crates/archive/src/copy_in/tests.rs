//! Tars into trees that are in use.

use super::*;
use crate::fixture::{Head, Tar};
use crate::pack::{Packing, Whiteouts, copy_out};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const PLAIN: Packing = Packing { owner: 0, whiteouts: Whiteouts::None, times: crate::pack::Times::AsTheyAre };

fn path_fd(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Puts `tar` at `path` below `root`.
fn put(root: &Path, path: &str, tar: &[u8], replacing: Replacing) -> Result<(), Error> {
    let (top, folder) = (path_fd(root), path_fd(&root.join(path.trim_start_matches('/'))));
    let (root, folder) = (top.as_fd(), folder.as_fd());
    copy_in(tar, Destination { root, folder, path, named: path, renamed: None, owner: 0, of: None, replacing })
}

#[test]
fn files_are_put_into_what_is_there() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("to/old")).unwrap();
    fs::write(root.path().join("to/old/stays"), "1").unwrap();
    fs::write(root.path().join("to/file"), "before").unwrap();
    let tar = Tar::new()
        .folder("./", 0o700)
        .folder("old/", 0o750)
        .file("old/new", b"2")
        .file("file", b"after")
        .file("a/b/c", b"3")
        .hardlink("again", "file")
        .symlink("link", "/nowhere")
        .entry(Head { path: b"pipe", flag: b'6', mode: 0o640, ..Default::default() }, b"")
        .finish();
    put(root.path(), "/to", &tar, Replacing::SameKind).unwrap();
    let read = |name: &str| fs::read_to_string(root.path().join("to").join(name)).unwrap();
    assert_eq!(
        [read("old/stays"), read("old/new"), read("file"), read("a/b/c"), read("again")],
        ["1", "2", "after", "3", "after"]
    );
    let mode = |name: &str| fs::symlink_metadata(root.path().join("to").join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("old"), mode("a"), mode("pipe")), (0o750, 0o755, 0o640));
    assert_ne!(mode("."), 0o700, "the folder itself is not of the archive");
}

#[test]
fn names_get_another_beginning() {
    let of = |from, to, path: &str| String::from_utf8(Renamed { from, to }.apply(path.into())).unwrap();
    assert_eq!([of("a", "b", "a/x"), of("a", "b", "a"), of("a", "b", "ab/x")], ["b/x", "b", "ab/x"]);
    assert_eq!([of(".", "b", "./x"), of("", "b", "/etc/x"), of("", "b", "/")], ["b/x", "b/etc/x", "b/"]);
}

#[test]
fn a_folder_gives_way_to_a_file_only_when_it_may() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("to/x/y")).unwrap();
    let (file, folder) = (Tar::new().file("x", b"f").finish(), Tar::new().folder("x/", 0o755).finish());
    let refused = put(root.path(), "/to", &file, Replacing::SameKind).unwrap_err().to_string();
    assert_eq!(refused, r#"cannot overwrite directory "/to/x" with non-directory "/to""#);
    put(root.path(), "/to", &file, Replacing::Anything).unwrap();
    let refused = put(root.path(), "/to", &folder, Replacing::SameKind).unwrap_err().to_string();
    assert_eq!(refused, r#"cannot overwrite non-directory "/to/x" with directory "/to""#);
    put(root.path(), "/to", &folder, Replacing::Anything).unwrap();
    assert!(root.path().join("to/x").is_dir());
}

#[test]
fn names_outside_are_refused_and_links_lead_below_the_root() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir_all(root.join("to")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    symlink("/etc", root.join("to/abs")).unwrap();
    symlink("../../../../etc", root.join("to/up")).unwrap();
    symlink(outer.path(), root.join("to/host")).unwrap();
    let refused = put(&root, "/to", &Tar::new().file("../x", b"").finish(), Replacing::Anything).unwrap_err();
    assert_eq!(refused.to_string(), r#""../x" is outside of "/to""#);
    let tar = Tar::new().file("abs/one", b"1").file("up/two", b"2").finish();
    put(&root, "/to", &tar, Replacing::Anything).unwrap();
    assert_eq!(fs::read_to_string(root.join("etc/one")).unwrap(), "1");
    assert_eq!(fs::read_to_string(root.join("etc/two")).unwrap(), "2");
    // As a path of the container it is not there: nothing is made of it, and nothing outside.
    assert!(put(&root, "/to", &Tar::new().file("host/three", b"3").finish(), Replacing::Anything).is_err());
    assert!(put(&root, "/to", &Tar::new().hardlink("h", "host/secret").finish(), Replacing::Anything).is_err());
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
}

#[test]
fn nothing_is_put_where_the_kernel_makes_files_up() {
    let refused = put(Path::new("/"), "/proc/sys", &Tar::new().file("kernel/x", b"").finish(), Replacing::Anything);
    assert!(refused.is_err());
    let refused = put(Path::new("/"), "/", &Tar::new().file("proc/sys/kernel/x", b"").finish(), Replacing::Anything);
    assert!(refused.is_err());
}

/// A folder and a link out of the root change places as fast as they can (CVE-2018-15664).
fn racing(root: &Path, work: impl Fn()) {
    let stop = AtomicBool::new(false);
    let folder = path_fd(&root.join("to"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(&folder, "d", &folder, "l", rustix::fs::RenameFlags::EXCHANGE).unwrap();
            }
        });
        work();
        stop.store(true, Ordering::Relaxed);
    });
}

fn race_yard(outer: &Path) -> std::path::PathBuf {
    let root = outer.join("root");
    fs::create_dir_all(root.join("to/d/deep")).unwrap();
    fs::write(root.join("to/d/deep/secret"), "inside").unwrap();
    fs::create_dir_all(outer.join("host/deep")).unwrap();
    fs::write(outer.join("host/deep/secret"), "host").unwrap();
    symlink(outer.join("host"), root.join("to/l")).unwrap();
    root
}

#[test]
fn a_race_of_links_leads_no_file_out() {
    let outer = tempfile::tempdir().unwrap();
    let root = race_yard(outer.path());
    let tar = Tar::new()
        .file("d/evil", b"x")
        .entry(Head { path: b"d/pipe", flag: b'6', mode: 0o777, ..Default::default() }, b"")
        .symlink("d/s", "x")
        .file("d/deep/evil", b"x")
        .hardlink("d/h", "d/deep/secret")
        .finish();
    racing(&root, || (0..2000).for_each(|_| drop(put(&root, "/to", &tar, Replacing::Anything))));
    let names = |folder: &str| fs::read_dir(outer.path().join(folder)).unwrap().count();
    assert_eq!((names("."), names("host"), names("host/deep")), (2, 1, 1));
    assert_eq!(fs::read_to_string(outer.path().join("host/deep/secret")).unwrap(), "host");
    assert_eq!(fs::metadata(outer.path().join("host/deep/secret")).unwrap().nlink(), 1);
}

#[test]
fn a_race_of_links_brings_no_file_in() {
    let outer = tempfile::tempdir().unwrap();
    let root = race_yard(outer.path());
    let to = path_fd(&root.join("to"));
    racing(&root, || {
        for _ in 0..500 {
            let mut tar = Vec::new();
            copy_out(to.as_fd(), b"to", &[], PLAIN, &mut tar).unwrap();
            assert!(!has_content(&tar, b"host"));
        }
    });
}

/// The link itself is in the tar; what counts is that no file has the host's content.
fn has_content(tar: &[u8], content: &[u8]) -> bool {
    let mut reader = Reader::new(tar);
    while let Some(entry) = reader.next().unwrap() {
        if entry.kind == EntryKind::File && reader.content().unwrap() == content {
            return true;
        }
    }
    false
}

#[test]
fn a_copy_has_the_name_it_was_asked_by() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("d/e")).unwrap();
    fs::write(root.path().join("d/e/f"), "1").unwrap();
    fs::create_dir(root.path().join("d/closed")).unwrap();
    fs::write(root.path().join("d/closed/f"), "1").unwrap();
    symlink("e", root.path().join("d/l")).unwrap();
    let names = |path: &str, name: &str| {
        let mut tar = Vec::new();
        copy_out(path_fd(&root.path().join(path)).as_fd(), name.as_bytes(), &[b"closed"], PLAIN, &mut tar).unwrap();
        let mut reader = Reader::new(&tar[..]);
        let mut names = Vec::new();
        while let Some(entry) = reader.next().unwrap() {
            names.push(String::from_utf8(entry.path).unwrap());
        }
        names
    };
    assert_eq!(names("d", "x"), ["x/", "x/closed/", "x/e/", "x/e/f", "x/l"]);
    assert_eq!(names("d", "."), ["./", "./closed/", "./e/", "./e/f", "./l"]);
    assert_eq!(names("d", ""), ["/", "/closed/", "/e/", "/e/f", "/l"]);
    assert_eq!((names("d/e/f", "g"), names("d/l", "l")), (vec!["g".to_owned()], vec!["l".to_owned()]));
}
