//! Devices of a container: a /dev made beforehand, nodes bound from the host, and the /dev/null that masks files.

use super::options;
use super::{Fds, Making, PrepareError, Result, mounts};
use crate::stage::create_file_system;
use crate::{MountSource, MountStep, ids};
use oci::runtime::{Device, Linux, Mount};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::mount::{Change, Reach, attribute};

/// Every container has these (runtime-spec, config-linux.md): name, major, minor.
pub(super) const DEFAULT_NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
pub(super) const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];
/// The container's own devpts has it.
pub(super) const PTMX: &str = "/dev/ptmx";
/// Mount points that are wanted nearly always.
const FOLDERS: [&str; 3] = ["pts", "shm", "mqueue"];
pub(super) const DEFAULT_MODE: u32 = 0o666;

/// A device to make: its path below /dev, and what it is.
struct Node<'a> {
    path: &'a str,
    sort: FileType,
    number: u64,
    mode: u32,
    owner: (u32, u32),
}

/// The /dev of a container: one tmpfs with all nodes in it, made now. The engine's own file system, so that nodes work in it
/// although the container's user namespace could not make them; id-mapped, so that root in the container owns it.
pub(super) fn folder(mount: &Mount, terminal: bool, making: &mut Making<'_>) -> Result<Vec<MountStep>> {
    let (linux, user) = (making.linux, making.user);
    let parsed = options::parse(mount);
    let readonly = parsed.attributes.set & attribute::RDONLY;
    let attributes = parsed.attributes.set & !readonly;
    let mut words = parsed.for_new();
    if making.is_bundle() {
        words.extend(mounts::name_of_source(mount));
    }
    let dev = create_file_system("tmpfs", &words, attributes).map_err(device_error("/dev"))?;
    for name in FOLDERS {
        rustix::fs::mkdirat(&dev, name, Mode::from_raw_mode(0o755)).map_err(device_error(name))?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, &dev, name).map_err(device_error(name))?;
    }
    if terminal {
        make_file(dev.as_fd(), "console").map_err(device_error("/dev/console"))?;
    }
    let mut bound = Vec::new();
    for node in nodes(linux)? {
        match make_node(dev.as_fd(), &node) {
            Err(Errno::PERM) => bound.push(bind_node(dev.as_fd(), &node, &mut making.fds)?),
            other => other.map_err(device_error(node.path))?,
        }
    }
    // Only now: through the id map the engine's own root could make nothing.
    let plain = Change { set: readonly, ..Change::default() };
    let change = |change| sys::mount::set_attributes(dev.as_fd(), change, Reach::One);
    match change(Change { id_map: user, ..plain }) {
        // A tmpfs cannot be id-mapped before Linux 6.3: its files get the container's ids then.
        Err(e) if user.is_some() && e.kind() == io::ErrorKind::InvalidInput => {
            give(dev.as_fd(), linux).and_then(|()| change(plain)).map_err(device_error("/dev"))?;
        }
        other => other.map_err(device_error("/dev"))?,
    }
    let source = MountSource::Detached { fd: making.fds.add(dev)?, file: false };
    let mut steps = vec![MountStep {
        destination: mount.destination.clone(),
        source,
        propagation: Vec::new(),
        origin: String::new(),
    }];
    steps.append(&mut bound);
    Ok(steps)
}

/// Makes everything in a folder belong to the host's ids for its owners in the container.
fn give(folder: BorrowedFd<'_>, linux: &Linux) -> io::Result<()> {
    // What comes from fsmount(2) cannot be read itself.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(folder, ".", flags, Mode::empty())?;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c".." {
            continue;
        }
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let uid = ids::host_id(&linux.uid_mappings, stat.st_uid).map(Uid::from_raw);
        let gid = ids::host_id(&linux.gid_mappings, stat.st_gid).map(Gid::from_raw);
        rustix::fs::chownat(&folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        if name != c"." && FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            give(rustix::fs::openat(&folder, name, flags, Mode::empty())?.as_fd(), linux)?;
        }
    }
    Ok(())
}

pub(super) fn device_error<E: Into<io::Error>>(path: &str) -> impl FnOnce(E) -> PrepareError + '_ {
    move |e| PrepareError::Device { path: path.to_owned(), source: e.into() }
}

/// The default nodes, and those below /dev that the specification adds (or wants otherwise).
fn nodes(linux: &Linux) -> Result<Vec<Node<'_>>> {
    let asked = linux.devices.iter().filter_map(|device| Some((below_dev(device)?, device)));
    let mut nodes = asked.map(|(path, device)| node(path, device)).collect::<Result<Vec<_>>>()?;
    for (path, major, minor) in DEFAULT_NODES {
        if !nodes.iter().any(|node| node.path == path) {
            let number = rustix::fs::makedev(major, minor);
            nodes.push(Node { path, sort: FileType::CharacterDevice, number, mode: DEFAULT_MODE, owner: (0, 0) });
        }
    }
    Ok(nodes)
}

/// The plain path of a device below /dev; `None` when it is elsewhere, or /dev/ptmx, which is always that of the container.
pub(super) fn below_dev(device: &Device) -> Option<&str> {
    device.path.strip_prefix("/dev/").filter(|path| !path.is_empty() && *path != "ptmx")
}

fn node<'a>(path: &'a str, device: &Device) -> Result<Node<'a>> {
    let invalid = || PrepareError::Invalid(format!("device {}", device.path));
    if path.split('/').any(|part| part.is_empty() || part == "." || part == ".." || part.contains('\0')) {
        return Err(invalid());
    }
    let (sort, number) = identity(device).ok_or_else(invalid)?;
    let mode = device.file_mode.unwrap_or(DEFAULT_MODE) & 0o7777;
    Ok(Node { path, sort, number, mode, owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)) })
}

/// What a device is: its type and number.
pub(super) fn identity(device: &Device) -> Option<(FileType, u64)> {
    let sort = match device.kind.as_str() {
        "c" | "u" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        "p" => return Some((FileType::Fifo, 0)),
        _ => return None,
    };
    Some((sort, rustix::fs::makedev(device.major.try_into().ok()?, device.minor.try_into().ok()?)))
}

/// Makes a node below the tmpfs, which nobody else can reach yet. The mode is set after, whatever the umask is.
fn make_node(dev: BorrowedFd<'_>, node: &Node<'_>) -> std::result::Result<(), Errno> {
    for (at, _) in node.path.match_indices('/') {
        match rustix::fs::mkdirat(dev, &node.path[..at], Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
    rustix::fs::mknodat(dev, node.path, node.sort, Mode::from_raw_mode(node.mode), node.number)?;
    if node.owner != (0, 0) {
        let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
        rustix::fs::chownat(dev, node.path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    rustix::fs::chmodat(dev, node.path, Mode::from_raw_mode(node.mode), AtFlags::empty())
}

/// For an engine that may not make nodes: the host's, bound over an empty file.
fn bind_node(dev: BorrowedFd<'_>, node: &Node<'_>, fds: &mut Fds) -> Result<MountStep> {
    let destination = format!("/dev/{}", node.path);
    make_file(dev, node.path).map_err(device_error(&destination))?;
    let clone = checked_clone(&destination, node.sort, node.number).map_err(device_error(&destination))?;
    let source = MountSource::Detached { fd: fds.add(clone)?, file: true };
    Ok(MountStep { source, destination, propagation: Vec::new(), origin: String::new() })
}

fn make_file(dev: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(rustix::fs::mknodat(dev, name, FileType::RegularFile, Mode::from_raw_mode(0o600), 0)?)
}

/// Binds the devices that are not in a /dev made here from the host's nodes of the same number. A container that has the
/// host's /dev needs none there.
pub(super) fn bind_others(dev_is_ours: bool, steps: &mut Vec<MountStep>, making: &mut Making<'_>) -> Result<()> {
    let dev_is_mounted = steps.iter().any(|step| step.destination.trim_end_matches('/') == "/dev");
    for device in &making.linux.devices {
        if device.path == PTMX {
            continue;
        }
        let below = below_dev(device).is_some();
        if below && (dev_is_ours || dev_is_mounted) {
            continue;
        }
        let (sort, number) =
            identity(device).ok_or_else(|| PrepareError::Invalid(format!("device {}", device.path)))?;
        let clone = checked_clone(&device.path, sort, number).map_err(device_error(&device.path))?;
        mounts::check_destination(&device.path)?;
        let source = MountSource::Detached { fd: making.fds.add(clone)?, file: true };
        steps.push(MountStep {
            destination: device.path.clone(),
            source,
            propagation: Vec::new(),
            origin: String::new(),
        });
    }
    Ok(())
}

/// The host's /dev/null as a detached mount, for covering files. Anything else there, or nothing, is an error (CVE-2025-31133).
pub(super) fn null() -> Result<OwnedFd> {
    let number = rustix::fs::makedev(1, 3);
    checked_clone("/dev/null", FileType::CharacterDevice, number).map_err(device_error("/dev/null"))
}

/// What was opened is looked at, never its name.
pub(super) fn checked_clone(path: &str, sort: FileType, number: u64) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let clone = rustix::mount::open_tree(CWD, path, flags)?;
    let stat: Stat = rustix::fs::statat(&clone, "", AtFlags::EMPTY_PATH)?;
    let right = FileType::from_raw_mode(stat.st_mode) == sort && stat.st_rdev == number;
    if right { Ok(clone) } else { Err(Errno::NODEV.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_is_counts_and_not_its_name() {
        assert!(null().is_ok());
        assert!(checked_clone("/dev/zero", FileType::CharacterDevice, rustix::fs::makedev(1, 3)).is_err());
        let link = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", link.path().join("null")).unwrap();
        let path = link.path().join("null");
        assert!(checked_clone(path.to_str().unwrap(), FileType::CharacterDevice, rustix::fs::makedev(1, 3)).is_err());
    }

    #[test]
    fn everything_in_a_folder_can_be_given_away() {
        use std::os::unix::fs::{MetadataExt, chown, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("pts")).unwrap();
        std::fs::write(path("pts/file"), "").unwrap();
        chown(path("pts/file"), Some(5), Some(6)).unwrap();
        symlink("/proc/kcore", path("core")).unwrap();
        let range = vec![oci::runtime::IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
        let linux = Linux { uid_mappings: range.clone(), gid_mappings: range, ..Linux::default() };
        give(std::fs::File::open(folder.path()).unwrap().as_fd(), &linux).unwrap();
        let owner = |name: &str| std::fs::symlink_metadata(path(name)).map(|look| (look.uid(), look.gid())).unwrap();
        assert_eq!([owner("."), owner("pts"), owner("core")], [(100_000, 100_000); 3]);
        assert_eq!(owner("pts/file"), (100_005, 100_006));
    }

    #[test]
    fn device_paths_that_climb_are_refused() {
        for path in ["/dev/../etc/passwd", "/dev/a//b", "/dev/./x"] {
            let device = Device { kind: "c".into(), path: path.into(), major: 1, minor: 3, ..Device::default() };
            let linux = Linux { devices: vec![device], ..Linux::default() };
            assert!(nodes(&linux).is_err(), "{path}");
        }
    }

    #[test]
    fn a_default_node_can_be_replaced() {
        let device = Device { kind: "c".into(), path: "/dev/tty".into(), major: 4, minor: 1, ..Device::default() };
        let linux = Linux { devices: vec![device], ..Linux::default() };
        let nodes = nodes(&linux).unwrap();
        let ttys: Vec<_> = nodes.iter().filter(|node| node.path == "tty").map(|node| node.number).collect();
        assert_eq!(ttys, [rustix::fs::makedev(4, 1)]);
        assert_eq!(nodes.len(), DEFAULT_NODES.len());
    }
}
