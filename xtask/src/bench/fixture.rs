//! Images to measure with, as docker-archives: a busybox one, and one of about 200 MB, in one layer and in ten.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files made for one bench.
pub struct Fixture {
    /// `docker load`able: `bench-busybox:latest`.
    pub busybox: PathBuf,
    /// `docker load`able: `bench-large:latest`.
    pub large: PathBuf,
    /// The same files in ten layers: `bench-ten:latest`.
    pub ten: PathBuf,
    /// The only layer of `large`, by gzip(1).
    pub layer: PathBuf,
    /// An unpacked root with busybox, for bare runtimes.
    pub root: PathBuf,
}

/// Files of the large image, and bytes of each.
const LARGE_FILES: usize = 4000;
const LARGE_BYTES: usize = 50_000;
/// Layers of the image in parts.
const LAYERS: usize = 10;

impl Fixture {
    /// Makes all of it below `folder`; the large image of the files in `large`, or of files of its own.
    pub fn make(folder: &Path, large: Option<&Path>) -> Result<Fixture, String> {
        let root = folder.join("rootfs");
        busybox_root(&root)?;
        let busybox = archive(folder, "bench-busybox", &[whole(&root)])?;
        let own = folder.join("large-rootfs");
        if large.is_none() {
            busybox_root(&own)?;
            fill(&own.join("data")).map_err(|e| format!("cannot make the large image: {e}"))?;
        }
        let large_root = large.unwrap_or(&own);
        let layer = folder.join("layer.tar.gz");
        shell(&format!("{} | gzip > '{}'", whole(large_root), layer.display()))?;
        let large = archive(folder, "bench-large", &[whole(large_root)])?;
        let ten = archive(folder, "bench-ten", &(0..LAYERS).map(|index| part(large_root, index)).collect::<Vec<_>>())?;
        let _ = fs::remove_dir_all(&own);
        Ok(Fixture { busybox, large, ten, layer, root })
    }
}

/// A line that writes a folder as a tar.
fn whole(root: &Path) -> String {
    format!("tar --numeric-owner -C '{}' -cf - .", root.display())
}

/// A line that writes the part of a folder with that number: files in the order of their paths, and a tenth of all bytes.
fn part(root: &Path, index: usize) -> String {
    let choose = format!(
        "{{ size[NR] = $1; path[NR] = $2; all += $1 }} \
         END {{ for (i = 1; i <= NR; i++) {{ if (int(sum * {LAYERS} / (all + 1)) == {index}) print path[i]; sum += size[i] }} }}"
    );
    format!(
        "cd '{}' && find . ! -type d -printf '%s\\t%p\\n' | LC_ALL=C sort -k 2 | awk -F '\\t' '{choose}' \
         | tar --numeric-owner --no-recursion -T - -cf -",
        root.display()
    )
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

/// A docker-archive, by tar(1) and sha256sum(1), of layers that shell lines write.
fn archive(folder: &Path, name: &str, layers: &[String]) -> Result<PathBuf, String> {
    let work = folder.join(format!("{name}-archive"));
    fs::create_dir_all(&work).map_err(|e| format!("cannot make {}: {e}", work.display()))?;
    let (mut files, mut diff_ids) = (Vec::new(), Vec::new());
    for (index, line) in layers.iter().enumerate() {
        let file = format!("layer{index}.tar");
        let digest = shell(&format!("({line}) | tee '{}' | sha256sum", work.join(&file).display()))?;
        diff_ids.push(format!("sha256:{}", digest.split_whitespace().next().unwrap_or_default()));
        files.push(file);
    }
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [format!("{name}:latest")], "Layers": files}]);
    let written = fs::write(work.join("config.json"), config.to_string())
        .and_then(|()| fs::write(work.join("manifest.json"), manifest.to_string()));
    written.map_err(|e| format!("cannot write {}: {e}", work.display()))?;
    let file = folder.join(format!("{name}.tar"));
    let files = files.join(" ");
    shell(&format!("tar -C '{}' -cf '{}' manifest.json config.json {files}", work.display(), file.display()))?;
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
