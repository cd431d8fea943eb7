//! A Debian userland for the machine, on a disk: systemd, D-Bus, criu, other runtimes. Built once, never changed by a run.

use super::folder;
use super::kernel::{mirror, output};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SUITE: &str = "bookworm";
/// Beside what debootstrap(8) calls a minimal base.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "dbus-user-session",
    "libpam-systemd",
    "busybox-static",
    "jq",
    "bats",
    "uidmap",
    "criu",
    "runc",
    "crun",
    "iproute2",
    "iptables",
    "procps",
    "kmod",
    "gawk",
];
/// What the machine does when it is up.
const FILES: &[(&str, &str, u32)] = &[
    ("sbin/guest", include_str!("guest/guest.sh"), 0o755),
    ("etc/systemd/system/suite.service", include_str!("guest/suite.service"), 0o644),
    ("etc/systemd/system/suite.target", include_str!("guest/suite.target"), 0o644),
    ("etc/hostname", "machine\n", 0o644),
    ("etc/hosts", "127.0.0.1 localhost machine\n", 0o644),
    ("etc/fstab", "", 0o644),
    ("etc/machine-id", "", 0o444),
    ("etc/subuid", "alice:100000:65536\n", 0o644),
    ("etc/subgid", "alice:100000:65536\n", 0o644),
];
const SIZE: &str = "3G";

/// The disk; built when there is none for this list of packages and files.
pub fn disk() -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    (SUITE, PACKAGES, FILES, SIZE).hash(&mut hasher);
    let disk = folder().join(format!("userland-{:016x}.ext4", hasher.finish()));
    if disk.is_file() {
        return Ok(disk);
    }
    let tree = tree()?;
    for (name, text, mode) in FILES {
        let file = tree.join(name);
        fs::write(&file, text)
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(*mode)))
            .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    }
    for name in ["payload", "lib/modules"] {
        fs::create_dir_all(tree.join(name)).map_err(|e| format!("cannot make {name}: {e}"))?;
    }
    pack(&tree, &disk, SIZE)?;
    Ok(disk)
}

/// The unpacked packages, made once for this list of them.
fn tree() -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    (SUITE, PACKAGES).hash(&mut hasher);
    let tree = folder().join(format!("userland-{:016x}", hasher.finish()));
    if tree.is_dir() {
        return Ok(tree);
    }
    eprintln!("== building a userland of {SUITE}");
    let draft = tree.with_extension("new");
    let _ = fs::remove_dir_all(&draft);
    let mirror = mirror().ok_or("no Debian mirror in /etc/apt/sources.list or sources.list.d")?;
    output(
        Command::new("debootstrap")
            .args(["--variant=minbase", &format!("--include={}", PACKAGES.join(",")), SUITE])
            .arg(&draft)
            .arg(mirror),
    )
    .map_err(|why| format!("{why} (apt-get install debootstrap)"))?;
    for name in ["var/cache/apt", "var/lib/apt/lists"] {
        let _ = fs::remove_dir_all(draft.join(name));
    }
    fs::rename(&draft, &tree).map_err(|e| format!("cannot name {}: {e}", tree.display()))?;
    Ok(tree)
}

/// An ext4 with everything below `tree`, without a journal: nobody needs it after a crash.
pub fn pack(tree: &Path, disk: &Path, size: &str) -> Result<(), String> {
    let draft = disk.with_extension("new");
    let _ = fs::remove_file(&draft);
    let words = ["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-b", "4096", "-E", "lazy_itable_init=1", "-d"];
    output(Command::new("mke2fs").args(words).arg(tree).arg(&draft).arg(size))?;
    fs::rename(&draft, disk).map_err(|e| format!("cannot name {}: {e}", disk.display()))
}
