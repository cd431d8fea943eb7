//! What a container changed, on real overlay mounts: as a layer, as a list, as a whole tree. Needs root.

use archive::fixture::{Head, Tar};
use archive::{EntryKind, Packing, Reader, Whiteouts};
use layer::{ChangeKind, Error, Lower, Store, Sync};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BASE: u32 = 0x7000_0000;
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A store, and one container's writable folder.
struct Yard {
    folder: tempfile::TempDir,
    store: Store,
}

impl Yard {
    fn new() -> Yard {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("layers")).unwrap();
        Yard { folder, store }
    }

    fn add(&self, tar: Tar) -> Lower {
        Lower::Layer(self.store.unpack(&mut &tar.finish()[..], None).unwrap())
    }

    fn rw(&self) -> PathBuf {
        self.folder.path().join("rw")
    }

    fn capture(&self, owner: u32) -> Vec<u8> {
        let mut tar = Vec::new();
        self.store.capture(&self.rw(), owner, &mut tar).unwrap();
        tar
    }

    fn export(&self, lowers: &[Lower], rw: &Path, owner: u32) -> Vec<u8> {
        let mut tar = Vec::new();
        self.store.export(lowers, rw, owner, &mut tar).unwrap();
        tar
    }

    /// As `docker diff` prints it.
    fn changes(&self, lowers: &[Lower], owner: u32) -> Vec<String> {
        let letter = |kind| match kind {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        };
        let changes = self.store.changes(lowers, &self.rw(), owner).unwrap();
        changes.iter().map(|c| format!("{} {}", letter(c.kind), String::from_utf8_lossy(&c.path))).collect()
    }
}

/// A container of its own user namespace, or of the host's.
struct Container {
    namespace: Option<(Child, OwnedFd)>,
    root: OwnedFd,
}

impl Container {
    fn mapped(yard: &Yard, lowers: &[Lower]) -> Container {
        let child = Command::new("unshare")
            .args(["--user", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let path = format!("/proc/{}/ns/user", child.id());
        let ours = fs::read_link("/proc/self/ns/user").unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while fs::read_link(&path).unwrap() == ours {
            assert!(Instant::now() < deadline, "no user namespace");
            std::thread::yield_now();
        }
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{}/{map}", child.id()), format!("0 {BASE} 65536")).unwrap();
        }
        let fd: OwnedFd = fs::File::open(path).unwrap().into();
        let root = yard.store.mount(lowers, &yard.rw(), Some(fd.as_fd()), BASE, Sync::Never).unwrap();
        Container { namespace: Some((child, fd)), root }
    }

    fn of_host(yard: &Yard, lowers: &[Lower]) -> Container {
        let root = yard.store.mount(lowers, &yard.rw(), None, 0, Sync::Never).unwrap();
        Container { namespace: None, root }
    }

    /// Runs a script as the container's root, in the container's root folder.
    fn run(&self, script: &str) {
        let mut command = match &self.namespace {
            Some((child, _)) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--user=/proc/{}/ns/user", child.id())).arg("sh");
                command
            }
            None => Command::new("sh"),
        };
        let root = format!("/proc/self/fd/{}", self.root.as_raw_fd());
        let output = command.args(["-euc", &format!("umask 022\n{script}")]).current_dir(root).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn packed(&self, owner: u32) -> Vec<u8> {
        let mut tar = Vec::new();
        archive::pack(self.root.as_fd(), Packing { owner, whiteouts: Whiteouts::None, ..Packing::default() }, &mut tar)
            .unwrap();
        tar
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.namespace {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn image(yard: &Yard) -> Vec<Lower> {
    let below = Tar::new()
        .folder("etc", 0o755)
        .file("etc/passwd", b"root")
        .file("etc/shadow", b"secret")
        .folder("home", 0o755)
        .folder("usr", 0o755)
        .folder("usr/bin", 0o755)
        .pax(&[("SCHILY.xattr.security.capability", &CAPABILITY)])
        .entry(Head { path: b"usr/bin/ping", mode: 0o755, uid: 5, gid: 6, size: 1, ..Head::default() }, b"p")
        .folder("var", 0o755)
        .folder("var/log", 0o755)
        .file("var/log/a", b"a")
        .file("var/log/b", b"b")
        .folder("var/old", 0o755)
        .file("var/old/x", b"x")
        .file("plain", b"file")
        .file("hidden", b"never seen");
    let above = Tar::new().file(".wh.hidden", b"").file("top", b"1").file("var/log/b", b"newer");
    vec![yard.add(above), yard.add(below)]
}

const SCRIPT: &str = "
    echo more >> etc/passwd
    : >> etc/shadow
    rm var/log/a
    rm -r var/old && mkdir var/old && echo y > var/old/y
    chmod 700 home
    rm plain && mkdir plain && echo in > plain/in
    mkdir new && echo 1 > new/file && ln new/file new/same && mkfifo new/pipe && ln -s ../etc new/link
    echo hidden > hidden && rm hidden
    echo t > top && chown 7:8 top
    chmod 4755 usr/bin/ping";

const CHANGED: [&str; 20] = [
    "A /new",
    "A /new/file",
    "A /new/link",
    "A /new/pipe",
    "A /new/same",
    "A /plain/in",
    "A /var/old/y",
    "C /etc",
    "C /etc/passwd",
    "C /home",
    "C /plain",
    "C /top",
    "C /usr",
    "C /usr/bin",
    "C /usr/bin/ping",
    "C /var",
    "C /var/log",
    "C /var/old",
    "D /var/log/a",
    "D /var/old/x",
];

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Path, kind, owner and mode of every entry.
fn entries(tar: &[u8]) -> Vec<(String, EntryKind, u32, u32)> {
    let mut reader = Reader::new(tar);
    let mut found = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        found.push((String::from_utf8(entry.path).unwrap(), entry.kind, entry.uid, entry.mode));
    }
    found
}

fn paths(tar: &[u8]) -> Vec<String> {
    entries(tar).into_iter().map(|(path, ..)| path).collect()
}

fn check_changes(owner: u32, make: fn(&Yard, &[Lower]) -> Container) {
    let yard = Yard::new();
    let lowers = image(&yard);
    let container = make(&yard, &lowers);
    container.run(SCRIPT);
    let changed = yard.changes(&lowers, owner);
    let order: Vec<&str> = changed.iter().map(|line| &line[2..]).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(sorted(changed), CHANGED);
    drop(container);
    assert_eq!(sorted(yard.changes(&lowers, owner)), CHANGED);
}

#[test]
fn changes_are_those_that_can_be_seen() {
    check_changes(BASE, Container::mapped);
    check_changes(0, Container::of_host);
}

#[test]
fn what_was_captured_is_a_layer_that_shows_the_same() {
    let yard = Yard::new();
    let lowers = image(&yard);
    let container = Container::mapped(&yard, &lowers);
    container.run(SCRIPT);
    let tar = yard.capture(BASE);
    let list = paths(&tar);
    for whiteout in ["var/log/.wh.a", "var/old/.wh..wh..opq", "plain/.wh..wh..opq"] {
        assert!(list.contains(&whiteout.to_owned()), "{list:?}");
    }
    assert!(list.contains(&"etc/shadow".to_owned()));
    assert!(entries(&tar).iter().all(|(_, _, uid, _)| *uid < 65_536));
    assert!(entries(&tar).contains(&("top".to_owned(), EntryKind::File, 7, 0o644)));
    assert!(entries(&tar).contains(&("new/same".to_owned(), EntryKind::Hardlink, 0, 0o644)));
    assert_eq!(tar, yard.capture(BASE));

    let layer = Lower::Layer(yard.store.unpack(&mut &tar[..], None).unwrap());
    let committed: Vec<Lower> = [vec![layer], lowers.clone()].concat();
    let fresh = yard.folder.path().join("never mounted");
    let exported = yard.export(&lowers, &yard.rw(), BASE);
    assert!(yard.export(&committed, &fresh, BASE) == exported);
    assert!(!fresh.exists());
    let list = paths(&exported);
    assert!(list.contains(&"var/old/y".to_owned()) && !list.contains(&"var/old/x".to_owned()), "{list:?}");
    assert!(!list.iter().any(|path| path.contains(".wh.") || path == "hidden"), "{list:?}");
}

#[test]
fn an_export_is_what_the_container_sees_while_it_runs_and_after() {
    for (owner, make) in [(BASE, Container::mapped as fn(&Yard, &[Lower]) -> Container), (0, Container::of_host)] {
        let yard = Yard::new();
        let lowers = image(&yard);
        let container = make(&yard, &lowers);
        container.run(SCRIPT);
        let running = yard.export(&lowers, &yard.rw(), owner);
        assert!(running == container.packed(owner));
        let ping = entries(&running).into_iter().find(|(path, ..)| path == "usr/bin/ping").unwrap();
        assert_eq!(ping, ("usr/bin/ping".to_owned(), EntryKind::File, 5, 0o4755));
        // The mount still works.
        container.run("echo later > later && cat etc/passwd > /dev/null");
        drop(container);
        assert!(paths(&yard.export(&lowers, &yard.rw(), owner)).contains(&"later".to_owned()));
        assert_eq!(fs::read_dir(yard.folder.path().join("layers/tmp")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(yard.folder.path().join("layers/mnt")).unwrap().count(), 0);
    }
}

/// What is in every container, and `more`.
fn bottom_and(more: &[&str]) -> Vec<String> {
    let bottom =
        [".dockerenv", "dev/", "etc/", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc/", "sys/"];
    let mut all: Vec<String> = bottom.iter().chain(more).map(|path| (*path).to_owned()).collect();
    all.sort();
    all
}

#[test]
fn one_layer_and_an_untouched_container_are_fine_too() {
    let yard = Yard::new();
    let lowers = [yard.add(Tar::new().file("only", b"1"))];
    assert_eq!(yard.capture(BASE), [0; 1024]);
    assert!(yard.changes(&lowers, BASE).is_empty());
    assert_eq!(paths(&yard.export(&lowers, &yard.rw(), BASE)), bottom_and(&["only"]));
    drop(Container::mapped(&yard, &lowers));
    assert_eq!(yard.capture(BASE), [0; 1024]);
    assert!(yard.changes(&lowers, BASE).is_empty());
    assert_eq!(paths(&yard.export(&lowers, &yard.rw(), BASE)), bottom_and(&["only"]));
}

#[test]
fn what_a_start_made_to_mount_on_is_no_change() {
    let yard = Yard::new();
    let lowers = [yard.add(Tar::new().file("bin/sh", b"1"))];
    let container = Container::mapped(&yard, &lowers);
    container.run(
        "test -d dev && test -d proc && test -d sys && test -f etc/hosts -a -f etc/hostname -a -f etc/resolv.conf",
    );
    assert!(yard.changes(&lowers, BASE).is_empty());
    assert_eq!(yard.capture(BASE), [0; 1024]);
    container.run("echo 1 > etc/own && : > etc/hosts && mkdir proc/x && mkdir data");
    let expected = ["A /data", "A /etc/own", "A /proc/x", "C /etc", "C /proc"];
    assert_eq!(sorted(yard.changes(&lowers, BASE)), expected);
    let list = paths(&yard.capture(BASE));
    assert!(list.contains(&"etc/own".to_owned()) && !list.contains(&"etc/hosts".to_owned()), "{list:?}");
}

#[test]
fn mount_points_of_a_start_do_not_count_where_the_image_has_their_folder() {
    let yard = Yard::new();
    let lowers = image(&yard);
    let container = Container::mapped(&yard, &lowers);
    container.run(": > etc/hosts");
    assert!(yard.changes(&lowers, BASE).is_empty());
    assert_eq!(paths(&yard.capture(BASE)), ["etc/"]);
}

#[test]
fn a_layer_packed_again_has_the_same_tree() {
    let yard = Yard::new();
    let lowers = image(&yard);
    for lower in &lowers {
        let Lower::Layer(digest) = lower else { panic!() };
        let mut tar = Vec::new();
        yard.store.repack(digest, &mut tar).unwrap();
        let again = yard.store.unpack(&mut &tar[..], None).unwrap();
        let mut second = Vec::new();
        yard.store.repack(&again, &mut second).unwrap();
        assert!(tar == second);
    }
    let missing = base::Digest::from_bytes([7; 32]);
    assert!(matches!(yard.store.repack(&missing, &mut Vec::new()), Err(Error::NotFound(_))));
}
