//! The image store: killed at any moment it is whole, and what files are made of survives every way through it.

use it::{Maker, Registry, Stage, within};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Moments at which the engine is killed.
const KILLS: u64 = 50;
/// The longest of the verbs takes about so long, in milliseconds.
const LONGEST: u64 = 350;

/// Starts one of the verbs that change the store.
fn verb(stage: &Stage, registry: &Registry, number: u64) -> Child {
    let layered = it::layered_archive().display().to_string();
    let name = registry.name("layered:1");
    let words: Vec<&str> = match number % 6 {
        0 => vec!["pull", "-q", &name],
        1 => vec!["rmi", "-f", &name, "layered:latest"],
        2 => vec!["load", "-q", "-i", &layered],
        3 => vec!["commit", "changed", "committed:1"],
        4 => vec!["image", "prune", "-a", "-f"],
        _ => vec!["load", "-q", "-i", &layered],
    };
    stage.dhow_command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn fifty_kills_leave_a_store_that_is_whole() {
    let mut stage = Stage::new();
    let registry = Registry::start(&stage, Maker::Own, 5010);
    let archive = format!("docker-archive:{}", it::layered_archive().display());
    let to = format!("docker://{}", registry.name("layered:1"));
    stage.tool("skopeo", ["copy", "-q", "--dest-tls-verify=false", &archive, &to]).ok();
    let line = "for i in 1 2 3 4 5 6 7 8 9; do head -c 1000000 /dev/urandom > /tmp/$i; done; rm -r /home";
    stage.dhow(["run", "--name", "changed", "busybox", "sh", "-c", line]).ok();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..KILLS {
        let mut client = verb(&stage, &registry, number);
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::park_timeout(Duration::from_millis((state >> 33) % LONGEST));
        stage.kill_engine();
        client.wait().unwrap();
        stage.start_engine();
        check(&stage, number);
    }
    stage.dhow(["pull", "-q", &registry.name("layered:1")]).ok();
    stage.dhow(["rm", "changed"]).ok();
}

/// What is listed is whole, and nothing else is on disk.
fn check(stage: &Stage, number: u64) {
    let said = stage.dhow(["system", "fsck"]);
    assert_eq!(said.code, 0, "kill {number}: {}{}", said.out, said.err);
    for folder in ["content/ingest", "layers/tmp"] {
        let left: Vec<_> = fs::read_dir(stage.data_root().join(folder)).unwrap().collect();
        assert!(left.is_empty(), "kill {number}: {left:?}");
    }
    for name in stage.dhow(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok().lines() {
        if !name.contains("<none>") && !name.starts_with("host") {
            stage.dhow(["run", "--rm", "--network", "none", name, "true"]).ok();
        }
    }
}

/// A capability of version 2: `cap_net_raw+ep` (linux/capability.h).
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn strange_root(root: &Path) {
    it::busybox_root(root).unwrap();
    let at = |name: &str| root.join("odd").join(name);
    fs::create_dir_all(at("")).unwrap();
    fs::write(at("plain"), "x").unwrap();
    set(&at("plain"), "user.note", b"kept \0 \xff");
    fs::write(at("ping"), "#!").unwrap();
    set(&at("ping"), "security.capability", &NET_RAW);
    fs::hard_link(at("plain"), at("linked")).unwrap();
    let sparse = fs::File::create(at("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 200 << 20).unwrap();
    let node = |name: &str, kind, device| {
        rustix::fs::mknodat(rustix::fs::CWD, at(name), kind, 0o640.into(), device).unwrap();
    };
    node("fifo", rustix::fs::FileType::Fifo, 0);
    node("null", rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("disk", rustix::fs::FileType::BlockDevice, rustix::fs::makedev(7, 200));
    fs::write(at(&"l".repeat(255)), "long").unwrap();
    let deep = at(&["d".repeat(200), "e".repeat(200), "f".repeat(200)].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    fs::write(root.join("odd").join(OsStr::from_bytes(b"not-\xff-utf8")), "bytes").unwrap();
    fs::write(at("strange-owner"), "").unwrap();
    std::os::unix::fs::chown(at("strange-owner"), Some(3_000_000), Some(70_000)).unwrap();
    let old = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 123_456_789 };
    let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
    rustix::fs::utimensat(rustix::fs::CWD, at("ping"), &times, rustix::fs::AtFlags::empty()).unwrap();
}

fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

fn attribute(path: &Path, name: &str) -> Vec<u8> {
    let mut value = [0; 256];
    let length = rustix::fs::getxattr(path, name, &mut value[..]).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    value[..length].to_vec()
}

/// Looks at the tree of the layer that has `odd/NAME`.
fn check_odd(stage: &Stage, folder: &str) {
    let layers = stage.data_root().join("layers/sha256");
    let odd: PathBuf = fs::read_dir(layers)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("diff").join(folder))
        .find(|path| path.join("plain").exists())
        .unwrap_or_else(|| panic!("no layer has {folder}"));
    let look = |name: &str| fs::symlink_metadata(odd.join(name)).unwrap_or_else(|e| panic!("{folder}/{name}: {e}"));
    assert_eq!(look("plain").ino(), look("linked").ino(), "{folder}");
    let sparse = look("sparse");
    assert_eq!(sparse.size(), (200 << 20) + 3);
    assert!(sparse.blocks() * 512 < 1 << 20, "{folder}: {} blocks", sparse.blocks());
    assert!(look("fifo").file_type().is_fifo());
    assert_eq!(look(&"l".repeat(255)).len(), 4);
    let deep = [["d".repeat(200), "e".repeat(200), "f".repeat(200)].join("/"), "file".to_owned()].join("/");
    assert_eq!(look(&deep).len(), 4);
    assert_eq!(fs::read(odd.join(OsStr::from_bytes(b"not-\xff-utf8"))).unwrap(), b"bytes");
    if folder == "odd" {
        assert_eq!(attribute(&odd.join("plain"), "user.note"), b"kept \0 \xff");
        assert_eq!(attribute(&odd.join("ping"), "security.capability"), NET_RAW);
        assert_eq!((look("ping").mtime(), look("ping").mtime_nsec()), (1_000_000_000, 123_456_789));
        assert_eq!((look("strange-owner").uid(), look("strange-owner").gid()), (3_000_000, 70_000));
        assert_eq!(look("null").rdev(), rustix::fs::makedev(1, 3));
        assert!(look("disk").file_type().is_block_device());
    } else {
        assert_eq!((look("plain").uid(), look("owned").uid(), look("owned").gid()), (0, 1000, 50), "{folder}");
        assert_eq!(look("owned").mode() & 0o7777, 0o6755, "{folder}");
        assert_eq!(look("plain").mtime(), 1_000_000_000);
    }
}

/// The same in a container: what an ordinary program can make there.
const MAKE: &str = r#"
mkdir /made && cd /made && printf x > plain && ln plain linked && mkfifo fifo &&
dd if=/dev/zero of=sparse bs=1 count=0 seek=209715200 2>/dev/null && printf end >> sparse &&
printf long > "$(printf 'l%.0s' $(seq 255))" &&
d=$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))/$(printf 'f%.0s' $(seq 200)) && mkdir -p $d && printf deep > $d/file &&
printf bytes > "$(printf 'not-\377-utf8')" && printf o > owned && chown 1000:50 owned && chmod 6755 owned &&
touch -d @1000000000 plain && rm -r /odd/linked /home && rm -r /data && mkdir /data
"#;

#[test]
fn what_files_are_made_of_survives_every_way_through_the_store() {
    let stage = Stage::bare();
    let root = stage.folder().join("root");
    strange_root(&root);
    let tar = stage.folder().join("root.tar");
    let words = ["--xattrs", "--xattrs-include=*", "--format=pax", "--numeric-owner", "-C"];
    let mut command = stage.inside("tar");
    command.args(words).arg(&root).arg("-cf").arg(&tar).arg(".");
    assert!(command.status().unwrap().success());
    stage.dhow(["import", "-c", "ENV PATH=/bin", &tar.display().to_string(), "odd:1"]).ok();
    check_odd(&stage, "odd");
    stage.dhow(["run", "--name", "maker", "odd:1", "sh", "-c", MAKE]).ok();
    stage.dhow(["commit", "maker", "made:1"]).ok();
    check_odd(&stage, "made");

    let saved = stage.folder().join("saved.tar").display().to_string();
    stage.dhow(["save", "-o", &saved, "made:1"]).ok();
    stage.dhow(["rm", "maker"]).ok();
    stage.dhow(["rmi", "made:1", "odd:1"]).ok();
    within("the layers are gone", || fs::read_dir(stage.data_root().join("layers/sha256")).unwrap().count() == 0);
    stage.dhow(["load", "-q", "-i", &saved]).ok();
    check_odd(&stage, "odd");
    check_odd(&stage, "made");
    let gone = "test ! -e /odd/linked && test ! -e /home && test -d /data && test ! -e /data/seed && cat /odd/plain";
    assert_eq!(stage.dhow(["run", "--rm", "made:1", "sh", "-c", gone]).ok(), "x");
    stage.dhow(["system", "fsck"]).ok();

    // Through a registry as well.
    let registry = Registry::start(&stage, Maker::Debian, 5011);
    let name = registry.name("made:1");
    stage.dhow(["tag", "made:1", &name]).ok();
    stage.dhow(["push", "-q", &name]).ok();
    stage.dhow(["rmi", "made:1", &name]).ok();
    stage.dhow(["pull", "-q", &name]).ok();
    check_odd(&stage, "odd");
    check_odd(&stage, "made");
}

#[test]
fn disk_usage_is_what_du_says() {
    let stage = Stage::new();
    stage.dhow(["load", "-q", "-i", &it::layered_archive().display().to_string()]).ok();
    let mut command = stage.inside("du");
    command.args(["-s", "-B1", "-c"]).arg(stage.data_root().join("content")).arg(stage.data_root().join("layers"));
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let du: f64 = said.lines().last().unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let words = ["-s", "--unix-socket", &stage.host()["unix://".len()..], "http://d/v1.43/system/df"];
    let df = stage.tool("curl", words).ok();
    let at = df.find("\"LayersSize\":").expect("a size") + "\"LayersSize\":".len();
    let df: f64 = df[at..].split([',', '}']).next().unwrap().parse().unwrap();
    assert!((df - du).abs() / du < 0.01, "df says {df}, du {du}");
}
