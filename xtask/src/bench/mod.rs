//! Side by side in one run: dhow, the engines and runtimes that are installed, and the kernel's own floor.
//!
//! Everything runs in network, mount and process namespaces of its own, on data roots of its own below a temporary folder, with
//! empty `/run` and `/dev/shm`, so that nothing is left. Samples of all peers are interleaved (A B C A B C ...): a machine
//! whose speed drifts drifts for all.

mod asking;
mod builds;
mod crowd;
mod figures;
mod fixture;
mod floor;
mod goals;
mod groups;
mod images;
mod inside;
mod memory;
mod network;
mod oci;
mod peers;
mod table;
mod traffic;

use crate::suite;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the process inside the namespaces: the folder to work in.
const INSIDE: &str = "DHOW_BENCH_INSIDE";

/// The shell stays as the first process of its namespace, and reaps what daemons leave to it.
const FIRST: &str = "\
    ip link set lo up && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm || exit 1
    [ ! -d /var/lib/cni ] || mount -t tmpfs tmpfs /var/lib/cni || exit 1
    \"$0\" \"$@\"
    exit $?";

/// What was asked.
struct Options {
    runs: usize,
    only: Vec<String>,
    json: PathBuf,
    /// What the large image is made of.
    large: Option<PathBuf>,
}

/// Builds, enters namespaces of its own, measures, prints.
pub fn run(words: &[String]) -> Result<(), String> {
    if let Some((_, words)) = words.split_first().filter(|(first, _)| *first == "inside") {
        return inside::run(words);
    }
    if words == ["--list"] {
        figures::NAMES
            .iter()
            .chain(crowd::NAMES)
            .chain(network::NAMES)
            .chain(traffic::NAMES)
            .chain(images::NAMES)
            .chain(oci::NAMES)
            .chain(builds::NAMES)
            .for_each(|name| println!("{name}"));
        return Ok(());
    }
    let options = parse(words)?;
    if let Some(folder) = std::env::var_os(INSIDE) {
        return measure(&options, Path::new(&folder));
    }
    suite::cargo(&["build", "--release", "-p", "dhow", "-p", "floor"])?;
    let this = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let folder =
        tempfile::Builder::new().prefix("dhow-bench-").tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
    let before = groups::Groups::look();
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", FIRST])
        .arg(this)
        .arg("bench")
        .args(words)
        .env(INSIDE, folder.path())
        .status()
        .map_err(|e| format!("cannot run unshare(1): {e}"))?;
    before.remove_new();
    if status.success() { Ok(()) } else { Err("the bench failed".to_owned()) }
}

fn parse(words: &[String]) -> Result<Options, String> {
    let mut options =
        Options { runs: 20, only: Vec::new(), json: suite::root().join("target/bench.json"), large: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--runs" => options.runs = value()?.parse().map_err(|e| format!("--runs: {e}"))?,
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--large" => options.large = Some(PathBuf::from(value()?)),
            "--json" => options.json = PathBuf::from(value()?),
            other => return Err(format!("unknown option {other}: --runs, --only, --large, --json, --list are known")),
        }
    }
    Ok(options)
}

fn measure(options: &Options, folder: &Path) -> Result<(), String> {
    let fixture = fixture::Fixture::make(folder, options.large.as_deref())?;
    let peers = peers::Peers::start(folder, &fixture)?;
    let mut memory = if wanted(options, "memory") { memory::measure(&peers) } else { Vec::new() };
    let mut figures = figures::all(&peers, options.runs, &options.only);
    figures.extend(crowd::all(&peers, options.runs, &options.only));
    figures.extend(network::all(&peers, &options.only));
    figures.extend(traffic::all(&peers, &options.only));
    figures.extend(images::all(&peers, &fixture, folder, &options.only));
    figures.extend(builds::all(&peers, &fixture, folder, &options.only));
    figures.extend(oci::all(&fixture, folder, options.runs, &options.only));
    memory::again(&peers, &mut memory);
    let versions = peers.versions();
    drop(peers);
    for left in memory::settled_processes() {
        eprintln!("left behind: {left}");
    }
    let goals = goals::of(&figures, &memory);
    print!("{}", table::render(&figures, &memory, &goals, &format!("{}\n{versions}", binary_size()?)));
    table::save(&options.json, &figures, &memory)?;
    println!("raw numbers: {}", options.json.display());
    Ok(())
}

fn wanted(options: &Options, name: &str) -> bool {
    options.only.is_empty() || options.only.iter().any(|only| only == name)
}

fn binary_size() -> Result<String, String> {
    let path = suite::binary("release")?;
    let bytes = std::fs::metadata(&path).map_err(|e| format!("cannot look at {}: {e}", path.display()))?.len();
    Ok(format!("dhow binary: {:.1} MiB", to_mib(bytes)))
}

fn to_mib(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    bytes / 1_048_576.0
}

/// Whether a program is installed.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| Path::is_file(file))
}
