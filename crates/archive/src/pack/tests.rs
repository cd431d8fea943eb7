//! Trees of every kind become tars that we, tar(1) and Python read the same way. Needs root for devices and owners.

use super::*;
use crate::extract;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, makedev};
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Yard {
    folder: tempfile::TempDir,
}

impl Yard {
    fn new() -> Yard {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        chmod(&folder.path().join("tree"), 0o755);
        Yard { folder }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join("tree").join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), content).unwrap();
    }

    fn pack(&self, packing: Packing) -> Vec<u8> {
        pack_folder(&self.at(""), packing)
    }

    /// Packed, unpacked somewhere else and packed again.
    fn round_trip(&self) -> (Vec<u8>, Yard, Vec<u8>) {
        let first = self.pack(Packing::default());
        let other = Yard::new();
        extract(&first[..], fs::File::open(other.at("")).unwrap().as_fd()).unwrap();
        let second = other.pack(Packing::default());
        (first, other, second)
    }
}

fn pack_folder(path: &Path, packing: Packing) -> Vec<u8> {
    let mut tar = Vec::new();
    pack(fs::File::open(path).unwrap().as_fd(), packing, &mut tar).unwrap();
    tar
}

fn chmod(path: &Path, mode: u32) {
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).unwrap();
}

fn chown(path: &Path, uid: u32, gid: u32) {
    rustix::fs::chownat(CWD, path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)
        .unwrap();
}

fn mknod(path: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device).unwrap();
}

fn set_time(path: &Path, tv_sec: i64, tv_nsec: i64) {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let got = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(got);
    Some(value)
}

/// Path, kind and link of every entry.
fn listing(tar: &[u8]) -> Vec<(String, crate::EntryKind, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut reader = crate::Reader::new(tar);
    let mut found = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        found.push((text(&entry.path), entry.kind, text(&entry.link)));
    }
    found
}

fn paths(tar: &[u8]) -> Vec<String> {
    listing(tar).into_iter().map(|(path, _, _)| path).collect()
}

/// One of everything.
fn everything() -> Yard {
    let yard = Yard::new();
    yard.write("etc/passwd", b"root");
    yard.write("bin/su", &[7; 5000]);
    fs::hard_link(yard.at("bin/su"), yard.at("bin/also-su")).unwrap();
    symlink("../../etc/passwd", yard.at("bin/link")).unwrap();
    fs::hard_link(yard.at("bin/link"), yard.at("bin/same-link")).unwrap();
    symlink("t".repeat(300), yard.at("bin/far")).unwrap();
    fs::create_dir_all(yard.at("dev")).unwrap();
    mknod(&yard.at("dev/null"), FileType::CharacterDevice, makedev(1, 3));
    mknod(&yard.at("dev/disk"), FileType::BlockDevice, makedev(259, 70_000));
    mknod(&yard.at("dev/pipe"), FileType::Fifo, 0);
    mknod(&yard.at("dev/socket"), FileType::Socket, 0);
    let long = format!("long/{}/{}", "d".repeat(200), "f".repeat(250));
    yard.write(&long, b"long");
    yard.write(&format!("{}/{}", "e".repeat(120), "g".repeat(90)), b"split");
    yard.write("grüße", b"utf-8");
    fs::write(yard.at("").join(OsStr::from_bytes(b"odd-\xff\x01\n")), b"raw").unwrap();
    yard.write("empty", b"");
    chown(&yard.at("bin/su"), 70_000, 3_000_000);
    chmod(&yard.at("bin/su"), 0o4711);
    chmod(&yard.at("etc"), 0o1770);
    chown(&yard.at("bin/link"), 5, 6);
    set_xattr(
        &yard.at("bin/su"),
        "security.capability",
        &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    set_xattr(&yard.at("etc/passwd"), "user.note", b"a=b\n\0c");
    set_xattr(&yard.at("etc/passwd"), "trusted.note", b"t");
    set_xattr(&yard.at("etc"), "trusted.overlay.origin", b"mark");
    set_time(&yard.at("etc/passwd"), 1_234_567_890, 0);
    set_time(&yard.at("empty"), -3, 250_000_000);
    set_time(&yard.at("bin/link"), 17, 1);
    set_time(&yard.at("etc"), 1000, 0);
    yard
}

#[test]
fn a_tree_survives_and_gives_the_same_bytes_again() {
    let (first, other, second) = everything().round_trip();
    assert!(first == second);
    let su = fs::metadata(other.at("bin/su")).unwrap();
    assert_eq!((su.uid(), su.gid(), su.mode() & 0o7777, su.nlink()), (70_000, 3_000_000, 0o4711, 2));
    assert_eq!(xattr(&other.at("bin/su"), "security.capability").map(|value| value.len()), Some(20));
    assert_eq!(xattr(&other.at("etc/passwd"), "user.note").as_deref(), Some(&b"a=b\n\0c"[..]));
    assert_eq!(xattr(&other.at("etc/passwd"), "trusted.note").as_deref(), Some(&b"t"[..]));
    assert_eq!(xattr(&other.at("etc"), "trusted.overlay.origin"), None);
    let empty = fs::metadata(other.at("empty")).unwrap();
    assert_eq!((empty.mtime(), empty.mtime_nsec()), (-3, 250_000_000));
    let link = fs::symlink_metadata(other.at("bin/same-link")).unwrap();
    assert_eq!((link.uid(), link.gid(), link.nlink(), link.mtime_nsec()), (5, 6, 2, 1));
    assert_eq!(fs::metadata(other.at("dev/disk")).unwrap().rdev(), makedev(259, 70_000));
    assert!(!other.at("dev/socket").exists());
}

#[test]
fn names_are_sorted_and_links_lead_to_their_first_name() {
    let found = listing(&everything().pack(Packing::default()));
    let start: Vec<_> = found.iter().take(7).map(|(path, kind, link)| (path.as_str(), *kind, link.as_str())).collect();
    use crate::EntryKind as K;
    let far = "t".repeat(300);
    let expected = [
        ("bin/", K::Folder, ""),
        ("bin/also-su", K::File, ""),
        ("bin/far", K::Symlink, far.as_str()),
        ("bin/link", K::Symlink, "../../etc/passwd"),
        ("bin/same-link", K::Hardlink, "bin/link"),
        ("bin/su", K::Hardlink, "bin/also-su"),
        ("dev/", K::Folder, ""),
    ];
    assert_eq!(start, expected);
}

/// What a program says about a tar on its standard input.
fn ask(program: &str, words: &[&str], tar: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tar"), tar).unwrap();
    let output = Command::new(program)
        .args(words)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .stdin(fs::File::open(folder.path().join("tar")).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn tar_and_python_read_the_same_names_owners_and_attributes() {
    let tar = everything().pack(Packing::default());
    let listed = ask("tar", &["-t", "--quoting-style=escape"], &tar);
    assert_eq!(listed.lines().count(), paths(&tar).len());
    for (ours, theirs) in paths(&tar).iter().zip(listed.lines()) {
        assert!(ours == theirs || !ours.is_ascii() || ours.contains('\n'), "{ours:?} {theirs:?}");
    }
    let script = "import sys,tarfile
for e in tarfile.open(fileobj=sys.stdin.buffer, mode='r|'):
    x={k[13:]:v for k,v in e.pax_headers.items() if k.startswith('SCHILY.xattr.')}
    print(ascii(e.name), e.type.decode(), oct(e.mode), e.uid, e.gid, e.size, e.mtime, ascii(e.linkname[:20]), e.devmajor, e.devminor, sorted(x))";
    let seen = ask("python3", &["-c", script], &tar);
    assert_eq!(seen.lines().count(), paths(&tar).len());
    for line in [
        "'bin/also-su' 0 0o4711 70000 3000000 5000 ",
        "'bin/su' 1 0o4711 70000 3000000 0 ",
        "'etc' 5 0o1770 0 0 0 1000 '' 0 0 []",
        "'etc/passwd' 0 0o644 0 0 4 1234567890 '' 0 0 ['trusted.note', 'user.note']",
        "'dev/disk' 4 0o600 0 0 0 ",
        "'empty' 0 0o644 0 0 0 -2.75 '' 0 0 []",
        "'gr\\xfc\\xdfe' 0 ",
        "'odd-\\udcff\\x01\\n' 0 ",
    ] {
        assert!(seen.contains(line), "{line} is not in\n{seen}");
    }
    assert!(seen.contains(" 259 70000 []"), "{seen}");
}

#[test]
fn marks_of_overlayfs_become_whiteouts_or_stay_devices() {
    let yard = Yard::new();
    yard.write("kept/file", b"1");
    fs::create_dir(yard.at("fresh")).unwrap();
    set_xattr(&yard.at("fresh"), "trusted.overlay.opaque", b"y");
    yard.write("fresh/file", b"1");
    set_xattr(&yard.at("kept"), "trusted.overlay.opaque", b"x");
    mknod(&yard.at("kept/gone"), FileType::CharacterDevice, 0);
    fs::hard_link(yard.at("kept/gone"), yard.at("also-gone")).unwrap();
    yard.write("kept/.wh.real", b"");
    let tar = yard.pack(Packing::default());
    let expected =
        [".wh.also-gone", "fresh/", "fresh/.wh..wh..opq", "fresh/file", "kept/", "kept/file", "kept/.wh.gone"];
    assert_eq!(paths(&tar), expected);
    assert!(listing(&tar).iter().all(|(_, kind, _)| *kind != crate::EntryKind::Hardlink));
    let (first, other, second) = yard.round_trip();
    assert!(first == second);
    assert!(Look::of(fs::File::open(other.at("kept")).unwrap().as_fd(), c"gone").unwrap().is_whiteout());

    let whole = yard.pack(Packing { whiteouts: Whiteouts::None, ..Packing::default() });
    assert_eq!(
        paths(&whole),
        ["also-gone", "fresh/", "fresh/file", "kept/", "kept/.wh.real", "kept/file", "kept/gone"]
    );
}

#[test]
fn owners_are_counted_from_the_containers_root() {
    let yard = Yard::new();
    yard.write("mapped", b"");
    yard.write("other", b"");
    chown(&yard.at("mapped"), 0x7000_0000 + 1000, 0x7000_0000);
    chown(&yard.at("other"), 0x7001_0000, 12);
    let tar = yard.pack(Packing { owner: 0x7000_0000, ..Packing::default() });
    let mut reader = crate::Reader::new(&tar[..]);
    let mapped = reader.next().unwrap().unwrap();
    assert_eq!((mapped.uid, mapped.gid), (1000, 0));
    let other = reader.next().unwrap().unwrap();
    assert_eq!((other.uid, other.gid), (0x7001_0000, 12));
}

#[test]
fn the_root_is_there_only_when_it_is_not_plain() {
    let yard = Yard::new();
    yard.write("a", b"");
    assert_eq!(paths(&yard.pack(Packing::default())), ["a"]);
    chmod(&yard.at(""), 0o1777);
    chown(&yard.at(""), 3, 4);
    assert_eq!(paths(&yard.pack(Packing::default())), ["./", "a"]);
    let (first, other, second) = yard.round_trip();
    assert!(first == second);
    let root = fs::metadata(other.at("")).unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o1777, 3, 4));
    set_xattr(&yard.at(""), "trusted.overlay.opaque", b"y");
    assert_eq!(paths(&yard.pack(Packing::default())), ["./", ".wh..wh..opq", "a"]);
    let mut tar = Vec::new();
    pack_without(fs::File::open(yard.at("")).unwrap().as_fd(), Packing::default(), &[b"a"], &mut tar).unwrap();
    assert_eq!(paths(&tar), ["./", ".wh..wh..opq"]);
}

#[test]
fn sparse_files_are_written_in_full_and_become_sparse_again() {
    let yard = Yard::new();
    let mut file = fs::File::create(yard.at("sparse")).unwrap();
    file.set_len(40 << 20).unwrap();
    for (at, text) in [(0, "start"), (7 << 20, "middle"), ((40 << 20) - 3, "end")] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    drop(file);
    fs::File::create(yard.at("hole")).unwrap().set_len(3 << 20).unwrap();
    let (first, other, second) = yard.round_trip();
    assert!(first == second);
    assert!(first.len() > 43 << 20);
    assert!(fs::read(yard.at("sparse")).unwrap() == fs::read(other.at("sparse")).unwrap());
    let stat = fs::metadata(other.at("sparse")).unwrap();
    assert_eq!(stat.len(), 40 << 20);
    assert!(stat.blocks() * 512 < 1 << 20, "{}", stat.blocks());
}

#[test]
fn files_that_shrink_and_grow_while_they_are_read_keep_the_tar_whole() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), vec![1; 5000]).unwrap();
    let file = fs::File::open(folder.path().join("file")).unwrap();
    for (size, ones) in [(9000, 5000), (3000, 3000)] {
        let mut tar = Vec::new();
        let mut stream = Stream::new(&mut tar);
        stream.content(Content { file: file.as_fd(), size, has_holes: false }, |e| e).unwrap();
        stream.finish().unwrap();
        assert_eq!(tar.iter().filter(|byte| **byte == 1).count(), ones);
        assert_eq!(tar.len() as u64, size.next_multiple_of(512) + 1024);
    }
}

#[test]
fn a_tree_that_changes_under_the_walk_gives_a_readable_tar() {
    let yard = Yard::new();
    for number in 0..300 {
        yard.write(&format!("d{}/f{number}", number % 7), &[1; 700]);
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let path = yard.at(&format!("d{}/f{round}", round % 7));
                let _ = fs::remove_file(&path);
                let _ = match round % 3 {
                    0 => symlink("/etc/passwd", &path),
                    1 => fs::create_dir(&path),
                    _ => fs::write(&path, vec![2; round * 10]),
                };
                let _ = fs::remove_dir(&path);
                let _ = fs::write(&path, b"new");
                let _ = fs::rename(yard.at("d3"), yard.at("d8"));
                let _ = fs::rename(yard.at("d8"), yard.at("d3"));
                round = (round + 1) % 300;
            }
        });
        for _ in 0..40 {
            let tar = yard.pack(Packing::default());
            paths(&tar);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn other_mounts_are_not_entered() {
    let yard = Yard::new();
    yard.write("here/file", b"");
    fs::create_dir(yard.at("there")).unwrap();
    yard.write("covered", b"below");
    let mounted = Command::new("unshare")
        .args(["--mount", "sh", "-ec"])
        .arg("mount -t tmpfs none \"$0/there\"; echo x > \"$0/there/x\"; mount --bind /proc/self/status \"$0/covered\"; echo ok; read line")
        .arg(yard.at(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = mounted;
    let mut said = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    let inside = format!("/proc/{}/root{}", child.id(), yard.at("").display());
    let tar = pack_folder(Path::new(&inside), Packing::default());
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(paths(&tar), ["here/", "here/file", "there/"]);
}

#[test]
fn a_failed_sink_and_a_path_that_is_too_long_are_told_apart() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let yard = Yard::new();
    yard.write("a", &vec![1; 3 << 20]);
    let root = fs::File::open(yard.at("")).unwrap();
    let error = pack(root.as_fd(), Packing::default(), &mut Full).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(!error.to_string().contains("cannot pack"));

    let mut deepest: OwnedFd = root.try_clone().unwrap().into();
    for _ in 0..20 {
        let name = "n".repeat(250);
        rustix::fs::mkdirat(&deepest, &*name, Mode::from_raw_mode(0o755)).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        deepest = rustix::fs::openat(&deepest, &*name, flags, Mode::empty()).unwrap();
    }
    let error = pack(root.as_fd(), Packing::default(), &mut io::sink()).unwrap_err();
    assert!(error.to_string().contains("longer than 4094 bytes"), "{error}");
}

#[test]
fn times_can_be_clamped_or_set() {
    let yard = Yard::new();
    yard.write("new", b"n");
    yard.write("old", b"o");
    set_time(&yard.at("new"), 2000, 5);
    set_time(&yard.at("old"), 1000, 7);
    let times = |times| {
        let tar = yard.pack(Packing { times, ..Packing::default() });
        let mut reader = crate::Reader::new(&tar[..]);
        let mut found = Vec::new();
        while let Some(entry) = reader.next().unwrap() {
            found.push((entry.modified.seconds, entry.modified.nanoseconds));
        }
        found
    };
    assert_eq!(times(super::Times::AsTheyAre), [(2000, 5), (1000, 7)]);
    assert_eq!(times(super::Times::NoLaterThan(1500)), [(1500, 0), (1000, 7)]);
    assert_eq!(times(super::Times::All(1500)), [(1500, 0), (1500, 0)]);
}

#[test]
fn several_trees_become_one_tar() {
    let (one, two) = (Yard::new(), Yard::new());
    one.write("a/f", b"1");
    fs::hard_link(one.at("a/f"), one.at("a/g")).unwrap();
    two.write("a/f", b"2");
    let open = |yard: &Yard| std::fs::File::open(yard.at(".")).unwrap();
    let (first, second) = (open(&one), open(&two));
    let mut tar = Vec::new();
    let trees = [(Some("x"), first.as_fd()), (None, second.as_fd())];
    super::pack_together(&trees, Packing::default(), &mut tar).unwrap();
    let listed = listing(&tar);
    let found: Vec<&str> = listed.iter().map(|(path, _, _)| path.as_str()).collect();
    assert_eq!(found[..4], ["x/", "x/a/", "x/a/f", "x/a/g"]);
    assert_eq!(listed[3].2, "x/a/f");
    assert_eq!(found[found.len() - 1], "a/f");
}
