//! Look-ups in hostile and ordinary files.

use super::*;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:/bin/false
www:x:33:33:www:/var/www:/bin/false
1000:x:7:7::/seven:/bin/sh
alice:x:1000:1000:Alice:/home/alice:/bin/sh
huge:x:4294967296:4294967296::/:/bin/sh
negative:x:-1:0::/:/bin/sh
words:x:abc:0::/:/bin/sh
short
nohome:x:1001:1001
";

const GROUP: &str = "\
# comment
root:x:0:root
www:x:33:
wheel:x:10:root,alice
users:x:100:alice,bob
huge:x:4294967296:alice
broken:x::alice
1000:x:42:
";

struct Root(tempfile::TempDir);

impl Root {
    fn new(passwd: &str, group: &str) -> Root {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        fs::write(root.path().join("etc/group"), group).unwrap();
        Root(root)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn look(&self, text: &str, extra: &[&str]) -> Result<Found, String> {
        let folder = fs::File::open(self.0.path()).unwrap();
        let extra: Vec<String> = extra.iter().map(|text| (*text).to_owned()).collect();
        lookup(folder.as_fd(), text, &extra).map_err(|e| e.to_string())
    }

    fn ids(&self, text: &str) -> Result<(u32, u32, Vec<u32>), String> {
        self.look(text, &[]).map(|found| (found.uid, found.gid, found.groups))
    }
}

#[test]
fn names_and_numbers_are_found_as_docker_finds_them() {
    let root = Root::new(PASSWD, GROUP);
    for (text, uid, gid, groups) in [
        ("", 0, 0, vec![0, 10]),
        ("root", 0, 0, vec![0, 10]),
        ("0", 0, 0, vec![0, 10]),
        ("alice", 1000, 1000, vec![1000, 10, 100]),
        ("1000", 1000, 1000, vec![1000, 10, 100]),
        ("1000:", 1000, 1000, vec![1000, 10, 100]),
        ("alice:wheel", 1000, 10, vec![10]),
        ("alice:5", 1000, 5, vec![5]),
        ("alice:1000", 1000, 1000, vec![1000]),
        ("4242", 4242, 0, vec![0]),
        ("4242:www", 4242, 33, vec![33]),
        ("2147483647:2147483647", 2147483647, 2147483647, vec![2147483647]),
        ("007", 7, 7, vec![7]),
        (":100", 0, 100, vec![100]),
        ("nohome", 1001, 1001, vec![1001]),
    ] {
        assert_eq!(root.ids(text), Ok((uid, gid, groups)), "{text:?}");
    }
}

/// CVE-2024-40635 and its kin: no odd text ever becomes uid 0.
#[test]
fn odd_texts_are_refused_and_never_become_root() {
    let root = Root::new(PASSWD, GROUP);
    for text in [
        "2147483648",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "99999999999999999999999999",
        "-1",
        "-0",
        "1e3",
        "0x0",
        "0:0x",
        "0:4294967296",
        "0:-1",
        " 0",
        "0 ",
        "+",
        "-",
        "nobody",
        "huge",
        "negative",
        "words",
        "short",
        "alice:huge",
        "alice:broken",
        "alice:nogroup",
        "1000:1e3",
        "٣",
        "root\n",
        "root\0",
    ] {
        assert!(root.ids(text).is_err(), "{text:?}");
    }
    assert_eq!(root.ids("nobody").unwrap_err(), "unable to find user nobody: no matching entries in passwd file");
    assert_eq!(root.ids("0:0x").unwrap_err(), "unable to find group 0x: no matching entries in group file");
    assert_eq!(
        root.ids("2147483648").unwrap_err(),
        "invalid user \"2147483648\": uids and gids must be in range 0-2147483647"
    );
}

#[test]
fn extra_groups_are_added_by_name_or_number_each_once() {
    let root = Root::new(PASSWD, GROUP);
    let found = root.look("alice", &["wheel", "4000", "33", "www", ""]).unwrap();
    assert_eq!(found.groups, [1000, 10, 100, 4000, 33]);
    assert_eq!(root.look("4242", &["users"]).unwrap().groups, [0, 100]);
    assert!(root.look("alice", &["nogroup"]).is_err());
    assert!(root.look("alice", &["2147483648"]).is_err());
}

#[test]
fn home_comes_from_passwd_or_is_the_root() {
    let root = Root::new(PASSWD, GROUP);
    for (text, home) in [("alice", "/home/alice"), ("", "/root"), ("4242", "/"), ("nohome", "/")] {
        assert_eq!(root.look(text, &[]).unwrap().home, home, "{text:?}");
    }
}

#[test]
fn without_files_numbers_work_and_names_do_not() {
    let root = Root::new("", "");
    fs::remove_dir_all(root.path("etc")).unwrap();
    assert_eq!(root.ids(""), Ok((0, 0, vec![0])));
    assert_eq!(root.ids("12:34"), Ok((12, 34, vec![34])));
    assert!(root.ids("root").is_err());
}

/// CVE-2024-9676: a pipe, a folder or a device in place of a file neither blocks nor is read.
#[test]
fn what_is_no_regular_file_counts_as_missing() {
    let root = Root::new("", "");
    let passwd = root.path("etc/passwd");
    fs::remove_file(&passwd).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &passwd, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    assert_eq!(root.ids("5"), Ok((5, 0, vec![0])));
    assert!(root.ids("root").is_err());
    fs::remove_file(&passwd).unwrap();
    fs::create_dir(&passwd).unwrap();
    assert!(root.ids("root").is_err());
}

#[test]
fn links_never_lead_out_of_the_root() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "evil:x:0:0::/:/bin/sh\n").unwrap();
    let root = Root::new("", GROUP);
    let passwd = root.path("etc/passwd");
    let up = format!("../../../../../../../..{}", outside.path().display());
    for target in [outside.path().to_str().unwrap(), up.as_str(), "/proc/self/root/etc/passwd"] {
        fs::remove_file(&passwd).unwrap();
        symlink(target, &passwd).unwrap();
        assert!(root.ids("evil").is_err(), "{target}");
        assert!(root.ids("root").is_err(), "{target}");
    }
    fs::remove_file(&passwd).unwrap();
    fs::write(root.path("real"), PASSWD).unwrap();
    symlink("/real", &passwd).unwrap();
    assert_eq!(root.ids("www"), Ok((33, 33, vec![33])), "a link inside the root is followed from the root");
}

#[test]
fn a_file_beyond_the_limit_is_an_error_and_not_read_whole() {
    let root = Root::new(PASSWD, GROUP);
    let file = fs::File::options().write(true).open(root.path("etc/passwd")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(root.ids("root").unwrap_err(), "cannot read /etc/passwd of the container");
    file.set_len(10 << 20).unwrap();
    assert_eq!(root.ids("root").unwrap().0, 0);
}

#[test]
fn bytes_that_are_no_text_do_not_hide_other_lines() {
    let root = Root::new("", GROUP);
    fs::write(root.path("etc/passwd"), b"\xff\xfe:x:0:0::/:\nwww:x:33:33::/:\n").unwrap();
    assert_eq!(root.ids("www"), Ok((33, 33, vec![33])));
}
