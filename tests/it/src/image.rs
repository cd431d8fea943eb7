//! Images made for tests from the machine's own static busybox.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{fs, io};

/// A docker-archive with one image, `busybox:latest`; made once for each test program.
pub fn busybox_archive() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| made("docker", |folder| docker_archive(folder).expect("a docker-archive can be made")))
}

/// The same as an OCI archive with a gzipped layer.
pub fn oci_archive() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| made("oci", |folder| make_oci_archive(folder).expect("an OCI archive can be made")))
}

/// A docker-archive with `layered:latest`: busybox, and eleven layers of a few megabytes that are alike in nothing.
pub fn layered_archive() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| made("layered", |folder| make_layered(folder).expect("a docker-archive can be made")))
}

/// In a temporary folder for each test program, which goes when that ends.
fn made(name: &str, make: impl FnOnce(&Path) -> PathBuf) -> PathBuf {
    let folder = tempfile::Builder::new().prefix(&format!("dhow-it-{name}-")).tempdir().expect("a folder for fixtures");
    let folder = folder.keep();
    remove_at_end(&folder);
    make(&folder)
}

/// Nothing is dropped of what lives as long as the program. Its end, whichever it is, is the end of a pipe that somebody else reads.
fn remove_at_end(folder: &Path) {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP INT TERM; read -r end; rm -rf \"$1\"", "sh"]).arg(folder);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    std::mem::forget(child.expect("a shell"));
}

/// Fills `root` with busybox, its names, and a few files whose owners and modes tests look at.
pub fn busybox_root(root: &Path) -> io::Result<()> {
    for name in ["bin", "etc", "tmp", "root", "home/alice", "data"] {
        fs::create_dir_all(root.join(name))?;
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists());
    let busybox = busybox.ok_or_else(|| io::Error::other("no busybox: apt-get install busybox-static"))?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    let names = Command::new(busybox).arg("--list").output()?;
    for name in String::from_utf8_lossy(&names.stdout).lines().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n")?;
    fs::write(root.join("data/seed"), "from the image\n")?;
    fs::write(root.join("bin/not-executable"), "#!/bin/sh\n")?;
    std::os::unix::fs::chown(root.join("home/alice"), Some(1000), Some(1000))
}

fn docker_archive(folder: &Path) -> io::Result<PathBuf> {
    let (layer, diff_id) = layer(folder)?;
    fs::write(folder.join("config.json"), config(&[format!("sha256:{diff_id}")]))?;
    let manifest = r#"[{"Config":"config.json","RepoTags":["busybox:latest"],"Layers":["layer.tar"]}]"#;
    fs::write(folder.join("manifest.json"), manifest)?;
    let archive = folder.join("busybox.tar");
    shell(&format!("tar -C '{}' -cf '{}' manifest.json config.json layer.tar", folder.display(), archive.display()))?;
    fs::remove_file(layer)?;
    Ok(archive)
}

fn make_layered(folder: &Path) -> io::Result<PathBuf> {
    let (first, first_id) = layer(folder)?;
    fs::rename(first, folder.join("layer0.tar"))?;
    let (mut files, mut diff_ids) = (vec!["layer0.tar".to_owned()], vec![format!("sha256:{first_id}")]);
    for index in 1..12_u64 {
        let root = folder.join("part");
        for number in 0..40 {
            let sub = root.join(format!("part{index}/{}", number % 4));
            fs::create_dir_all(&sub)?;
            fs::write(sub.join(format!("file{number}")), noise(index * 1000 + number, 64 * 1024))?;
        }
        let file = format!("layer{index}.tar");
        let layer = folder.join(&file);
        shell(&format!("tar --numeric-owner -C '{}' -cf '{}' .", root.display(), layer.display()))?;
        fs::remove_dir_all(root)?;
        diff_ids.push(format!("sha256:{}", sha256(&layer)?));
        files.push(file);
    }
    let quoted = |list: &[String]| list.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(",");
    fs::write(folder.join("config.json"), config(&diff_ids))?;
    let manifest =
        format!(r#"[{{"Config":"config.json","RepoTags":["layered:latest"],"Layers":[{}]}}]"#, quoted(&files));
    fs::write(folder.join("manifest.json"), manifest)?;
    let archive = folder.join("layered.tar");
    let files = files.join(" ");
    shell(&format!("tar -C '{}' -cf '{}' manifest.json config.json {files}", folder.display(), archive.display()))?;
    shell(&format!("cd '{}' && rm {files}", folder.display()))?;
    Ok(archive)
}

/// Bytes that gzip to about half.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
        bytes.extend_from_slice(b"same old");
    }
    bytes
}

fn make_oci_archive(folder: &Path) -> io::Result<PathBuf> {
    let (layer, diff_id) = layer(folder)?;
    let layout = folder.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    shell(&format!("gzip -n '{}'", layer.display()))?;
    let (layer, layer_size) = blob(&blobs, &fs::read(folder.join("layer.tar.gz"))?)?;
    let (config, config_size) = blob(&blobs, config(&[format!("sha256:{diff_id}")]).as_bytes())?;
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{config}","size":{config_size}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:{layer}","size":{layer_size}}}]}}"#
    );
    let (manifest, manifest_size) = blob(&blobs, manifest.as_bytes())?;
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{manifest}","size":{manifest_size},"annotations":{{"io.containerd.image.name":"docker.io/library/busybox:oci","org.opencontainers.image.ref.name":"oci"}}}}]}}"#
    );
    fs::write(layout.join("index.json"), index)?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let archive = folder.join("busybox-oci.tar");
    shell(&format!("tar -C '{}' -cf '{}' .", layout.display(), archive.display()))?;
    Ok(archive)
}

fn layer(folder: &Path) -> io::Result<(PathBuf, String)> {
    let root = folder.join("rootfs");
    busybox_root(&root)?;
    let layer = folder.join("layer.tar");
    shell(&format!("tar --numeric-owner -C '{}' -cf '{}' .", root.display(), layer.display()))?;
    let digest = sha256(&layer)?;
    fs::remove_dir_all(root)?;
    Ok((layer, digest))
}

fn config(diff_ids: &[String]) -> String {
    let history = diff_ids.iter().map(|_| r#"{"created_by":"tar"}"#).collect::<Vec<_>>().join(",");
    let diff_ids = diff_ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(",");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    format!(
        r#"{{"architecture":"{architecture}","os":"linux","created":"2026-01-02T03:04:05Z","config":{{"Cmd":["sh"],"Env":["PATH=/bin","FROM_IMAGE=yes"],"Labels":{{"made-by":"test"}}}},"rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}},"history":[{history}]}}"#
    )
}

fn blob(folder: &Path, bytes: &[u8]) -> io::Result<(String, usize)> {
    let temporary = folder.join("new");
    fs::write(&temporary, bytes)?;
    let digest = sha256(&temporary)?;
    fs::rename(temporary, folder.join(&digest))?;
    Ok((digest, bytes.len()))
}

fn sha256(path: &Path) -> io::Result<String> {
    let text = shell(&format!("sha256sum '{}'", path.display()))?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

fn shell(line: &str) -> io::Result<String> {
    let output = Command::new("sh").args(["-c", line]).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("`{line}`: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
