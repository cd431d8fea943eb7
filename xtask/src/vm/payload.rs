//! What a run brings to the machine with a userland, on a second disk: dhow, test programs, modules, the scripts.

use super::kernel::{Kernel, output};
use super::{folder, userland};
use crate::suite;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPTS: &[(&str, &str)] = &[
    ("suites.sh", include_str!("guest/suites.sh")),
    ("expect.sh", include_str!("guest/expect.sh")),
    ("runtime.sh", include_str!("guest/runtime.sh")),
    ("engine.sh", include_str!("guest/engine.sh")),
    ("checkpoints.sh", include_str!("guest/checkpoints.sh")),
    ("bats.sh", include_str!("guest/bats.sh")),
];
/// Test programs by package and target. They are static, as all that is built here.
const TESTS: &[(&str, &str)] = &[
    ("cgroup", "lifecycle"),
    ("cgroup", "place"),
    ("oci-tests", "lifecycle"),
    ("oci-tests", "attacks"),
    ("oci-tests", "rootless"),
];
const SIZE: &str = "1G";

/// Makes the disk; `bats` is a checkout of runc.
pub fn disk(kernel: &Kernel, binary: &Path, bats: Option<&Path>) -> Result<PathBuf, String> {
    let work = tempfile::tempdir_in(folder()).map_err(|e| format!("no temporary folder: {e}"))?;
    let root = work.path();
    let failed = |e: std::io::Error| format!("cannot make the payload: {e}");
    fs::create_dir_all(root.join("lib/modules")).map_err(failed)?;
    fs::create_dir_all(root.join("tests")).map_err(failed)?;
    output(Command::new("cp").arg("-a").arg(&kernel.modules).arg(root.join("lib/modules")))?;
    // An unpacked package has no index of its modules; that of busybox is none for kmod, which the kernel calls.
    output(Command::new("/sbin/depmod").arg("-b").arg(root).arg(&kernel.version))
        .map_err(|why| format!("{why} (apt-get install kmod)"))?;
    strip(binary, &root.join("dhow"))?;
    for (package, target) in TESTS {
        strip(&built(package, target)?, &root.join("tests").join(format!("{package}-{target}")))?;
    }
    for (name, text) in SCRIPTS {
        fs::write(root.join(name), text).map_err(failed)?;
    }
    if let Some(checkout) = bats {
        crate::conformance::ready_bats(checkout)?;
        fs::create_dir_all(root.join("bats")).map_err(failed)?;
        output(Command::new("cp").arg("-a").arg(checkout.join("tests")).arg(root.join("bats")))?;
    }
    let disk = folder().join("payload.ext4");
    userland::pack(root, &disk, SIZE)?;
    Ok(disk)
}

/// Without debug information: less to copy and to read.
fn strip(program: &Path, copy: &Path) -> Result<(), String> {
    output(Command::new("strip").arg("--strip-debug").arg("-o").arg(copy).arg(program)).map(drop)
}

/// Where cargo puts a test program.
fn built(package: &str, target: &str) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--no-run", "--message-format=json", "-p", package, "--test", target]);
    let said = output(cargo.current_dir(suite::root()))?;
    let artifacts = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = artifacts.filter(|one| one["target"]["name"] == target && one["profile"]["test"] == true);
    let program = programs.find_map(|one| one["executable"].as_str().map(PathBuf::from));
    program.ok_or_else(|| format!("cargo has built no test {target} of {package}"))
}
