//! Layers on the real kernel: unpacked, mounted, mapped, hidden, removed. Needs root.

use archive::fixture::{Head, Tar};
use base::Digest;
use layer::{Error, Lower, Store, Sync};
use sha2::Digest as _;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BASE: u32 = 0x7000_0000;

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("layers")).unwrap();
    (folder, store)
}

fn add(store: &Store, tar: Tar) -> Lower {
    Lower::Layer(store.unpack(&mut &tar.finish()[..], None).unwrap())
}

/// A path that leads into a detached mount.
fn inside(mount: &OwnedFd, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())).join(path)
}

fn left_in(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// A user namespace with 0..65536 mapped to BASE.., alive as long as its process.
struct UserNamespace {
    child: Child,
    fd: OwnedFd,
}

impl UserNamespace {
    fn new() -> UserNamespace {
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
        let fd = fs::File::open(path).unwrap().into();
        UserNamespace { child, fd }
    }
}

impl Drop for UserNamespace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_layer_is_unpacked_once_and_named_by_its_plain_tar() {
    let (folder, store) = store();
    let tar = Tar::new().folder("etc", 0o755).file("etc/x", b"12345").finish();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();
    let first = store.unpack(&mut &tar[..], None).unwrap();
    assert_eq!(first, digest(&tar));
    assert_eq!(store.unpack(&mut &gzip[..], None).unwrap(), first);
    assert_eq!(store.unpack(&mut &b"never read"[..], Some(&first)).unwrap(), first);
    assert_eq!(store.list().unwrap(), [first]);
    assert_eq!(store.size(&first).unwrap(), 5);
    assert!(store.has(&first));
    assert_eq!(left_in(&folder.path().join("layers/tmp")), 0);
    assert_eq!(fs::metadata(folder.path().join("layers")).unwrap().permissions().mode() & 0o777, 0o700);
    store.remove(&first).unwrap();
    store.remove(&first).unwrap();
    assert!(!store.has(&first));
    assert!(matches!(store.size(&first), Err(Error::NotFound(_))));
    assert_eq!(left_in(&folder.path().join("layers/tmp")) + left_in(&folder.path().join("layers/sha256")), 0);
}

#[test]
fn bytes_after_the_end_mark_count_for_the_name() {
    let (_folder, store) = store();
    let mut tar = Tar::new().file("x", b"1").finish();
    tar.resize(10_240 + 300_000, 0);
    assert_eq!(store.unpack(&mut &tar[..], None).unwrap(), digest(&tar));
}

#[test]
fn wrong_and_broken_layers_leave_nothing() {
    let (folder, store) = store();
    let tar = Tar::new().file("x", &[7; 700_000]).finish();
    let wrong = store.unpack(&mut &tar[..], Some(&digest(b"other"))).unwrap_err();
    assert!(matches!(wrong, Error::WrongDiffId { actual, .. } if actual == digest(&tar)));
    assert!(store.unpack(&mut &tar[..300_000], None).is_err());
    assert!(store.unpack(&mut &Tar::new().file("../x", b"").finish()[..], None).is_err());
    assert!(store.unpack(&mut &b"\xfd7zXZ\0 and so on"[..], None).is_err());
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the network is gone"))
        }
    }
    let error = store.unpack(&mut (&tar[..600_000]).chain(Broken), None).unwrap_err();
    assert!(base::chain(&error).contains("the network is gone"), "{}", base::chain(&error));
    assert_eq!(left_in(&folder.path().join("layers/tmp")) + left_in(&folder.path().join("layers/sha256")), 0);
}

#[test]
fn the_same_layer_at_once_is_kept_once() {
    let (folder, store) = store();
    let tar = Tar::new().file("x", &[7; 2_000_000]).finish();
    let name = digest(&tar);
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (store, tar) = (&store, &tar);
            scope.spawn(move || {
                let expected = (n % 2 == 0).then_some(&name);
                assert_eq!(store.unpack(&mut &tar[..], expected).unwrap(), name);
            });
        }
    });
    assert_eq!(store.list().unwrap(), [name]);
    assert_eq!(left_in(&folder.path().join("layers/tmp")), 0);
}

#[test]
fn opening_sweeps_half_done_layers_and_those_a_power_cut_may_have_hurt() {
    let (folder, store) = store();
    let tars = [
        Tar::new().file("safe", b"1").finish(),
        Tar::new().file("this boot", b"2").finish(),
        Tar::new().file("other boot", b"3").finish(),
    ];
    let safe = store.unpack(&mut &tars[0][..], None).unwrap();
    store.sync().unwrap();
    let young = store.unpack(&mut &tars[1][..], None).unwrap();
    let hurt = store.unpack(&mut &tars[2][..], None).unwrap();
    drop(store);
    let root = folder.path().join("layers");
    fs::write(root.join("sha256").join(hurt.hex()).join("unsynced"), "another boot").unwrap();
    fs::create_dir_all(root.join("tmp/half/diff/etc")).unwrap();
    let store = Store::open(&root).unwrap();
    assert!(store.has(&safe) && store.has(&young) && !store.has(&hurt));
    assert_eq!(left_in(&root.join("tmp")), 0);
}

#[test]
fn an_overlay_shows_its_layers_top_first_and_writes_above_them() {
    let (folder, store) = store();
    let bottom =
        add(&store, Tar::new().file("a", b"bottom").file("gone", b"x").file("d/hidden", b"x").file("e/seen", b"x"));
    let top = add(
        &store,
        Tar::new()
            .entry(Head { path: b"./", flag: b'5', mode: 0o751, uid: 12, gid: 13, ..Head::default() }, b"")
            .file("a", b"top")
            .file(".wh.gone", b"")
            .file("d/.wh..wh..opq", b"")
            .file("d/new", b"x")
            .file("e/too", b"x"),
    );
    let rw = folder.path().join("rw");
    let mount = store.mount(&[top, bottom], &rw, None, 0, Sync::AtUnmount).unwrap();
    assert_eq!(fs::read(inside(&mount, "a")).unwrap(), b"top");
    assert!(!inside(&mount, "gone").exists() && !inside(&mount, "d/hidden").exists());
    assert!(inside(&mount, "d/new").exists() && inside(&mount, "e/seen").exists() && inside(&mount, "e/too").exists());
    let root = fs::metadata(inside(&mount, ".")).unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o751, 12, 13));
    fs::write(inside(&mount, "a"), b"mine").unwrap();
    assert_eq!(fs::read(rw.join("upper/a")).unwrap(), b"mine");
}

#[test]
fn a_mapped_overlay_turns_root_on_disk_into_root_of_the_namespace() {
    let (folder, store) = store();
    let namespace = UserNamespace::new();
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let layer = add(
        &store,
        Tar::new()
            .file("root's", b"1")
            .pax(&[("SCHILY.xattr.security.capability", &capability)])
            .entry(Head { path: b"user's", uid: 1000, gid: 100, mode: 0o755, size: 1, ..Head::default() }, b"2"),
    );
    for n in 0..3 {
        let rw = folder.path().join(format!("rw{n}"));
        let user_namespace = Some(namespace.fd.as_fd());
        let mount = store.mount(std::slice::from_ref(&layer), &rw, user_namespace, BASE, Sync::Never).unwrap();
        let owner = |path: &str| fs::metadata(inside(&mount, path)).map(|m| (m.uid(), m.gid())).unwrap();
        assert_eq!(owner("."), (BASE, BASE));
        assert_eq!(owner("root's"), (BASE, BASE));
        assert_eq!(owner("user's"), (BASE + 1000, BASE + 100));
        fs::write(inside(&mount, "user's"), b"changed").unwrap();
        assert_eq!(fs::metadata(rw.join("upper/user's")).unwrap().uid(), BASE + 1000);
    }
    let Lower::Layer(digest) = layer else { unreachable!() };
    assert_eq!(fs::metadata(store.diff(&digest).join("user's")).unwrap().uid(), 1000);
}

#[test]
fn a_writable_folder_is_mounted_again_also_after_a_volatile_mount() {
    let (folder, store) = store();
    let lowers = [add(&store, Tar::new().file("a", b"1"))];
    let rw = folder.path().join("rw");
    for (n, sync) in [Sync::Never, Sync::Never, Sync::AtUnmount, Sync::AtUnmount].into_iter().enumerate() {
        let mount = store.mount(&lowers, &rw, None, 0, sync).unwrap();
        assert_eq!(inside(&mount, "mine").exists(), n > 0);
        fs::write(inside(&mount, "mine"), b"1").unwrap();
        drop(mount);
    }
}

/// What a process leaves that is killed while it prepares the folder.
#[test]
fn a_half_prepared_writable_folder_still_looks_like_the_image() {
    let (folder, store) = store();
    let layer = add(&store, Tar::new().file("a", b"1"));
    let rw = folder.path().join("rw");
    fs::create_dir_all(rw.join("upper")).unwrap();
    fs::set_permissions(rw.join("upper"), fs::Permissions::from_mode(0o700)).unwrap();
    let mount = store.mount(&[layer], &rw, None, BASE, Sync::AtUnmount).unwrap();
    let root = fs::metadata(inside(&mount, "")).unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid()), (0o755, BASE));
}

#[test]
fn hundreds_of_layers_are_mounted_and_too_many_are_refused_in_words() {
    let (folder, store) = store();
    let lowers: Vec<_> = (0..200).map(|n| add(&store, Tar::new().file(&format!("f{n}"), b"1"))).collect();
    let mount = store.mount(&lowers, &folder.path().join("rw"), None, 0, Sync::Never).unwrap();
    assert!(inside(&mount, "f0").exists() && inside(&mount, "f199").exists());
    let many: Vec<_> = lowers.iter().cycle().take(501).cloned().collect();
    let error = store.mount(&many, &folder.path().join("rw2"), None, 0, Sync::Never).unwrap_err();
    assert!(matches!(error, Error::TooManyLayers { count: 501, most: 500 }));
    // An image of nothing has what every container has.
    let mount = store.mount(&[], &folder.path().join("rw2"), None, 0, Sync::Never).unwrap();
    assert!(inside(&mount, ".dockerenv").exists());
}

#[test]
fn a_layer_that_is_missing_or_removed_cannot_be_mounted() {
    let (folder, store) = store();
    let lower = add(&store, Tar::new().file("a", b"1"));
    let Lower::Layer(digest) = lower else { unreachable!() };
    let lowers = [lower];
    let mount = store.mount(&lowers, &folder.path().join("rw"), None, 0, Sync::Never).unwrap();
    store.remove(&digest).unwrap();
    drop(mount);
    let error = store.mount(&lowers, &folder.path().join("rw2"), None, 0, Sync::Never).unwrap_err();
    assert!(matches!(error, Error::NotFound(missing) if missing == digest));
}

#[test]
fn the_host_image_shows_the_machine_without_what_is_hidden() {
    let (folder, store) = store();
    let namespace = UserNamespace::new();
    let base = folder.path().canonicalize().unwrap();
    fs::create_dir_all(base.join("keys/deep")).unwrap();
    fs::write(base.join("keys/deep/secret"), b"s").unwrap();
    fs::write(base.join("open"), b"o").unwrap();
    std::os::unix::fs::symlink("keys", base.join("link")).unwrap();
    store.hide_from_host_image(&[
        base.join("link/deep"),
        base.join("layers"),
        base.join("later/x"),
        base.join("keys/deep/secret"),
    ]);
    let lowers = [Lower::HostMask, Lower::Folder("/".into())];
    for (n, namespace) in [None, Some(namespace.fd.as_fd())].into_iter().enumerate() {
        let rw = base.join(format!("rw{n}"));
        let owner = if namespace.is_some() { BASE } else { 0 };
        let mount = store.mount(&lowers, &rw, namespace, owner, Sync::Never).unwrap();
        let at = |path: &str| inside(&mount, base.join(path).strip_prefix("/").unwrap().to_str().unwrap());
        assert!(at("open").exists());
        assert!(at("keys").exists() && at("link").is_symlink());
        assert!(!at("keys/deep").exists() && !at("layers").exists() && !at("later/x").exists());
        assert!(inside(&mount, "etc/passwd").exists());
        let passwd = fs::metadata(inside(&mount, "etc/passwd")).unwrap();
        assert_eq!((passwd.uid(), passwd.mode() & 0o777), (owner, 0o644));
        let here = fs::metadata(&base).unwrap();
        let there = fs::metadata(at("")).unwrap();
        assert_eq!((there.mode(), there.mtime()), (here.mode(), here.mtime()));
        fs::write(inside(&mount, "etc/dhow-test-only-above"), b"x").unwrap();
        assert!(!Path::new("/etc/dhow-test-only-above").exists());
    }
}

#[test]
fn a_file_system_without_id_maps_is_named_in_the_error() {
    let (folder, store) = store();
    let namespace = UserNamespace::new();
    // procfs cannot be id-mapped.
    let lowers = [Lower::Folder("/proc".into())];
    let error =
        store.mount(&lowers, &folder.path().join("rw"), Some(namespace.fd.as_fd()), BASE, Sync::Never).unwrap_err();
    assert!(error.to_string().contains("--userns=host"), "{error}");
}

#[test]
fn whiteouts_on_disk_are_devices_of_the_kernel() {
    let (_folder, store) = store();
    let Lower::Layer(digest) = add(&store, Tar::new().file(".wh.x", b"")) else { unreachable!() };
    let stat = fs::symlink_metadata(store.diff(&digest).join("x")).unwrap();
    assert!(stat.file_type().is_char_device());
    assert_eq!(stat.rdev(), 0);
}

/// Not a check of speed, which belongs to the bench: prints what a mount costs here (`cargo test -- --ignored
/// --nocapture`).
#[test]
#[ignore = "a measurement"]
fn measure_mounts() {
    let (folder, store) = store();
    let namespace = UserNamespace::new();
    let lowers: Vec<_> = (0..10).map(|n| add(&store, Tar::new().file(&format!("f{n}"), b"1"))).collect();
    for count in [1, 10] {
        for namespace in [None, Some(namespace.fd.as_fd())] {
            let mut times = Vec::new();
            let mut drops = Vec::new();
            for n in 0..300 {
                let rw = folder.path().join(format!("rw-{count}-{}-{n}", namespace.is_some()));
                fs::create_dir(&rw).unwrap();
                let start = Instant::now();
                let mount = store.mount(&lowers[..count], &rw, namespace, BASE, Sync::Never).unwrap();
                times.push(start.elapsed());
                let start = Instant::now();
                drop(mount);
                drops.push(start.elapsed());
            }
            times.sort();
            drops.sort();
            println!("{count} layers, mapped {}: mount {:?}, drop {:?}", namespace.is_some(), times[150], drops[150]);
        }
    }
}
