//! What layers turn into, and what hostile ones do not.

use super::*;
use crate::fixture::{Head, Tar, seal};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A root to unpack into, beside a folder that nothing may touch.
struct Yard {
    folder: tempfile::TempDir,
}

impl Yard {
    fn new() -> Yard {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("outside/canary"), "alive").unwrap();
        Yard { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    fn unpack(&self, tar: &[u8]) -> Result<Unpacked, Error> {
        let root = fs::File::open(self.root()).unwrap();
        extract(tar, root.as_fd())
    }

    /// Nothing but the root changed.
    fn check_outside(&self) {
        let names = |path: &Path| {
            let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(self.folder.path()), ["outside", "root"]);
        assert_eq!(names(&self.folder.path().join("outside")), ["canary"]);
        let canary = self.folder.path().join("outside/canary");
        assert_eq!(fs::read(&canary).unwrap(), b"alive");
        assert_eq!(fs::metadata(&canary).unwrap().nlink(), 1);
    }

    fn refuses(&self, tar: &[u8]) -> String {
        let error = self.unpack(tar).unwrap_err();
        self.check_outside();
        base::chain(&error)
    }
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let got = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(got);
    Some(value)
}

fn is_whiteout(path: &Path) -> bool {
    let stat = fs::symlink_metadata(path).unwrap();
    stat.file_type().is_char_device() && stat.rdev() == 0
}

fn is_opaque(path: &Path) -> bool {
    xattr(path, "trusted.overlay.opaque").as_deref() == Some(b"y")
}

#[test]
fn files_folders_links_and_devices_become_what_the_tar_says() {
    let yard = Yard::new();
    let tar = Tar::new()
        .entry(Head { path: b"./", flag: b'5', mode: 0o750, uid: 3, gid: 4, ..Head::default() }, b"")
        .entry(Head { path: b"./etc/", flag: b'5', mode: 0o1755, uid: 7, gid: 8, time: 1000, ..Head::default() }, b"")
        .entry(
            Head { path: b"etc/su", mode: 0o4711, uid: 70_000, gid: 9, size: 5, time: 1234, ..Head::default() },
            b"hello",
        )
        .symlink("etc/link", "../../../../etc/passwd")
        .hardlink("etc/hard", "/etc/su")
        .entry(Head { path: b"dev/null", flag: b'3', mode: 0o666, device: (1, 3), ..Head::default() }, b"")
        .entry(Head { path: b"dev/disk", flag: b'4', mode: 0o660, device: (8, 1), ..Head::default() }, b"")
        .entry(Head { path: b"dev/pipe", flag: b'6', mode: 0o622, uid: 5, ..Head::default() }, b"");
    let done = yard.unpack(&tar.finish()).unwrap();
    assert_eq!(done, Unpacked { bytes: 27, entries: 8 });

    let root = fs::metadata(yard.root()).unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o750, 3, 4));
    let etc = fs::metadata(yard.at("etc")).unwrap();
    assert_eq!((etc.mode() & 0o7777, etc.uid(), etc.gid(), etc.mtime()), (0o1755, 7, 8, 1000));
    let su = fs::metadata(yard.at("etc/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.mtime(), su.nlink()), (0o4711, 70_000, 9, 1234, 2));
    assert_eq!(fs::read_link(yard.at("etc/link")).unwrap(), Path::new("../../../../etc/passwd"));
    assert_eq!(fs::metadata(yard.at("etc/hard")).unwrap().ino(), su.ino());
    let null = fs::metadata(yard.at("dev/null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!((null.rdev(), null.mode() & 0o7777), (makedev(1, 3), 0o666));
    assert!(fs::metadata(yard.at("dev/disk")).unwrap().file_type().is_block_device());
    let pipe = fs::metadata(yard.at("dev/pipe")).unwrap();
    assert!(pipe.file_type().is_fifo());
    assert_eq!((pipe.mode() & 0o7777, pipe.uid()), (0o622, 5));
    let implied = fs::metadata(yard.at("dev")).unwrap();
    assert_eq!((implied.mode() & 0o7777, implied.uid()), (0o755, 0));
    yard.check_outside();
}

#[test]
fn long_and_odd_names_survive() {
    let yard = Yard::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let tar = Tar::new()
        .pax(&[("path", long.as_bytes()), ("mtime", b"-1.5")])
        .file("short", b"pax")
        .entry(
            Head { path: b"././@LongLink", flag: b'L', size: 251, ..Head::default() },
            &[&[b'g'; 250][..], b"\0"].concat(),
        )
        .file("short", b"gnu")
        .entry(Head { path: b"caf\xe9", size: 1, ..Head::default() }, b"1");
    yard.unpack(&tar.finish()).unwrap();
    assert_eq!(fs::read(yard.at(&long)).unwrap(), b"pax");
    let stat = fs::metadata(yard.at(&long)).unwrap();
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (-2, 500_000_000));
    assert_eq!(fs::read(yard.at(&"g".repeat(250))).unwrap(), b"gnu");
    use std::os::unix::ffi::OsStrExt;
    assert!(yard.root().join(std::ffi::OsStr::from_bytes(b"caf\xe9")).exists());
}

#[test]
fn whiteouts_become_what_overlayfs_wants_in_any_order() {
    let yard = Yard::new();
    let tar = Tar::new()
        .file("d/before", b"1")
        .file("d/.wh..wh..opq", b"")
        .file("d/after", b"2")
        .file(".wh.gone", b"")
        .file(".wh.kept", b"")
        .file("kept", b"new")
        .file("also", b"new")
        .file(".wh.also", b"")
        .file(".wh.tree", b"")
        .folder("tree", 0o755)
        .file("tree/x", b"")
        .file("later/x", b"")
        .file(".wh.later", b"")
        .file(".wh.implied", b"")
        .file("implied/x", b"")
        .file(".wh..wh.plnk/1.2", b"aufs")
        .file(".wh..wh.aufs", b"aufs");
    yard.unpack(&tar.finish()).unwrap();
    assert!(is_opaque(&yard.at("d")));
    assert!(yard.at("d/before").exists() && yard.at("d/after").exists());
    assert!(is_whiteout(&yard.at("gone")));
    assert_eq!(fs::read(yard.at("kept")).unwrap(), b"new");
    assert_eq!(fs::read(yard.at("also")).unwrap(), b"new");
    for folder in ["tree", "later", "implied"] {
        assert!(is_opaque(&yard.at(folder)), "{folder}");
        assert!(yard.at(folder).join("x").exists(), "{folder}");
    }
    assert_eq!(fs::read_dir(yard.root()).unwrap().count(), 7);
}

#[test]
fn capabilities_survive_and_overlay_attributes_are_dropped() {
    let yard = Yard::new();
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar = Tar::new()
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.note", b"n"),
        ])
        .entry(Head { path: b"ping", mode: 0o755, uid: 1, size: 1, ..Head::default() }, b"x")
        .pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y"), ("SCHILY.xattr.user.note", b"d")])
        .folder("d", 0o755)
        .file("d/x", b"");
    yard.unpack(&tar.finish()).unwrap();
    assert_eq!(xattr(&yard.at("ping"), "security.capability").as_deref(), Some(&capability[..]));
    assert_eq!(xattr(&yard.at("ping"), "user.note").as_deref(), Some(&b"n"[..]));
    assert_eq!(xattr(&yard.at("ping"), "trusted.overlay.redirect"), None);
    assert_eq!(xattr(&yard.at("d"), "user.note").as_deref(), Some(&b"d"[..]));
    assert!(!is_opaque(&yard.at("d")));
}

#[test]
fn the_last_of_two_entries_wins_whatever_they_are() {
    let yard = Yard::new();
    let tar = Tar::new()
        .file("a", b"old")
        .file("a", b"new")
        .file("b/x/y", b"")
        .file("b", b"file")
        .symlink("c", "/outside")
        .folder("c", 0o700)
        .file("c/x", b"1")
        .folder("d", 0o755)
        .symlink("d", "b")
        .folder("e", 0o700)
        .file("e/kept", b"")
        .folder("e", 0o711)
        .file("f", b"linked")
        .hardlink("f", "f")
        .file("g/x", b"")
        .hardlink("g", "f");
    yard.unpack(&tar.finish()).unwrap();
    assert_eq!(fs::read(yard.at("a")).unwrap(), b"new");
    assert_eq!(fs::read(yard.at("b")).unwrap(), b"file");
    assert!(fs::symlink_metadata(yard.at("c")).unwrap().is_dir());
    assert!(fs::symlink_metadata(yard.at("d")).unwrap().is_symlink());
    assert!(yard.at("e/kept").exists());
    assert_eq!(fs::metadata(yard.at("e")).unwrap().permissions().mode() & 0o777, 0o711);
    assert_eq!(fs::metadata(yard.at("f")).unwrap().nlink(), 2);
    yard.check_outside();
}

#[test]
fn a_set_group_id_folder_does_not_leak_its_group() {
    let yard = Yard::new();
    let tar = Tar::new()
        .entry(Head { path: b"s", flag: b'5', mode: 0o2755, gid: 50, ..Head::default() }, b"")
        .file("s/f", b"");
    yard.unpack(&tar.finish()).unwrap();
    assert_eq!(fs::metadata(yard.at("s/f")).unwrap().gid(), 0);
    assert_eq!(fs::metadata(yard.at("s")).unwrap().mode() & 0o7777, 0o2755);
}

#[test]
fn paths_that_climb_out_are_refused() {
    for path in ["../outside/x", "a/../../outside/x", "..", "/../outside/x"] {
        let yard = Yard::new();
        let words = yard.refuses(&Tar::new().file(path, b"x").finish());
        assert!(words.contains("leads outside the root"), "{words}");
    }
}

#[test]
fn absolute_paths_stay_below_the_root() {
    let yard = Yard::new();
    let outside = yard.folder.path().join("outside/new");
    yard.unpack(&Tar::new().file(outside.to_str().unwrap(), b"x").finish()).unwrap();
    assert!(yard.root().join(outside.strip_prefix("/").unwrap()).exists());
    yard.check_outside();
}

#[test]
fn nothing_is_written_through_a_symlink() {
    for target in ["../outside", "/", "etc", "."] {
        let yard = Yard::new();
        for tar in [
            Tar::new().folder("etc", 0o755).symlink("l", target).file("l/canary", b"dead"),
            Tar::new().folder("etc", 0o755).symlink("l", target).folder("l/x/y", 0o755),
            Tar::new().folder("etc", 0o755).symlink("l", target).file("l/.wh.canary", b""),
            Tar::new().folder("etc", 0o755).symlink("l", target).file("l/.wh..wh..opq", b""),
            Tar::new().folder("etc", 0o755).symlink("l", target).hardlink("got", "l/canary"),
        ] {
            yard.refuses(&tar.finish());
        }
    }
    let yard = Yard::new();
    let canary = yard.folder.path().join("outside/canary");
    yard.unpack(&Tar::new().symlink("l", canary.to_str().unwrap()).file("l", b"dead").finish()).unwrap();
    yard.unpack(&Tar::new().symlink("m", canary.to_str().unwrap()).hardlink("n", "m").finish()).unwrap();
    assert!(fs::symlink_metadata(yard.at("n")).unwrap().is_symlink());
    yard.check_outside();
}

#[test]
fn hard_links_lead_to_files_of_the_layer_only() {
    for target in ["../outside/canary", "missing", "missing/too", "/etc/passwd", "folder", ""] {
        let yard = Yard::new();
        yard.refuses(&Tar::new().folder("folder", 0o755).hardlink("h", target).finish());
        assert!(!yard.at("h").exists());
    }
}

#[test]
fn whiteouts_of_nothing_and_of_parents_are_refused() {
    for path in [".wh.", ".wh..", ".wh...", "a/.wh...", ".wh.a/b"] {
        Yard::new().refuses(&Tar::new().file(path, b"").finish());
    }
}

#[test]
fn cut_archives_are_refused_and_unmarked_ends_are_not() {
    let whole = Tar::new().file("a", &[1; 3000]).file("b", b"2").unfinished();
    assert!(Yard::new().unpack(&whole).is_ok());
    for cut in [1, 100, 511, 600, 2000, 3400, 3584 + 256, 3584 + 512] {
        let words = Yard::new().refuses(&whole[..cut]);
        assert!(words.contains("ends too early"), "{cut}: {words}");
    }
}

#[test]
fn sparse_files_stay_sparse_and_lies_about_size_are_refused() {
    let yard = Yard::new();
    let map = b"1\n1048576\n3\n";
    let mut content = map.to_vec();
    content.resize(512, 0);
    content.extend_from_slice(b"end");
    let sparse = |real: &[u8]| {
        let pax: &[(&str, &[u8])] = &[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"s"),
            ("GNU.sparse.realsize", real),
        ];
        Tar::new().pax(pax).file("GNUSparseFile.0/s", &content).file("after", b"x").finish()
    };
    yard.unpack(&sparse(b"1099511627776")).unwrap();
    let stat = fs::metadata(yard.at("s")).unwrap();
    assert_eq!(stat.len(), 1 << 40);
    assert!(stat.blocks() < 64, "{}", stat.blocks());
    let mut bytes = [0; 3];
    fs::File::open(yard.at("s")).unwrap().read_exact_at(&mut bytes, 1_048_576).unwrap();
    assert_eq!(&bytes, b"end");
    assert!(yard.at("after").exists());

    yard.refuses(&sparse(b"1048577"));
    yard.refuses(&sparse(b"18446744073709551615"));
    let huge = Tar::new().entry(Head { path: b"h", size: 0o77777777777, ..Head::default() }, b"little");
    assert!(yard.refuses(&huge.finish()).contains("ends too early"));
}

#[test]
fn broken_numbers_are_refused() {
    for (key, value) in [("uid", "4294967295"), ("uid", "4294967296"), ("gid", "-1"), ("size", "1e3"), ("uid", "0x0")] {
        Yard::new().refuses(&Tar::new().pax(&[(key, value.as_bytes())]).file("a", b"1").finish());
    }
}

#[test]
fn header_memory_is_bounded() {
    let yard = Yard::new();
    let big = vec![b'x'; 2 << 20];
    yard.refuses(&Tar::new().pax(&[("comment", &big)]).file("a", b"1").finish());
    let endless = std::io::repeat(b'1').take(64 << 20);
    let start = Tar::new()
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")])
        .entry(Head { path: b"s", size: 64 << 20, ..Head::default() }, b"")
        .unfinished();
    let root = fs::File::open(yard.root()).unwrap();
    assert!(extract(std::io::Cursor::new(start).chain(endless), root.as_fd()).is_err());
}

#[test]
fn a_folder_that_a_file_replaced_is_not_touched_at_the_end() {
    let yard = Yard::new();
    let canary = yard.folder.path().join("outside");
    let tar = Tar::new().folder("d", 0o000).symlink("d", canary.to_str().unwrap());
    let before = fs::metadata(&canary).unwrap();
    yard.unpack(&tar.finish()).unwrap();
    let after = fs::metadata(&canary).unwrap();
    assert_eq!((before.mode(), before.mtime()), (after.mode(), after.mtime()));
}

/// xorshift64*: the same mutations at every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % sides
    }
}

#[test]
fn no_mutation_panics_or_writes_outside_the_root() {
    let names = [
        "a",
        "../outside/canary",
        "l",
        "l/canary",
        ".wh.a",
        "l/.wh..wh..opq",
        "/outside/canary",
        "a/b",
        ".wh..",
        "b/../l/x",
    ];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..1500 {
        let yard = Yard::new();
        let mut bytes = random_tar(&mut dice, &names, &yard).finish();
        for _ in 0..dice.roll(4) {
            if bytes.is_empty() {
                break;
            }
            mutate(&mut dice, &mut bytes);
        }
        let _ = yard.unpack(&bytes);
        yard.check_outside();
    }
}

fn random_tar(dice: &mut Dice, names: &[&str], yard: &Yard) -> Tar {
    let outside = yard.folder.path().join("outside");
    let targets = ["../outside", "../outside/canary", outside.to_str().unwrap(), ".", "a", "l", "/"];
    let flags = b"0123456SxgLK7V\0";
    let mut tar = Tar::new();
    for _ in 0..1 + dice.roll(8) {
        let content = vec![b'x'; dice.roll(700)];
        let flag = flags[dice.roll(flags.len())];
        let size = if dice.roll(8) == 0 { dice.roll(1 << 20) } else { content.len() };
        let head = Head {
            path: names[dice.roll(names.len())].as_bytes(),
            flag,
            size: if matches!(flag, b'1'..=b'6') { 0 } else { size as u64 },
            link: targets[dice.roll(targets.len())].as_bytes(),
            device: (1, 3),
            mode: u32::try_from(dice.roll(0o10000)).unwrap(),
            ..Head::default()
        };
        let content = if matches!(flag, b'1'..=b'6') { &[][..] } else { &content };
        tar = tar.entry(head, content);
    }
    tar
}

/// Changes a byte, mostly of a header, whose checksum is then mended so that the parser gets past it.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.roll(bytes.len());
    match dice.roll(4) {
        0 => bytes.truncate(at),
        1 => bytes[at] = dice.roll(256).to_le_bytes()[0],
        _ => {
            let block = at / 512 * 512;
            if block + 512 > bytes.len() {
                return;
            }
            bytes[block + dice.roll(345)] = b"0127/.\0xw\xff"[dice.roll(10)];
            if let Ok(header) = <&mut [u8; 512]>::try_from(&mut bytes[block..block + 512]) {
                seal(header);
            }
        }
    }
}

#[test]
fn long_runs_of_zeros_become_holes_and_the_content_stays() {
    let yard = Yard::new();
    let mut content = vec![7; 70_000];
    content.resize(3 << 20, 0);
    content.extend_from_slice(b"middle");
    content.resize(9 << 20, 0);
    yard.unpack(&Tar::new().file("zeros", &content).file("all", &vec![0; 1 << 20]).finish()).unwrap();
    assert!(fs::read(yard.at("zeros")).unwrap() == content);
    assert!(fs::metadata(yard.at("zeros")).unwrap().blocks() * 512 < 1 << 20);
    assert_eq!(fs::metadata(yard.at("all")).unwrap().len(), 1 << 20);
}

/// Gigabytes of zeros in some kilobytes, made and read as a stream.
#[test]
fn a_bomb_is_refused_before_it_has_grown() {
    let yard = Yard::new();
    let mut head = Tar::new().file("bomb", b"").finish();
    head.truncate(512);
    head[124..136].copy_from_slice(b"140000000000");
    seal((&mut head[..]).try_into().unwrap());
    let tar = std::io::Cursor::new(head).chain(std::io::repeat(0).take(3 << 30));
    let squeezed = zstd::stream::read::Encoder::new(tar, 1).unwrap();
    let root = fs::File::open(yard.root()).unwrap();
    let refused = extract(crate::decompress(squeezed).unwrap(), root.as_fd()).unwrap_err();
    assert!(base::chain(&refused).contains("this is a bomb"), "{}", base::chain(&refused));
}

#[test]
fn a_tree_of_two_thousand_levels_goes_in_and_out_and_away() {
    let yard = Yard::new();
    let deep = vec!["d"; 1990].join("/");
    let mut tar = Tar::new().pax(&[("path", format!("{deep}/file").as_bytes())]).file("x", b"deep");
    // Named ones, too, the parents first, and one that was made before it was named.
    for level in (0..1990).step_by(7) {
        let path = &deep[..2 * level + 1];
        tar = tar.pax(&[("path", path.as_bytes())]).folder("x", 0o2751);
    }
    let tar = tar.finish();
    yard.unpack(&tar).unwrap();
    let root = fs::File::open(yard.root()).unwrap();
    assert!(crate::compare(&tar[..], root.as_fd()).unwrap().is_empty());
    assert_eq!(fs::metadata(yard.at("d")).unwrap().mode() & 0o7777, 0o2751);
    assert_eq!(fs::metadata(yard.at("d/d")).unwrap().mode() & 0o7777, 0o755);
    let mut packed = Vec::new();
    crate::pack(root.as_fd(), crate::Packing::default(), &mut packed).unwrap();
    let again = Yard::new();
    again.unpack(&packed).unwrap();
    assert_eq!(fs::read(again.at(&format!("{deep}/file"))).unwrap(), b"deep");
    assert!(base::tree::disk_usage(&again.root()).unwrap() > 0);
    base::tree::remove(&again.at("d")).unwrap();
    assert!(!again.at("d").exists());
    // One byte more than a path may have.
    let long = Tar::new().pax(&[("path", &[b'a'; 4096][..])]).file("x", b"").finish();
    yard.refuses(&long);
}

#[test]
fn a_large_file_can_be_linked_and_replaced_while_it_is_written() {
    let yard = Yard::new();
    let mut tar = Tar::new();
    for n in 0..40u8 {
        let head = Head { path: b"f", size: 300_000, mode: 0o4755, uid: 7, ..Head::default() };
        tar = tar.entry(head, &vec![n; 300_000]).hardlink(&format!("link{n}"), "f");
    }
    yard.unpack(&tar.symlink("f", "link0").finish()).unwrap();
    for n in 0..40u8 {
        let path = yard.at(&format!("link{n}"));
        assert!(fs::read(&path).unwrap() == vec![n; 300_000]);
        let look = fs::metadata(&path).unwrap();
        assert_eq!((look.mode() & 0o7777, look.uid(), look.nlink()), (0o4755, 7, 1));
    }
    assert!(fs::symlink_metadata(yard.at("f")).unwrap().is_symlink());
}
