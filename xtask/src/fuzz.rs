//! `cargo xtask fuzz`: every parser of foreign bytes meets mutated ones for a bounded time.
//!
//! Coverage comes from LLVM's own pass, which a stable compiler has; the targets are in `fuzz/`, seeds and findings below
//! `target/fuzz`.

use crate::suite::root;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Targets with the longest input that makes sense, in bytes.
const TARGETS: &[(&str, u32)] = &[
    ("extract", 32_768),
    ("decompress", 65_536),
    ("load", 16_384),
    ("reference", 512),
    ("credentials", 4096),
    ("challenge", 1024),
    ("names", 4096),
    ("dockerfile", 4096),
    ("ignore", 2048),
    ("solve", 8192),
];

const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table";

const SECONDS: u32 = 20;
/// Most memory of a target, in MiB, and most seconds for one input.
const MEMORY: u32 = 1024;
const ONE_INPUT: u32 = 20;
/// Lines of a crash that are shown.
const SHOWN: usize = 40;

struct Wanted {
    seconds: u32,
    targets: Vec<(&'static str, u32)>,
}

pub fn run(options: &[String]) -> Result<(), String> {
    let wanted = parse(options)?;
    build(&wanted.targets)?;
    let results = wanted.targets.iter().map(|(name, longest)| attack(name, *longest, wanted.seconds));
    let broken: Vec<String> = results.filter_map(Result::err).collect();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n\n")) }
}

fn parse(options: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted { seconds: SECONDS, targets: Vec::new() };
    let mut words = options.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let number = words.next().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
            wanted.seconds = number.ok_or("--seconds wants a number")?;
            continue;
        }
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        let known = TARGETS.iter().find(|(name, _)| name == word);
        wanted.targets.push(*known.ok_or_else(|| format!("no target {word}: there are {}", names.join(", ")))?);
    }
    if wanted.targets.is_empty() {
        wanted.targets = TARGETS.to_vec();
    }
    Ok(wanted)
}

fn folder() -> PathBuf {
    root().join("target/fuzz")
}

fn build(targets: &[(&str, u32)]) -> Result<(), String> {
    eprintln!("== building the fuzz targets");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"]).arg(folder());
    for (name, _) in targets {
        cargo.args(["--bin", name]);
    }
    let status = cargo.env("RUSTFLAGS", FLAGS).current_dir(root()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("building the fuzz targets failed: {status}")),
        Err(e) => Err(format!("cannot run cargo: {e}")),
    }
}

fn binary(name: &str) -> Result<PathBuf, String> {
    let triples = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
    let found = triples.iter().map(|triple| folder().join(triple).join("debug").join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("the fuzz target {name} is not where cargo should have put it"))
}

/// Runs one target; `Err` tells what it found.
fn attack(name: &str, longest: u32, seconds: u32) -> Result<(), String> {
    let at = |e: std::io::Error| format!("cannot prepare {name}: {e}");
    let (corpus, found) = (folder().join("corpus").join(name), folder().join("found").join(name));
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).map_err(at)?;
    }
    // What the target unpacks is best in memory, and goes with this folder however the target ends.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.map_err(at)?;
    let output = Command::new(binary(name)?)
        .arg(&corpus)
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={longest}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-timeout={ONE_INPUT}"))
        .arg("-print_final_stats=1")
        .env("FUZZ_SEEDS", &corpus)
        .env("TMPDIR", place.path())
        .stdin(Stdio::null())
        .output()
        .map_err(at)?;
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{name:<12} {:>9} executions in {seconds} s", executions(&said).unwrap_or("?"));
    if output.status.success() {
        return Ok(());
    }
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('#')).collect();
    let tail = &lines[lines.len().saturating_sub(SHOWN)..];
    Err(format!("{name} failed ({}); its input is in {}:\n{}", output.status, found.display(), tail.join("\n")))
}

fn executions(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")).map(str::trim)
}
