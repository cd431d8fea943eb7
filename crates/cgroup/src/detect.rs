//! Which hierarchies are mounted where (/proc/PID/mountinfo, proc(5)).

use crate::Error;
use std::path::PathBuf;

/// What the mounts amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    V1(Vec<Mount>),
    /// Where the one hierarchy is mounted.
    V2(PathBuf),
}

/// A v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its controllers as mount options (`cpu,cpuacct`), or its name (`name=systemd`).
    pub(crate) label: String,
    pub(crate) path: PathBuf,
}

/// Controllers that limit or count what we are asked to; a hierarchy without any of them is left alone.
const WANTED: [&str; 8] = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"];

/// Controllers that may share a hierarchy with a wanted one.
const OTHERS: [&str; 6] = ["hugetlb", "misc", "net_cls", "net_prio", "perf_event", "rdma"];

/// The hierarchy an init system in a container looks for.
const SYSTEMD: &str = "name=systemd";

/// Reads a mountinfo. v1 hierarchies win over a v2 one beside them, which then has no controller we need.
pub(crate) fn parse(mountinfo: &str) -> Result<Found, Error> {
    let mut v1: Vec<Mount> = Vec::new();
    let mut v2 = None;
    for line in mountinfo.lines() {
        match mount(line) {
            Some(("cgroup2", path, _)) => v2 = v2.or(Some(path)),
            Some(("cgroup", path, options)) => {
                let Some(label) = label(options) else { continue };
                if !v1.iter().any(|known| known.label == label) {
                    v1.push(Mount { label, path });
                }
            }
            _ => {}
        }
    }
    if v1.iter().any(|mount| mount.label != SYSTEMD) {
        return Ok(Found::V1(v1));
    }
    v2.map(Found::V2).ok_or_else(|| Error::Detect("none is mounted".to_owned()))
}

/// File system, mount point and super options of a line.
fn mount(line: &str) -> Option<(&str, PathBuf, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let point = left.split(' ').nth(4)?;
    let mut right = right.split(' ');
    let kind = right.next()?;
    let options = right.nth(1)?;
    Some((kind, unescape(point), options))
}

fn label(options: &str) -> Option<String> {
    let options = || options.split(',');
    if options().any(|option| option == SYSTEMD) {
        return Some(SYSTEMD.to_owned());
    }
    if !options().any(|option| WANTED.contains(&option)) {
        return None;
    }
    let controllers: Vec<_> = options().filter(|option| WANTED.contains(option) || OTHERS.contains(option)).collect();
    Some(controllers.join(","))
}

/// Spaces, tabs, newlines and backslashes stand as three octal digits.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if bytes[at] == b'\\' => {
                plain.push(byte);
                at += 4;
            }
            _ => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1(text: &str) -> Vec<(String, String)> {
        match parse(text).unwrap() {
            Found::V1(mounts) => mounts.into_iter().map(|m| (m.label, m.path.display().to_string())).collect(),
            found => panic!("{found:?}"),
        }
    }

    #[test]
    fn joint_and_named_v1_hierarchies_are_found_and_others_left_alone() {
        let text = "30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
            31 30 0:27 / /sys/fs/cgroup/systemd rw shared:5 - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd\n\
            32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:6 - cgroup cgroup rw,cpu,cpuacct\n\
            33 30 0:29 / /sys/fs/cgroup/perf_event rw - cgroup cgroup rw,perf_event\n\
            34 30 0:30 /docker/abc /sys/fs/cgroup/memory rw master:9 propagate_from:2 - cgroup cgroup rw,memory\n\
            35 30 0:30 / /else\\040where/memory rw - cgroup cgroup rw,memory\n\
            36 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let wanted = [
            ("name=systemd", "/sys/fs/cgroup/systemd"),
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
            ("memory", "/sys/fs/cgroup/memory"),
        ];
        assert_eq!(v1(text), wanted.map(|(label, path)| (label.to_owned(), path.to_owned())));
    }

    #[test]
    fn one_hierarchy_with_all_controllers_is_v2() {
        let text =
            "26 25 0:23 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(parse(text).unwrap(), Found::V2("/sys/fs/cgroup".into()));
        let named = format!("{text}27 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n");
        assert_eq!(parse(&named).unwrap(), Found::V2("/sys/fs/cgroup".into()));
    }

    #[test]
    fn no_hierarchy_is_an_error() {
        for text in ["", "garbage", "1 2 3 - cgroup2", "26 25 0:23 / /sys rw - sysfs sysfs rw\n"] {
            assert!(matches!(parse(text), Err(Error::Detect(_))), "{text}");
        }
    }

    #[test]
    fn escaped_paths_are_read() {
        assert_eq!(unescape("/a\\040b\\134c\\9"), PathBuf::from("/a b\\c\\9"));
    }
}
