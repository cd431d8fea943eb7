//! What a container has of the host, which CRIU neither saves nor makes: mounts by their places, namespaces by their inodes.

use super::wire::{ExternalMount, JoinNamespace};
use crate::error::{Error, Result};
use oci::runtime::{Mount, Namespace, NamespaceKind, Spec};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use std::os::fd::OwnedFd;
use std::path::Path;

/// In which direction it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The value is a name for the image.
    Dump,
    /// The value is a path of the host.
    Restore,
}

/// Nodes that every container has, bound from the host where they may not be made.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom"];

/// Bind mounts and devices.
pub fn mounts(spec: &Spec, bundle: &Path, way: Way) -> Vec<ExternalMount> {
    let bound = spec.mounts.iter().filter(|mount| is_bind(mount)).map(|mount| {
        let source = bundle.join(mount.source.as_deref().unwrap_or_default()).to_string_lossy().into_owned();
        external(&mount.destination, if way == Way::Dump { &mount.destination } else { &source })
    });
    let devices = spec.linux.iter().flat_map(|linux| &linux.devices).map(|device| device.path.as_str());
    bound.chain(DEVICES.into_iter().chain(devices).map(|path| external(path, path))).collect()
}

fn external(key: &str, value: &str) -> ExternalMount {
    ExternalMount { key: key.to_owned(), value: value.to_owned() }
}

fn is_bind(mount: &Mount) -> bool {
    mount.kind.as_deref() == Some("bind") || mount.options.iter().any(|option| option == "bind" || option == "rbind")
}

/// Files that are masked have the host's /dev/null over them.
pub fn masks(spec: &Spec, init: i32) -> Vec<ExternalMount> {
    let paths = spec.linux.iter().flat_map(|linux| &linux.masked_paths);
    paths.filter(|path| is_file(init, path)).map(|path| external(path, "/dev/null")).collect()
}

/// Looked at below the container's root, whatever links it made.
fn is_file(init: i32, path: &str) -> bool {
    let look = || {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, format!("/proc/{init}/root"), flags, Mode::empty())?;
        let file = rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        rustix::fs::fstat(file)
    };
    look().is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
}

/// The network and pid namespaces that CRIU knows as external, by name.
const EXTERNAL: [(NamespaceKind, &str, &str); 2] =
    [(NamespaceKind::Network, "net", "extRootNetNS"), (NamespaceKind::Pid, "pid", "extRootPidNS")];

/// Namespaces by path, as a dump names them: `net[INODE]:KEY`.
pub fn namespaces(spec: &Spec) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (kind, name, key) in EXTERNAL {
        if let Some(path) = spec.namespace(kind).and_then(Namespace::existing) {
            let stat = rustix::fs::stat(path).map_err(|e| Error::because(format_args!("cannot look at {path}"), &e))?;
            names.push(format!("{name}[{}]:{key}", stat.st_ino));
        }
    }
    Ok(names)
}

/// Those that a restored container goes to: descriptors for CRIU with their keys, and others by path.
#[derive(Debug, Default)]
pub struct Joined {
    pub open: Vec<(String, OwnedFd)>,
    pub by_path: Vec<JoinNamespace>,
}

pub fn joined(spec: &Spec) -> Result<Joined> {
    let mut joined = Joined::default();
    for namespace in spec.linux.iter().flat_map(|linux| &linux.namespaces) {
        let Some(path) = namespace.existing() else { continue };
        if let Some((_, _, key)) = EXTERNAL.iter().find(|(kind, ..)| *kind == namespace.kind) {
            let open = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            let open =
                open.map_err(|e| Error::because(format_args!("Requested namespace {path} does not exist"), &e))?;
            joined.open.push(((*key).to_owned(), open));
            continue;
        }
        let name = match namespace.kind {
            NamespaceKind::Mount => "mnt",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::User => "user",
            NamespaceKind::Time => "time",
            other => return Err(Error::new(format!("cannot restore into an existing {other:?} namespace"))),
        };
        joined.by_path.push(JoinNamespace { namespace: name.to_owned(), file: path.to_owned() });
    }
    Ok(joined)
}
