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

/// Every hierarchy that is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mounts {
    /// Those of v1, each once.
    pub(crate) v1: Vec<Mount>,
    /// That of v2, with an empty label; beside v1 ones it is without controllers (hybrid).
    pub(crate) v2: Option<Mount>,
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its controllers as mount options (`cpu,cpuacct`), or its name (`name=systemd`).
    pub(crate) label: String,
    /// Which of its groups is the root of the mount: `/` but in containers without a cgroup namespace.
    pub(crate) root: PathBuf,
    pub(crate) path: PathBuf,
}

/// Controllers that limit or count what the engine is asked to; its groups leave hierarchies without any of them alone.
const WANTED: [&str; 8] = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"];

/// The other controllers (Documentation/admin-guide/cgroup-v1/).
const OTHERS: [&str; 6] = ["hugetlb", "misc", "net_cls", "net_prio", "perf_event", "rdma"];

/// How hierarchies without controllers are called.
const NAMED: &str = "name=";

/// The hierarchy an init system in a container looks for.
const SYSTEMD: &str = "name=systemd";

impl Mount {
    /// Whether the engine's groups are made in it.
    fn is_wanted(&self) -> bool {
        self.label == SYSTEMD || self.label.split(',').any(|option| WANTED.contains(&option))
    }
}

impl Mounts {
    /// Those of this process (/proc/self/mountinfo).
    pub(crate) fn read() -> Result<Mounts, Error> {
        let text = std::fs::read_to_string("/proc/self/mountinfo").map_err(|e| Error::Detect(e.to_string()))?;
        Ok(Mounts::parse(&text))
    }

    pub(crate) fn parse(mountinfo: &str) -> Mounts {
        let mut mounts = Mounts::default();
        for line in mountinfo.lines() {
            let Some((kind, mount)) = mount(line) else { continue };
            match kind {
                "cgroup2" => mounts.v2 = mounts.v2.or(Some(mount)),
                _ if mount.label.is_empty() || mounts.v1.iter().any(|known| known.label == mount.label) => {}
                _ => mounts.v1.push(mount),
            }
        }
        mounts
    }

    /// What the engine takes. v1 hierarchies win over a v2 one beside them, which then has no controller we need.
    pub(crate) fn choose(self) -> Result<Found, Error> {
        if self.is_v1() {
            return Ok(Found::V1(self.v1.into_iter().filter(Mount::is_wanted).collect()));
        }
        self.v2.map(|mount| Found::V2(mount.path)).ok_or_else(|| Error::Detect("none is mounted".to_owned()))
    }

    /// Whether controllers are on v1, be there a v2 hierarchy or not.
    pub(crate) fn is_v1(&self) -> bool {
        self.v1.iter().any(|mount| mount.label != SYSTEMD && mount.is_wanted())
    }
}

/// A line's cgroup mount; the label of a v2 one is empty.
fn mount(line: &str) -> Option<(&str, Mount)> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let kind = right.next().filter(|kind| matches!(*kind, "cgroup" | "cgroup2"))?;
    let mut left = left.split(' ').skip(3);
    let (root, path) = (unescape(left.next()?), unescape(left.next()?));
    let label = if kind == "cgroup" { label(right.nth(1)?) } else { String::new() };
    Some((kind, Mount { label, root, path }))
}

/// Its controllers, or its name. Empty when it has neither.
fn label(options: &str) -> String {
    let known = |option: &&str| WANTED.contains(option) || OTHERS.contains(option) || option.starts_with(NAMED);
    options.split(',').filter(known).collect::<Vec<_>>().join(",")
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

    fn parse(text: &str) -> Result<Found, Error> {
        Mounts::parse(text).choose()
    }

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
    fn every_hierarchy_is_known_to_those_who_ask_for_all() {
        let text = "33 30 0:29 / /sys/fs/cgroup/perf_event rw - cgroup cgroup rw,perf_event\n\
            34 30 0:30 /docker/abc /sys/fs/cgroup/memory rw master:9 - cgroup cgroup rw,memory\n\
            35 30 0:31 / /sys/fs/cgroup/elogind rw - cgroup cgroup rw,xattr,name=elogind\n\
            36 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let mounts = Mounts::parse(text);
        let labels: Vec<_> = mounts.v1.iter().map(|mount| mount.label.as_str()).collect();
        assert_eq!(labels, ["perf_event", "memory", "name=elogind"]);
        assert_eq!(mounts.v1[1].root, PathBuf::from("/docker/abc"));
        assert_eq!(mounts.v2.as_ref().unwrap().path, PathBuf::from("/sys/fs/cgroup/unified"));
        assert!(mounts.is_v1());
    }

    #[test]
    fn escaped_paths_are_read() {
        assert_eq!(unescape("/a\\040b\\134c\\9"), PathBuf::from("/a b\\c\\9"));
    }
}
