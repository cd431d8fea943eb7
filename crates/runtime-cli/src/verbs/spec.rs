//! `spec`: a first config.json.

use crate::error::{Error, Result};
use crate::words::Global;
use crate::words::options::Spec as Options;
use oci::runtime::{IdMapping, Namespace, NamespaceKind, Spec};
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub fn run(global: &Global, options: &Options) -> Result<()> {
    let mut spec = example(&global.name)?;
    if options.rootless {
        make_rootless(&mut spec, rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    }
    let path = options.bundle.clone().unwrap_or_else(|| PathBuf::from(".")).join("config.json");
    write(&path, &tabbed(&spec)?)
}

/// A file that is there already is somebody's work.
fn write(path: &Path, json: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    match file.and_then(|mut file| file.write_all(json)) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::new("File config.json exists. Remove it first"))
        }
        Err(e) => Err(Error::because(format_args!("cannot write {}", path.display()), &e)),
        Ok(()) => Ok(()),
    }
}

fn tabbed(spec: &Spec) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    let layout = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, layout);
    spec.serialize(&mut serializer).map_err(|e| Error::of(&e))?;
    Ok(json)
}

/// A shell with few rights on a read-only root.
fn example(hostname: &str) -> Result<Spec> {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let spec = serde_json::json!({
        "ociVersion": oci::state::VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": hostname,
        "mounts": mounts(),
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    });
    let mut spec: Spec = serde_json::from_value(spec).map_err(|e| Error::of(&e))?;
    spec.linux.get_or_insert_default().namespaces = namespaces();
    Ok(spec)
}

fn mounts() -> serde_json::Value {
    let quiet = ["nosuid", "noexec", "nodev"];
    let and = |more: &[&'static str]| [&quiet[..], more].concat();
    serde_json::json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
          "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": and(&["mode=1777", "size=65536k"]) },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": and(&["ro"]) },
        { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": and(&["relatime", "ro"]) }
    ])
}

/// A cgroup namespace hides the tree above where there is one tree; on v1 the mount is made of the container's own groups.
fn namespaces() -> Vec<Namespace> {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let kinds = [Pid, Network, Ipc, Uts, Mount].into_iter().chain(unified.then_some(Cgroup));
    kinds.map(|kind| Namespace { kind, path: None }).collect()
}

/// A user namespace with one user, the host's network, no limits: what needs no rights.
fn make_rootless(spec: &mut Spec, uid: u32, gid: u32) {
    let linux = spec.linux.get_or_insert_default();
    linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
    linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: uid, size: 1 }];
    linux.gid_mappings = vec![IdMapping { container_id: 0, host_id: gid, size: 1 }];
    linux.resources = None;
    for mount in &mut spec.mounts {
        // A new sysfs needs a network namespace of one's own.
        if mount.destination == "/sys" {
            mount.kind = Some("none".to_owned());
            mount.source = Some("/sys".to_owned());
            mount.options.insert(0, "rbind".to_owned());
        }
        mount.options.retain(|option| !option.starts_with("uid=") && !option.starts_with("gid="));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { bundle: Some(folder.path().to_owned()), rootless: false };
        let global = Global { name: "runc".to_owned(), ..Global::default() };
        run(&global, &options).unwrap();
        let before = std::fs::read(folder.path().join("config.json")).unwrap();
        assert_eq!(run(&global, &options).unwrap_err().message, "File config.json exists. Remove it first");
        assert_eq!(std::fs::read(folder.path().join("config.json")).unwrap(), before);
        assert!(before.starts_with(b"{\n\t\"ociVersion\""));
    }

    #[test]
    fn a_rootless_one_asks_for_nothing_that_needs_rights() {
        let mut spec = example("x").unwrap();
        make_rootless(&mut spec, 1000, 1001);
        let linux = spec.linux.unwrap();
        let kinds: Vec<_> = linux.namespaces.iter().map(|namespace| namespace.kind).collect();
        assert!(kinds.contains(&NamespaceKind::User) && !kinds.contains(&NamespaceKind::Network));
        assert_eq!((linux.uid_mappings[0].host_id, linux.gid_mappings[0].host_id), (1000, 1001));
        assert_eq!(linux.resources, None);
        assert!(spec.mounts.iter().flat_map(|mount| &mount.options).all(|option| !option.starts_with("gid=")));
        let sys = spec.mounts.iter().find(|mount| mount.destination == "/sys").unwrap();
        assert_eq!(sys.options, ["rbind", "nosuid", "noexec", "nodev", "ro"]);
    }
}
