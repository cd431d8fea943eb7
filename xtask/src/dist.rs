//! What is given away: the binary and all that belongs beside it, in target/dist and as one archive.
//!
//! Manual and completions are written by the binary itself, so they say what it does. The same sources give the same bytes:
//! paths of this machine are taken out of the binary, and the archive's times are those of the last commit (SOURCE_DATE_EPOCH).

use crate::suite::{binary, cargo, root};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where files go below the folder, and their text.
const FILES: &[(&str, &str)] = &[
    ("systemd/dhow.service", include_str!("dist/dhow.service")),
    ("systemd/dhow.socket", include_str!("dist/dhow.socket")),
    ("daemon.json", include_str!("dist/daemon.json")),
];

/// The completions' names, as the shells look for them.
const COMPLETIONS: &[(&str, &str)] =
    &[("bash", "completions/bash/dhow"), ("zsh", "completions/zsh/_dhow"), ("fish", "completions/fish/dhow.fish")];

/// Makes everything.
pub fn run(options: &[String]) -> Result<(), String> {
    let built = match options {
        [] => build()?,
        [flag, path] if flag == "--binary" => PathBuf::from(path),
        _ => return Err("usage: cargo xtask dist [--binary PATH]".to_owned()),
    };
    let folder = root().join("target/dist");
    gather(&built, &folder)?;
    let archive = pack(&folder)?;
    eprintln!("== dist: {}", archive.display());
    Ok(())
}

/// A release without the paths of this machine in it.
fn build() -> Result<PathBuf, String> {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"));
    let remap = [(root().display().to_string(), "/dhow"), (home.unwrap_or_default(), "/cargo")];
    let flags: Vec<String> = remap.iter().map(|(from, to)| format!("\"--remap-path-prefix={from}={to}\"")).collect();
    // Added to the flags of .cargo/config.toml, where RUSTFLAGS would stand instead of them.
    let config = format!("target.{}-unknown-linux-gnu.rustflags=[{}]", std::env::consts::ARCH, flags.join(","));
    cargo(&["build", "--release", "--locked", "--bin", "dhow", "--config", &config])?;
    binary("release")
}

/// Fills the folder anew.
fn gather(binary: &Path, folder: &Path) -> Result<(), String> {
    let _ = fs::remove_dir_all(folder);
    let own = folder.join("bin/dhow");
    write(&own, &fs::read(binary).map_err(|e| format!("cannot read {}: {e}", binary.display()))?)?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755))
        .map_err(|e| format!("cannot make it a program: {e}"))?;
    let pages = folder.join("man");
    said_by(&own, &["manual", &pages.display().to_string()])?;
    sort_pages(&pages)?;
    for (shell, path) in COMPLETIONS {
        write(&folder.join(path), &said_by(&own, &["completion", shell])?)?;
    }
    for (path, text) in FILES {
        write(&folder.join(path), text.as_bytes())?;
    }
    for name in ["LICENSE", "README.md"] {
        if let Ok(bytes) = fs::read(root().join(name)) {
            write(&folder.join(name), &bytes)?;
        }
    }
    check_settings(&own, &folder.join("daemon.json"))?;
    write(&folder.join("SHA256SUMS"), sums(folder)?.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let cannot = |e| format!("cannot write {}: {e}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(cannot)?;
    fs::write(path, bytes).map_err(cannot)
}

fn said_by(program: &Path, words: &[&str]) -> Result<Vec<u8>, String> {
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|e| format!("cannot run {}: {e}", program.display()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("dhow {} failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)))
}

/// `dhow-run.1` goes to `man1`, as man(1) wants it.
fn sort_pages(folder: &Path) -> Result<(), String> {
    let cannot = |e| format!("cannot sort the manual: {e}");
    for entry in fs::read_dir(folder).map_err(cannot)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((_, section)) = name.rsplit_once('.') else { continue };
        let place = folder.join(format!("man{section}"));
        fs::create_dir_all(&place).map_err(cannot)?;
        fs::rename(entry.path(), place.join(&name)).map_err(cannot)?;
    }
    Ok(())
}

/// The sample must be good settings.
fn check_settings(program: &Path, settings: &Path) -> Result<(), String> {
    said_by(program, &["engine", "--validate", "--config-file", &settings.display().to_string()]).map(drop)
}

/// As sha256sum(1) writes and checks them.
fn sums(folder: &Path) -> Result<String, String> {
    let mut lines = Vec::new();
    for path in all_files(folder)? {
        let bytes = fs::read(folder.join(&path)).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push(format!("{sum}  {}\n", path.display()));
    }
    Ok(lines.concat())
}

/// Every file below, by its path there, sorted.
fn all_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).map_err(|e| format!("cannot read {}: {e}", next.display()))?.flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => found.extend(path.strip_prefix(folder).map(Path::to_owned)),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// One archive of everything: the order, the times and the owners are always the same.
fn pack(folder: &Path) -> Result<PathBuf, String> {
    let name = format!("dhow-{}-linux-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let archive = folder.with_file_name(format!("{name}.tar.gz"));
    let status = Command::new("tar")
        .args(["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"])
        .arg(format!("--mtime=@{}", epoch()))
        .arg(format!("--transform=s,^\\.,{name},"))
        .args(["--use-compress-program", "gzip -n -9"])
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(folder)
        .arg(".")
        .status();
    match status {
        Ok(status) if status.success() => Ok(archive),
        Ok(status) => Err(format!("tar failed: {status}")),
        Err(e) => Err(format!("cannot run tar: {e}")),
    }
}

/// Seconds since 1970: what SOURCE_DATE_EPOCH says, else the last commit.
fn epoch() -> String {
    let told = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| text.parse::<u64>().is_ok());
    let of_commit = || {
        let output = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
    };
    told.or_else(of_commit).unwrap_or_else(|| "0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_away_is_whole_and_always_the_same() {
        let binary = binary("dev").expect("cargo build --bin dhow comes first");
        let folder = tempfile::tempdir().expect("a folder");
        let dist = folder.path().join("dist");
        gather(&binary, &dist).expect("gathered");
        for file in [
            "bin/dhow",
            "man/man1/dhow.1",
            "man/man1/dhow-run.1",
            "man/man8/dhow-engine.8",
            "man/man5/dhow-daemon.json.5",
            "completions/bash/dhow",
            "completions/zsh/_dhow",
            "completions/fish/dhow.fish",
            "systemd/dhow.service",
            "systemd/dhow.socket",
            "daemon.json",
            "SHA256SUMS",
        ] {
            assert!(dist.join(file).is_file(), "{file}");
        }
        let checked = Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&dist).status();
        assert!(checked.expect("sha256sum runs").success());
        let archive = |dist: &Path| fs::read(pack(dist).expect("packed")).expect("an archive");
        let first = Sha256::digest(archive(&dist));
        gather(&binary, &dist).expect("gathered again");
        assert_eq!(first, Sha256::digest(archive(&dist)));
    }
}
