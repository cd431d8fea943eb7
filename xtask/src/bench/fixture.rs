//! Images to measure with: a busybox one, and one of about 200 MB, as docker-archives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files made for one bench.
pub struct Fixture {
    /// `docker load`able: `bench-busybox:latest`.
    pub busybox: PathBuf,
    /// `docker load`able: `bench-large:latest`.
    pub large: PathBuf,
    /// An unpacked root with busybox, for bare runtimes.
    pub root: PathBuf,
}

/// Files of the large image, and bytes of each.
const LARGE_FILES: usize = 4000;
const LARGE_BYTES: usize = 50_000;

impl Fixture {
    /// Makes all of it below `folder`.
    pub fn make(folder: &Path) -> Result<Fixture, String> {
        let root = folder.join("rootfs");
        busybox_root(&root)?;
        let busybox = archive(folder, &root, "bench-busybox")?;
        let large_root = folder.join("large-rootfs");
        busybox_root(&large_root)?;
        fill(&large_root.join("data")).map_err(|e| format!("cannot make the large image: {e}"))?;
        let large = archive(folder, &large_root, "bench-large")?;
        fs::remove_dir_all(&large_root).map_err(|e| format!("cannot delete {}: {e}", large_root.display()))?;
        Ok(Fixture { busybox, large, root })
    }
}

fn busybox_root(root: &Path) -> Result<(), String> {
    let busybox = super::installed("busybox").ok_or("busybox is not installed: apt-get install busybox-static")?;
    let made = || -> std::io::Result<()> {
        for name in ["bin", "etc", "tmp", "proc", "sys", "dev", "root"] {
            fs::create_dir_all(root.join(name))?;
        }
        fs::copy(&busybox, root.join("bin/busybox"))?;
        for name in ["sh", "true", "sleep", "echo", "cat", "ls", "id"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\n")
    };
    made().map_err(|e| format!("cannot make {}: {e}", root.display()))
}

/// Files that gzip to about half.
fn fill(folder: &Path) -> std::io::Result<()> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for index in 0..LARGE_FILES {
        let sub = folder.join(format!("{:02}", index % 64));
        fs::create_dir_all(&sub)?;
        let mut bytes = Vec::with_capacity(LARGE_BYTES);
        while bytes.len() < LARGE_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
            bytes.extend_from_slice(b"same old");
        }
        fs::write(sub.join(format!("{index}.bin")), bytes)?;
    }
    Ok(())
}

/// A docker-archive of one layer, by tar(1) and sha256sum(1).
fn archive(folder: &Path, root: &Path, name: &str) -> Result<PathBuf, String> {
    let work = folder.join(format!("{name}-archive"));
    fs::create_dir_all(&work).map_err(|e| format!("cannot make {}: {e}", work.display()))?;
    let layer = work.join("layer.tar");
    shell(&format!("tar --numeric-owner --owner=0 --group=0 -C '{}' -cf '{}' .", root.display(), layer.display()))?;
    let diff_id = shell(&format!("sha256sum '{}'", layer.display()))?;
    let diff_id = diff_id.split_whitespace().next().unwrap_or_default().to_owned();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"],"Env":["PATH=/bin"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}}}}"#
    );
    let written = fs::write(work.join("config.json"), config).and_then(|()| {
        let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{name}:latest"],"Layers":["layer.tar"]}}]"#);
        fs::write(work.join("manifest.json"), manifest)
    });
    written.map_err(|e| format!("cannot write {}: {e}", work.display()))?;
    let file = folder.join(format!("{name}.tar"));
    shell(&format!("tar -C '{}' -cf '{}' manifest.json config.json layer.tar", work.display(), file.display()))?;
    fs::remove_dir_all(&work).map_err(|e| format!("cannot delete {}: {e}", work.display()))?;
    Ok(file)
}

/// What a shell line prints; `Err` when it fails.
pub fn shell(line: &str) -> Result<String, String> {
    let output = Command::new("sh").args(["-c", line]).output().map_err(|e| format!("cannot run sh: {e}"))?;
    if !output.status.success() {
        return Err(format!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
