//! Host devices in a container, and the rules of the device cgroup.

use super::SpecError;
use crate::{Container, DeviceRequest, target};
use oci::runtime::{Device, DeviceRule};
use rustix::fs::FileType;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Nodes below /dev that the runtime makes in every container.
const DEFAULT_NODES: [&str; 8] = ["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"];

/// Folders below /dev whose nodes belong to others (containerd pkg/oci/utils_unix.go).
const FOREIGN_FOLDERS: [&str; 7] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];

/// How deep a folder of devices is searched, and how many nodes are taken.
const MOST_DEPTH: usize = 16;
const MOST_NODES: usize = 8192;

const READ_WRITE_MAKE: &str = "rwm";

/// A node and what the container may do with it (of `r`, `w`, `m`).
#[derive(Debug)]
pub(super) struct Found {
    pub device: Device,
    pub access: String,
}

/// The nodes of `--device`, and all of the host's /dev for a privileged container in the host's user namespace.
pub(super) fn collect(container: &Container) -> Result<Vec<Found>, SpecError> {
    let config = &container.config;
    let mut found = Vec::new();
    if sees_host_devices(container) {
        below(Path::new("/dev"), "/dev", READ_WRITE_MAKE, &mut found);
        found
            .retain(|found| !found.device.path.strip_prefix("/dev/").is_some_and(|name| DEFAULT_NODES.contains(&name)));
    }
    let mut seen: BTreeSet<String> = found.iter().map(|found| found.device.path.clone()).collect();
    for request in &config.devices {
        let asked = requested(request)?;
        found.extend(asked.into_iter().filter(|found| seen.insert(found.device.path.clone())));
    }
    Ok(found)
}

fn sees_host_devices(container: &Container) -> bool {
    container.config.privileged && !container.own_user_namespace
}

/// The default rules, then those of `devices`, then the user's own.
pub(super) fn rules(container: &Container, devices: &[Found]) -> Vec<DeviceRule> {
    if sees_host_devices(container) {
        return vec![rule(true, "a", None, None, READ_WRITE_MAKE)];
    }
    let mut rules = default_rules();
    rules.extend(devices.iter().map(|found| {
        let device = &found.device;
        rule(true, &device.kind, Some(device.major), Some(device.minor), &found.access)
    }));
    rules.extend(container.config.resources.devices.iter().cloned());
    rules
}

/// Docker's rules and those runc adds (`AllowedDevices`): make any node, use the default ones and pseudo terminals.
pub(super) fn default_rules() -> Vec<DeviceRule> {
    let mut rules = vec![
        rule(false, "a", None, None, READ_WRITE_MAKE),
        rule(true, "c", None, None, "m"),
        rule(true, "b", None, None, "m"),
    ];
    let nodes = [(1, Some(3)), (1, Some(5)), (1, Some(7)), (1, Some(8)), (1, Some(9))];
    let terminals = [(5, Some(0)), (5, Some(1)), (5, Some(2)), (136, None)];
    let all = nodes.into_iter().chain(terminals);
    rules.extend(all.map(|(major, minor)| rule(true, "c", Some(major), minor, READ_WRITE_MAKE)));
    rules
}

fn rule(allow: bool, kind: &str, major: Option<i64>, minor: Option<i64>, access: &str) -> DeviceRule {
    DeviceRule { allow, kind: Some(kind.to_owned()), major, minor, access: Some(access.to_owned()) }
}

/// The node at `host_path` (links followed), or all nodes below it when it is a folder.
fn requested(request: &DeviceRequest) -> Result<Vec<Found>, SpecError> {
    let invalid = |text: String| SpecError::Invalid(text);
    let inside = target::clean(&request.container_path)
        .filter(|path| path != "/")
        .ok_or_else(|| invalid(format!("invalid device path {:?}: it is not absolute", request.container_path)))?;
    super::mount::check_target(&inside, None)?;
    let access = match request.access.as_str() {
        "" => READ_WRITE_MAKE,
        text if text.bytes().all(|b| READ_WRITE_MAKE.as_bytes().contains(&b)) => text,
        text => return Err(invalid(format!("bad mode specified: {text}"))),
    };
    let failed = |source| SpecError::Device { path: request.host_path.clone(), source };
    let outside = std::fs::canonicalize(&request.host_path).map_err(failed)?;
    if std::fs::metadata(&outside).map_err(failed)?.is_dir() {
        let mut found = Vec::new();
        below(&outside, &inside, access, &mut found);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    match node(&outside, &inside).map_err(failed)? {
        Some(device) => Ok(vec![Found { device, access: access.to_owned() }]),
        None => Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a device node"))),
    }
}

/// Every node below `folder`, links not followed; what vanishes or cannot be read meanwhile is left out.
fn below(folder: &Path, inside: &str, access: &str, found: &mut Vec<Found>) {
    let mut folders = vec![(folder.to_owned(), inside.to_owned(), 0)];
    while let Some((folder, inside, depth)) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let path = format!("{inside}/{name}");
            if kind.is_dir() && depth < MOST_DEPTH && !FOREIGN_FOLDERS.contains(&name.as_str()) {
                folders.push((entry.path(), path, depth + 1));
            } else if (kind.is_char_device() || kind.is_block_device())
                && found.len() < MOST_NODES
                && let Ok(Some(device)) = node(&entry.path(), &path)
            {
                found.push(Found { device, access: access.to_owned() });
            }
        }
    }
    found.sort_by(|a, b| a.device.path.cmp(&b.device.path));
}

/// The node at `outside` as it is to appear at `inside`; `None` when it is another sort of file.
fn node(outside: &Path, inside: &str) -> io::Result<Option<Device>> {
    let file = std::fs::symlink_metadata(outside)?;
    let kind = match FileType::from_raw_mode(file.mode()) {
        FileType::CharacterDevice => "c",
        FileType::BlockDevice => "b",
        _ => return Ok(None),
    };
    Ok(Some(Device {
        kind: kind.to_owned(),
        path: inside.to_owned(),
        major: i64::from(rustix::fs::major(file.rdev())),
        minor: i64::from(rustix::fs::minor(file.rdev())),
        file_mode: Some(file.mode() & 0o7777),
        uid: Some(file.uid()),
        gid: Some(file.gid()),
    }))
}
