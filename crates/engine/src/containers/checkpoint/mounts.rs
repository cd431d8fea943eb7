//! Which mounts of a container are the engine's to make: those that its specification names, where they really are.
//!
//! What else is mounted in it is CRIU's: file systems of its own namespaces, which CRIU makes anew. A container that may mount has
//! mounts that are neither: CRIU tells.

use oci::runtime::{Mount, Spec};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A line of /proc/PID/mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    id: u64,
    /// What of its file system is mounted.
    root: String,
    point: String,
}

/// The mounts of process `pid` that are the engine's: where they are, and what `spec` calls that place.
pub(super) fn of_engine(pid: i32, spec: &Spec) -> io::Result<BTreeMap<String, String>> {
    let lines = lines(&std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?);
    let root = rustix::fs::openat(CWD, format!("/proc/{pid}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let find = |place: &str| Ok::<_, io::Error>(mount_at(root.as_fd(), place)?.and_then(|id| with_id(&lines, id)));
    let mut mounts = BTreeMap::new();
    let mut others = HashSet::new();
    let mut wide = Vec::new();
    for mount in &spec.mounts {
        let Some(line) = find(&mount.destination)? else { continue };
        if !is_engines(mount) {
            others.insert(line.point.as_str());
            continue;
        }
        mounts.insert(line.point.clone(), mount.destination.clone());
        if mount.options.iter().any(|option| option == "rbind") {
            wide.push((line.point.as_str(), mount.destination.as_str()));
        }
    }
    let devices = spec.linux.iter().flat_map(|linux| &linux.devices).map(|device| &device.path);
    for path in devices.filter(|path| !path.starts_with("/dev/")) {
        if let Some(line) = find(path)? {
            mounts.insert(line.point.clone(), path.clone());
        }
    }
    for path in spec.linux.iter().flat_map(|linux| &linux.masked_paths) {
        if let Some(line) = find(path)?.filter(|line| line.root == "/null") {
            mounts.insert(line.point.clone(), path.clone());
        }
    }
    // What lay below the source of a bind came with it.
    for line in &lines {
        let below = wide.iter().filter_map(|(point, place)| Some((place, line.point.strip_prefix(point)?)));
        let below = below.filter(|(_, rest)| rest.starts_with('/')).min_by_key(|(_, rest)| rest.len());
        if let Some((place, rest)) = below.filter(|_| !others.contains(line.point.as_str())) {
            mounts.entry(line.point.clone()).or_insert_with(|| format!("{place}{rest}"));
        }
    }
    Ok(mounts)
}

/// Binds; the folder of devices, whose nodes no user namespace could make; and the container's own group, which CRIU may not mount
/// in one.
fn is_engines(mount: &Mount) -> bool {
    let kind = mount.kind.as_deref().unwrap_or_default();
    kind == "bind"
        || mount.options.iter().any(|option| option == "bind" || option == "rbind")
        || mount.destination == "/dev"
        || kind.starts_with("cgroup")
}

/// The number of the mount whose root is at `place`; `None` when nothing is mounted there (any more).
fn mount_at(root: BorrowedFd<'_>, place: &str) -> io::Result<Option<u64>> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = loop {
        match rustix::fs::openat2(root, place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            other => break other?,
        }
    };
    let stat = rustix::fs::statx(&found, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT).then_some(stat.stx_mnt_id))
}

fn with_id(lines: &[Line], id: u64) -> Option<&Line> {
    lines.iter().find(|line| line.id == id && line.point != "/")
}

/// The numbers of the mounts that process `pid` sees.
pub(super) fn numbers(pid: i32) -> io::Result<HashSet<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    Ok(lines(&text).into_iter().map(|line| line.id).collect())
}

fn lines(text: &str) -> Vec<Line> {
    let read = |line: &str| {
        let mut fields = line.split(' ');
        let (id, root, point) = (fields.next()?.parse().ok()?, fields.nth(2)?, fields.next()?);
        Some(Line { id, root: plain(root), point: plain(point) })
    };
    text.lines().filter_map(read).collect()
}

/// Without the octal numbers that stand for blanks and the like (proc_pid_mountinfo(5)).
fn plain(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_its_escapes() {
        let text =
            "36 35 98:0 /null /a\\040b rw,noatime master:1 - ext3 /dev/root rw\n37 36 0:5 / / rw - tmpfs tmpfs rw\n";
        let read = lines(text);
        assert_eq!(read[0], Line { id: 36, root: "/null".into(), point: "/a b".into() });
        assert_eq!(with_id(&read, 37), None);
        assert_eq!(plain("\\134x\\"), "\\x\\");
    }

    #[test]
    fn a_mount_is_found_where_a_link_leads_and_nothing_where_nothing_is_mounted() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc", folder.path().join("link")).unwrap();
        let path = folder.path().join("link").display().to_string();
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let proc = mount_at(root.as_fd(), "/proc").unwrap().unwrap();
        assert_eq!(mount_at(root.as_fd(), &path).unwrap(), Some(proc));
        assert_eq!(mount_at(root.as_fd(), "/proc/sys").unwrap().filter(|id| *id == proc), None);
        assert_eq!(mount_at(root.as_fd(), &folder.path().display().to_string()).unwrap(), None);
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(numbers(own).unwrap().contains(&proc));
    }
}
