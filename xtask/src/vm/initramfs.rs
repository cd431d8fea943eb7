//! What the machine finds when it boots: busybox, dhow, an image to run, the kernel's modules, the scripts.

use super::cpio::Archive;
use super::kernel::{Kernel, output};
use super::{folder, modules};
use std::fs;
use std::io::BufWriter;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const INIT: &str = include_str!("init.sh");
const SMOKE: &str = include_str!("smoke.sh");
const LAYERS: &str = include_str!("layers.sh");

/// Makes `target/vm/VERSION.cpio`; `image` is a docker-archive of `busybox:latest`.
pub fn make(kernel: &Kernel, binary: &Path, image: &Path) -> Result<PathBuf, String> {
    let root = folder().join(format!("{}.root", kernel.version));
    let _ = fs::remove_dir_all(&root);
    let failed = |e: std::io::Error| format!("cannot make {}: {e}", root.display());
    for name in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var/lib", "mnt"] {
        fs::create_dir_all(root.join(name)).map_err(failed)?;
    }
    programs(&root, binary)?;
    modules::copy(kernel, &root, &root.join("bin/busybox"))?;
    fs::copy(image, root.join("busybox.tar")).map_err(failed)?;
    many_layers(&root.join("layers.tar"))?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").map_err(failed)?;
    fs::write(root.join("etc/group"), "root:x:0:\n").map_err(failed)?;
    for (name, text) in [("init", INIT), ("smoke.sh", SMOKE)] {
        fs::write(root.join(name), text).map_err(failed)?;
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).map_err(failed)?;
    }
    let packed = pack(&root, &folder().join(format!("{}.cpio", kernel.version))).map_err(failed)?;
    fs::remove_dir_all(&root).map_err(failed)?;
    Ok(packed)
}

/// An image of more layers than any of a registry has (docker's own limit is 127).
fn many_layers(file: &Path) -> Result<(), String> {
    if !folder().join("layers.tar").is_file() {
        let work = tempfile::tempdir_in(folder()).map_err(|e| format!("no temporary folder: {e}"))?;
        it::busybox_root(&work.path().join("root")).map_err(|e| format!("cannot make an image: {e}"))?;
        output(Command::new("sh").args(["-ec", LAYERS]).current_dir(work.path()))?;
        fs::rename(work.path().join("layers.tar"), folder().join("layers.tar"))
            .map_err(|e| format!("no image: {e}"))?;
    }
    fs::copy(folder().join("layers.tar"), file).map(drop).map_err(|e| format!("cannot copy an image: {e}"))
}

fn pack(root: &Path, file: &Path) -> std::io::Result<PathBuf> {
    let mut archive = Archive::new(BufWriter::new(fs::File::create(file)?));
    archive.tree(root)?;
    // The kernel opens it for the first process before anything is mounted.
    archive.character_device("dev/console", 0o600, (5, 1))?;
    archive.end()?;
    Ok(file.to_owned())
}

/// Busybox under all its names, and dhow without its debug information: the machine's memory is small.
fn programs(root: &Path, binary: &Path) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("cannot fill {}: {e}", root.display());
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists());
    let busybox = busybox.ok_or("busybox is missing: apt-get install busybox-static")?;
    fs::copy(busybox, root.join("bin/busybox")).map_err(failed)?;
    for name in output(Command::new(busybox).arg("--list"))?.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name)).map_err(failed)?;
    }
    // The kernel asks for /sbin/modprobe.
    symlink("bin", root.join("sbin")).map_err(failed)?;
    output(Command::new("strip").arg("--strip-debug").arg("-o").arg(root.join("bin/dhow")).arg(binary)).map(drop)
}
