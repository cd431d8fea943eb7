//! Copy-up: what an image has becomes the content of an empty volume, whatever the image has. Root only, for owners.

use rustix::fs::{FileType, Mode, OFlags, RenameFlags, XattrFlags};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use volume::{Error, Store, Volume};

const BASE: u32 = 0x7000_0000;

struct Place {
    folder: tempfile::TempDir,
    source: PathBuf,
    store: Store,
    volume: Volume,
}

impl Place {
    fn new() -> Option<Place> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        let store = Store::open(folder.path().join("volumes")).unwrap();
        let volume = store.create(Some("data"), BTreeMap::new()).unwrap();
        Some(Place { folder, source, store, volume })
    }

    fn source(&self) -> OwnedFd {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.source, flags, Mode::empty()).unwrap()
    }

    fn copy_up(&self) -> Result<(), Error> {
        self.store.copy_up(&self.volume, self.source().as_fd(), BASE)
    }

    fn copied(&self, path: &str) -> PathBuf {
        self.volume.mountpoint.join(path)
    }

    fn names(&self) -> Vec<String> {
        names(&self.volume.mountpoint)
    }
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn set_time(path: &Path, seconds: u64) {
    let file = fs::File::open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

#[test]
fn owners_modes_times_and_attributes_are_kept() {
    let Some(place) = Place::new() else { return };
    let inode = fs::metadata(&place.volume.mountpoint).unwrap().ino();
    let (inner, file) = (place.source.join("inner"), place.source.join("inner/file"));
    fs::create_dir(&inner).unwrap();
    fs::write(&file, "text").unwrap();
    for (path, id, mode, seconds) in [
        (&file, BASE + 33, 0o4750, 1_000_000_001),
        (&inner, BASE + 1000, 0o2775, 1_000_000_002),
        (&place.source, BASE, 0o1777, 1_000_000_003),
    ] {
        chown(path, Some(id), Some(id + 1)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set_time(path, seconds);
    }
    symlink("/nowhere", place.source.join("link")).unwrap();
    lchown(place.source.join("link"), Some(7), Some(8)).unwrap();
    set_time(&place.source, 1_000_000_003);
    place.copy_up().unwrap();
    for (path, id, mode, seconds) in [
        ("inner/file", 33, 0o4750, 1_000_000_001),
        ("inner", 1000, 0o2775, 1_000_000_002),
        (".", 0, 0o1777, 1_000_000_003),
    ] {
        let found = fs::metadata(place.copied(path)).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (id, id + 1, mode), "{path}");
        assert_eq!(found.mtime(), seconds, "{path}");
    }
    let link = fs::symlink_metadata(place.copied("link")).unwrap();
    assert_eq!((link.uid(), link.gid()), (7, 8));
    assert_eq!(fs::read_link(place.copied("link")).unwrap(), Path::new("/nowhere"));
    assert_eq!(fs::read_to_string(place.copied("inner/file")).unwrap(), "text");
    assert_eq!(fs::metadata(&place.volume.mountpoint).unwrap().ino(), inode, "a mount of it still shows it");
    assert_eq!(names(place.volume.mountpoint.parent().unwrap()), ["_data", "volume.json"]);
}

#[test]
fn file_capabilities_and_user_attributes_are_kept_and_trusted_ones_are_not() {
    let Some(place) = Place::new() else { return };
    let file = place.source.join("ping");
    fs::write(&file, "").unwrap();
    let mut capability = vec![1, 0, 0, 3, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    capability.extend(BASE.to_le_bytes());
    let set = |name: &str, value: &[u8]| rustix::fs::setxattr(&file, name, value, XattrFlags::empty()).unwrap();
    set("security.capability", &capability);
    set("user.mime", b"text");
    set("trusted.overlay.opaque", b"y");
    place.copy_up().unwrap();
    let get = |name: &str| {
        let mut value = vec![0; 100];
        let length = rustix::fs::getxattr(place.copied("ping"), name, &mut value[..])?;
        value.truncate(length);
        Ok::<_, rustix::io::Errno>(value)
    };
    assert_eq!(get("user.mime").unwrap(), b"text");
    let kept = get("security.capability").unwrap();
    assert_eq!((kept.len(), kept[3], &kept[4..8]), (20, 2, &capability[4..8]));
    assert!(get("trusted.overlay.opaque").is_err());
}

#[test]
fn hard_links_stay_links_and_holes_stay_holes() {
    let Some(place) = Place::new() else { return };
    fs::create_dir_all(place.source.join("a/b")).unwrap();
    fs::write(place.source.join("a/b/first"), "one").unwrap();
    fs::hard_link(place.source.join("a/b/first"), place.source.join("second")).unwrap();
    symlink("x", place.source.join("s1")).unwrap();
    fs::hard_link(place.source.join("s1"), place.source.join("a/s2")).unwrap();
    let sparse = fs::File::create(place.source.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 1 << 40).unwrap();
    drop(sparse);
    place.copy_up().unwrap();
    let inode = |path: &str| fs::symlink_metadata(place.copied(path)).unwrap().ino();
    assert_eq!(inode("a/b/first"), inode("second"));
    assert_eq!(inode("s1"), inode("a/s2"));
    let sparse = fs::metadata(place.copied("sparse")).unwrap();
    assert_eq!(sparse.len(), (1 << 40) + 3);
    assert!(sparse.blocks() < 1000, "{}", sparse.blocks());
}

#[test]
fn a_volume_with_anything_in_it_is_left_alone() {
    let Some(place) = Place::new() else { return };
    fs::write(place.source.join("new"), "").unwrap();
    fs::write(place.copied("old"), "").unwrap();
    place.copy_up().unwrap();
    assert_eq!(place.names(), ["old"]);
}

#[test]
fn an_empty_folder_gives_its_owner_and_mode() {
    let Some(place) = Place::new() else { return };
    chown(&place.source, Some(BASE + 999), Some(BASE + 999)).unwrap();
    fs::set_permissions(&place.source, fs::Permissions::from_mode(0o700)).unwrap();
    place.copy_up().unwrap();
    let found = fs::metadata(&place.volume.mountpoint).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (999, 999, 0o700));
}

#[test]
fn links_out_of_the_image_are_copied_and_never_followed() {
    let Some(place) = Place::new() else { return };
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::set_permissions(outside.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(outside.join("secret")).unwrap();
    for (target, name) in
        [("../outside", "folder"), ("../outside/secret", "file"), ("/etc/passwd", "absolute"), ("loop", "loop")]
    {
        symlink(target, place.source.join(name)).unwrap();
        lchown(place.source.join(name), Some(BASE + 5), Some(BASE + 5)).unwrap();
    }
    place.copy_up().unwrap();
    assert_eq!(place.names(), ["absolute", "file", "folder", "loop"]);
    for name in place.names() {
        assert!(fs::symlink_metadata(place.copied(&name)).unwrap().file_type().is_symlink(), "{name}");
    }
    let after = fs::metadata(outside.join("secret")).unwrap();
    assert_eq!((before.uid(), before.mode(), before.ctime_nsec()), (after.uid(), after.mode(), after.ctime_nsec()));
}

#[test]
fn fifos_are_made_and_devices_and_sockets_left_out() {
    let Some(place) = Place::new() else { return };
    let folder = place.source();
    rustix::fs::mknodat(&folder, "fifo", FileType::Fifo, Mode::RWXU, 0).unwrap();
    rustix::fs::mknodat(&folder, "zero", FileType::CharacterDevice, Mode::RWXU, rustix::fs::makedev(1, 5)).unwrap();
    rustix::fs::mknodat(&folder, "disk", FileType::BlockDevice, Mode::RWXU, rustix::fs::makedev(8, 0)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(place.source.join("socket")).unwrap());
    place.copy_up().unwrap();
    assert_eq!(place.names(), ["fifo"]);
    let fifo = fs::metadata(place.copied("fifo")).unwrap();
    assert!(fifo.file_type().is_fifo());
    assert_eq!(fifo.mode() & 0o7777, 0o700);
}

#[test]
fn a_failed_copy_leaves_an_empty_volume() {
    let Some(place) = Place::new() else { return };
    fs::write(place.source.join("file"), "").unwrap();
    let mut inner = place.source();
    for _ in 0..400 {
        rustix::fs::mkdirat(&inner, "d", Mode::RWXU).unwrap();
        inner = rustix::fs::openat(&inner, "d", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .unwrap();
    }
    assert!(matches!(place.copy_up(), Err(Error::Io { action: "fill", .. })));
    assert!(place.names().is_empty());
    assert_eq!(names(place.volume.mountpoint.parent().unwrap()), ["_data", "volume.json"]);
}

#[test]
fn a_folder_swapped_for_a_link_during_the_copy_leads_nowhere() {
    let Some(place) = Place::new() else { return };
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    for n in 0..20 {
        fs::create_dir(place.source.join(format!("folder{n}"))).unwrap();
        fs::write(place.source.join(format!("folder{n}/harmless")), "").unwrap();
    }
    symlink(&outside, place.source.join("link")).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let folder = place.source();
            while !over.load(Ordering::Relaxed) {
                for n in 0..20 {
                    let name = format!("folder{n}");
                    let _ = rustix::fs::renameat_with(&folder, &name, &folder, "link", RenameFlags::EXCHANGE);
                }
            }
        });
        for _ in 0..100 {
            let volume = place.store.create(None, BTreeMap::new()).unwrap();
            let _ = place.store.copy_up(&volume, place.source().as_fd(), BASE);
            for name in names(&volume.mountpoint) {
                let path = volume.mountpoint.join(&name);
                if !fs::symlink_metadata(&path).unwrap().file_type().is_symlink() {
                    assert_eq!(names(&path), ["harmless"], "{name}");
                }
            }
            place.store.remove(&volume.name).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn many_who_fill_one_volume_fill_it_once() {
    let Some(place) = Place::new() else { return };
    for n in 0..50 {
        fs::write(place.source.join(format!("file{n}")), "text").unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                place.copy_up().unwrap();
                assert_eq!(place.names().len(), 50);
            });
        }
    });
}
