//! What a client may send that is not what it should be, and what comes of it.

use super::*;
use crate::session::send::{Sender, Top};
use crate::session::wire::mode;
use bytes::Bytes;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

fn open(path: &Path) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

/// Takes a packet as one who gathers them.
fn gather(packets: &mut Vec<Packet>) -> impl FnMut(Packet) -> std::io::Result<()> {
    |packet| {
        packets.push(packet);
        Ok(())
    }
}

/// Makes `to` what `from` is; the bytes that went over.
fn transfer(from: &Path, to: &Path) -> usize {
    transfer_into(from, to, Before::Updated)
}

fn transfer_into(from: &Path, to: &Path, before: Before) -> usize {
    let root = open(from);
    let mut sender = Sender::new(vec![Top { below: None, root: root.as_fd(), times: None }]);
    let mut packets = Vec::new();
    sender.list(&mut gather(&mut packets)).unwrap();
    let mut digests = 0;
    let mut written = |_: BorrowedFd<'_>, _| digests += 1;
    let mut receiver = Receiver::new(open(to), before, &mut written).unwrap();
    let (mut sent, mut state) = (0, State::Going);
    let mut answers = Vec::new();
    while state != State::Over {
        assert!(!packets.is_empty(), "nothing more comes");
        for packet in std::mem::take(&mut packets) {
            sent += packet.data.len();
            state = receiver.take(packet, &mut answers).unwrap();
        }
        for answer in answers.drain(..) {
            match answer.kind {
                wire::REQ => sender.content(answer.id, &mut gather(&mut packets)).unwrap(),
                wire::FIN => packets.push(Packet::end()),
                other => panic!("packet {other}"),
            }
        }
    }
    sent
}

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("a/deep")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("a/deep/file"), "deep").unwrap();
    fs::write(root.join("a/big"), vec![7; 3 << 20]).unwrap();
    fs::write(root.join("a-b"), "sorts after what is in a").unwrap();
    fs::write(root.join("nothing"), "").unwrap();
    fs::hard_link(root.join("a/big"), root.join("same")).unwrap();
    symlink("a/deep", root.join("link")).unwrap();
    fs::set_permissions(root.join("a-b"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o500)).unwrap();
    folder
}

/// All that counts of a tree.
fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_file() {
                format!("{:?}", Sha256::digest(fs::read(&path).unwrap()))
            } else if meta.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                open.push(path.clone());
                String::new()
            };
            let shown = path.strip_prefix(root).unwrap().display();
            let links = if meta.is_dir() { 0 } else { meta.nlink() };
            lines.push(format!("{shown} {:o} {links} {}.{} {content}", meta.mode(), meta.mtime(), meta.mtime_nsec()));
        }
    }
    lines.sort();
    lines
}

#[test]
fn a_tree_arrives_as_it_is_and_only_changes_come_again() {
    let (from, to) = (tree(), tempfile::tempdir().unwrap());
    let first = transfer(from.path(), to.path());
    assert_eq!(listing(from.path()), listing(to.path()));
    assert_eq!(first, (3 << 20) + 4 + 24);
    assert_eq!(transfer(from.path(), to.path()), 0);
    fs::remove_dir_all(from.path().join("a/deep")).unwrap();
    fs::remove_file(from.path().join("link")).unwrap();
    fs::create_dir(from.path().join("link")).unwrap();
    fs::write(from.path().join("link/now-a-folder"), "12345").unwrap();
    fs::remove_file(from.path().join("nothing")).unwrap();
    fs::remove_file(from.path().join("same")).unwrap();
    fs::set_permissions(from.path().join("a-b"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(transfer(from.path(), to.path()), 5);
    let (here, there) = (listing(from.path()), listing(to.path()));
    assert_eq!(here, there);
}

#[test]
fn what_somebody_reads_stays_as_it_is_and_what_is_missing_comes() {
    let (from, to) = (tree(), tempfile::tempdir().unwrap());
    fs::write(to.path().join("a-b"), "read by now").unwrap();
    fs::write(to.path().join("gone"), "read by now, too").unwrap();
    fs::write(to.path().join("nothing"), "broken off").unwrap();
    fs::set_permissions(to.path().join("nothing"), fs::Permissions::from_mode(0o1000)).unwrap();
    transfer_into(from.path(), to.path(), Before::Kept);
    assert_eq!(fs::read_to_string(to.path().join("a-b")).unwrap(), "read by now");
    assert_eq!(fs::read_to_string(to.path().join("gone")).unwrap(), "read by now, too");
    assert_eq!(fs::read_to_string(to.path().join("nothing")).unwrap(), "");
    fs::remove_file(to.path().join("a-b")).unwrap();
    fs::remove_file(to.path().join("gone")).unwrap();
    transfer_into(from.path(), to.path(), Before::Kept);
    assert_eq!(listing(from.path()), listing(to.path()));
    assert_eq!(transfer_into(from.path(), to.path(), Before::Kept), 0);
    // A file cannot become a folder under its reader's hands.
    let mut written = |_: BorrowedFd<'_>, _| {};
    let mut receiver = Receiver::new(open(to.path()), Before::Kept, &mut written).unwrap();
    let folder = Packet::stat(Some(of_kind("a-b", FileType::Directory, "")));
    assert!(receiver.take(folder, &mut Vec::new()).is_err());
    assert!(to.path().join("a-b").is_file());
}

#[test]
fn all_that_is_sent_may_be_of_one_time() {
    let from = tree();
    let root = open(from.path());
    let mut packets = Vec::new();
    let top = Top { below: Some("linux_amd64".to_owned()), root: root.as_fd(), times: Some(7) };
    Sender::new(vec![top]).list(&mut gather(&mut packets)).unwrap();
    let times: Vec<i64> = packets.iter().filter_map(|packet| Some(packet.stat.as_ref()?.modified)).collect();
    assert_eq!(times, vec![7_000_000_000; 10]);
}

#[test]
fn a_file_of_a_transfer_that_broke_comes_again() {
    let (from, to) = (tree(), tempfile::tempdir().unwrap());
    let size = 24;
    let root = open(from.path());
    let mut sender = Sender::new(vec![Top { below: None, root: root.as_fd(), times: None }]);
    let mut packets = Vec::new();
    sender.list(&mut gather(&mut packets)).unwrap();
    let id = packets.iter().position(|packet| packet.stat.as_ref().is_some_and(|stat| stat.path == b"a-b")).unwrap();
    let mut written = |_: BorrowedFd<'_>, _| {};
    let mut receiver = Receiver::new(open(to.path()), Before::Updated, &mut written).unwrap();
    let mut answers = Vec::new();
    for packet in packets {
        receiver.take(packet, &mut answers).unwrap();
    }
    let id = u32::try_from(id).unwrap();
    // As long as the whole, and then nothing more.
    receiver.take(Packet::data(id, Bytes::from(vec![0; size])), &mut answers).unwrap();
    drop(receiver);
    transfer(from.path(), to.path());
    assert_eq!(listing(from.path()), listing(to.path()));
}

fn file(path: &str) -> Stat {
    Stat { path: path.into(), mode: mode(FileType::RegularFile, 0o644), size: 1, modified: 1, ..Stat::default() }
}

fn of_kind(path: &str, kind: FileType, link: &str) -> Stat {
    Stat { mode: mode(kind, 0o755), link: link.into(), ..file(path) }
}

fn told(stats: &[Stat]) -> Vec<Packet> {
    stats.iter().map(|stat| Packet::stat(Some(stat.clone()))).collect()
}

/// What a hostile client gets for its packets.
fn feed(to: &Path, packets: Vec<Packet>) -> Result<State> {
    let mut written = |_: BorrowedFd<'_>, _| {};
    let mut receiver = Receiver::new(open(to), Before::Updated, &mut written)?;
    let (mut answers, mut state) = (Vec::new(), State::Going);
    for packet in packets {
        state = receiver.take(packet, &mut answers)?;
    }
    Ok(state)
}

#[test]
fn nothing_is_written_outside() {
    let around = tempfile::tempdir().unwrap();
    let victim = around.path().join("victim");
    fs::write(&victim, "safe").unwrap();
    let outside = around.path().to_str().unwrap();
    let folder = |path| of_kind(path, FileType::Directory, "");
    for (number, packets) in [
        told(&[file("../victim")]),
        told(&[file("/etc/x")]),
        told(&[file("a/../../victim")]),
        // Through a link that was told before.
        told(&[of_kind("l", FileType::Symlink, outside), file("l/victim")]),
        told(&[of_kind("l", FileType::Symlink, outside), folder("l")]),
        // A folder that is then a link.
        told(&[folder("d"), of_kind("d", FileType::Symlink, outside), file("d/victim")]),
        [told(&[of_kind("h", FileType::RegularFile, "../victim")]), vec![Packet::stat(None)]].concat(),
        [told(&[of_kind("h", FileType::RegularFile, "/victim")]), vec![Packet::stat(None)]].concat(),
        [
            told(&[of_kind("a", FileType::Symlink, outside), of_kind("h", FileType::RegularFile, "a/victim")]),
            vec![Packet::stat(None)],
        ]
        .concat(),
        told(&[of_kind("dev", FileType::BlockDevice, "")]),
        told(&[of_kind("dev", FileType::CharacterDevice, "")]),
        told(&[Stat { mode: 0xffff_ffff, ..file("odd") }]),
        told(&[of_kind("empty", FileType::Symlink, "")]),
    ]
    .into_iter()
    .enumerate()
    {
        let to = around.path().join(format!("to-{number}"));
        fs::create_dir(&to).unwrap();
        assert!(feed(&to, packets).is_err(), "{number}");
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
}

#[test]
fn a_link_of_an_earlier_transfer_is_not_followed() {
    let around = tempfile::tempdir().unwrap();
    let (to, victim) = (around.path().join("to"), around.path().join("victim"));
    fs::create_dir_all(&to).unwrap();
    fs::create_dir(&victim).unwrap();
    let outside = victim.to_str().unwrap();
    let link = [told(&[of_kind("d", FileType::Symlink, outside)]), vec![Packet::stat(None)]].concat();
    assert_eq!(feed(&to, link).unwrap(), State::Complete);
    let mut packets = told(&[of_kind("d", FileType::Directory, ""), file("d/x")]);
    packets.push(Packet::stat(None));
    packets.push(Packet::data(1, Bytes::from_static(b"x")));
    packets.push(Packet::data(1, Bytes::new()));
    assert_eq!(feed(&to, packets).unwrap(), State::Complete);
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(to.join("d/x")).unwrap(), "x");
}

#[test]
fn only_what_was_asked_for_may_be_sent() {
    let data = |id| Packet::data(id, Bytes::from_static(b"x"));
    let odd = |kind| Packet { kind, ..Packet::default() };
    for packets in [
        vec![data(0)],
        vec![data(u32::MAX)],
        [told(&[of_kind("d", FileType::Directory, "")]), vec![data(0)]].concat(),
        [told(&[file("a")]), vec![Packet::data(0, Bytes::new()), data(0)]].concat(),
        vec![Packet::end()],
        vec![odd(-1)],
        vec![odd(5)],
        vec![odd(i32::MIN)],
        vec![Packet::request(0)],
        vec![Packet::stat(None), Packet::stat(None)],
        [vec![Packet::stat(None)], told(&[file("late")])].concat(),
        vec![Packet::error("no")],
    ] {
        let to = tempfile::tempdir().unwrap();
        assert!(feed(to.path(), packets.clone()).is_err(), "{packets:?}");
    }
}

#[test]
fn strange_numbers_are_taken_for_what_they_are() {
    let to = tempfile::tempdir().unwrap();
    let mut packets = told(&[
        Stat { size: -1, modified: i64::MIN, ..file("a") },
        Stat { size: i64::MAX, modified: i64::MAX, ..file("b") },
    ]);
    packets.push(Packet::stat(None));
    packets.extend([Packet::data(0, Bytes::new()), Packet::data(1, Bytes::new())]);
    // What a file system cannot keep of a time it cuts or refuses.
    if let Ok(state) = feed(to.path(), packets) {
        assert_eq!(state, State::Complete);
    }
}

mod any {
    use super::*;
    use proptest::prelude::*;

    fn path() -> impl Strategy<Value = &'static str> {
        let all = ["a", "a/b", "a/b/c", "b", "l", "l/victim", "..", "../victim", "/victim", "a/../../victim", "", "."];
        prop::sample::select(all.to_vec())
    }

    fn stat() -> impl Strategy<Value = Stat> {
        let kinds = [
            FileType::RegularFile,
            FileType::Directory,
            FileType::Symlink,
            FileType::Fifo,
            FileType::CharacterDevice,
            FileType::Socket,
        ];
        let links = ["", "..", "../victim", "/", "a", "a/b", "l/victim", "\0"];
        let mode = (prop::sample::select(kinds.to_vec()), 0..0o10000_u32).prop_map(|(kind, bits)| mode(kind, bits));
        let mode = prop_oneof![9 => mode, 1 => any::<u32>()];
        (path(), mode, prop::sample::select(links.to_vec()), any::<i64>(), 0..4_i64).prop_map(
            |(path, mode, link, modified, size)| Stat {
                path: path.into(),
                mode,
                link: link.into(),
                modified: modified % (1 << 60),
                size,
                ..Stat::default()
            },
        )
    }

    fn packet() -> impl Strategy<Value = Packet> {
        prop_oneof![
            6 => stat().prop_map(|stat| Packet::stat(Some(stat))),
            1 => Just(Packet::stat(None)),
            4 => (0..6_u32, prop::collection::vec(any::<u8>(), 0..4)).prop_map(|(id, data)| Packet::data(id, data.into())),
            1 => any::<i32>().prop_map(|kind| Packet { kind, ..Packet::default() }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

        /// Twice into the same folder: what a first transfer left is no way out of it for a second one.
        #[test]
        fn whatever_a_client_sends_stays_inside(
            first in prop::collection::vec(packet(), 0..12),
            second in prop::collection::vec(packet(), 0..12),
        ) {
            let around = tempfile::tempdir().unwrap();
            let (to, victim) = (around.path().join("to"), around.path().join("victim"));
            fs::create_dir(&to).unwrap();
            fs::write(&victim, "safe").unwrap();
            fs::set_permissions(&victim, fs::Permissions::from_mode(0o640)).unwrap();
            let before = fs::metadata(&victim).unwrap();
            for packets in [first, second] {
                // Whether it is taken is told by other tests.
                let _ = feed(&to, packets);
            }
            let after = fs::metadata(&victim).unwrap();
            prop_assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
            prop_assert_eq!((before.mode(), before.nlink(), before.mtime()), (after.mode(), after.nlink(), after.mtime()));
            prop_assert_eq!(fs::read_dir(around.path()).unwrap().count(), 2);
        }
    }
}
