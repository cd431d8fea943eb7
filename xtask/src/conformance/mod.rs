//! Other projects' conformance suites, run on our runtime and on its peers, and compared test by test.
//!
//! ```text
//! a checkout of the suite --parts--> [terminal, namespaces, time limit] --text--> outcomes --+
//!                          for each peer, then for ours                                      +--> what only peers pass
//! docs/conformance.md: known differences, each with its reason ------------------------------+
//! ```
//!
//! Nothing of a suite is kept in this repository. Raw output stays below `target/conformance`.

mod bats;
mod builds;
mod buildx;
mod compare;
mod compose;
mod contest;
mod differences;
mod docker_py;
mod images;
mod outcome;
mod rootless;
mod runtime_tools;
mod stage;
mod testcontainers;

use crate::suite;
use compare::Table;
use outcome::Test;
use std::fs;
use std::path::{Path, PathBuf};

/// Who is tested: a name for tables, and a program (a runtime is called `runc`, in a folder of its own).
pub struct Runtime {
    name: String,
    program: PathBuf,
}

/// What can be run in parts: a file of tests, a program of tests, a group.
trait Suite {
    /// As docs/conformance.md has it.
    fn name(&self) -> String;
    /// Who is compared with, when nobody is named.
    fn default_peer(&self) -> &'static str {
        "runc"
    }
    /// Makes the program at `path` ready to be tested; `folder` may be used for it.
    fn runtime(&self, path: &Path, folder: &Path) -> Result<Runtime, String> {
        Runtime::new(path, folder)
    }
    fn parts(&self) -> Result<Vec<String>, String>;
    /// Runs one part and gives all that it said.
    fn say(&self, part: &str, runtime: &Runtime, work: &Path) -> Result<String, String>;
    fn read(&self, text: &str) -> Vec<Test>;
}

/// What was asked.
struct Options {
    runtime: Option<PathBuf>,
    peers: Vec<PathBuf>,
    only: Vec<String>,
    rootless: bool,
    /// Peers' results of an earlier run are taken where there are any.
    cached: bool,
}

/// Runs `SUITE DIR OPTIONS...`; `Err` when a peer passes what ours does not and no reason is known.
pub fn run(words: &[String]) -> Result<(), String> {
    let [suite, checkout, options @ ..] = words else {
        return Err(
            "conformance wants a suite (runc-bats, contest, runtime-tools, docker-py, testcontainers, compose, buildx, builds) and its folder".to_owned()
        );
    };
    if !rustix::process::geteuid().is_root() {
        return Err("conformance suites make namespaces and control groups: run this as root".to_owned());
    }
    match suite.as_str() {
        "compose" => return compose::run(checkout),
        "buildx" => return buildx::run(checkout),
        _ => {}
    }
    let options = parse(options)?;
    let checkout = fs::canonicalize(checkout).map_err(|e| format!("cannot open {checkout}: {e}"))?;
    let suites: Vec<Box<dyn Suite>> = match suite.as_str() {
        "runc-bats" if options.rootless => rootless::suites(&checkout)?,
        _ if options.rootless => return Err("--rootless is for runc-bats".to_owned()),
        "runc-bats" => vec![Box::new(bats::Bats::prepare(&checkout)?)],
        "contest" => vec![Box::new(contest::Contest::prepare(&checkout)?)],
        "docker-py" => vec![Box::new(docker_py::DockerPy::prepare(&checkout)?)],
        "testcontainers" => vec![Box::new(testcontainers::Testcontainers::prepare(&checkout)?)],
        "builds" => vec![Box::new(builds::Builds::prepare(&checkout)?)],
        "runtime-tools" => vec![Box::new(runtime_tools::RuntimeTools::prepare(&checkout)?)],
        other => {
            return Err(format!(
                "no suite {other}: there are runc-bats, contest, runtime-tools, docker-py, testcontainers, compose and builds"
            ));
        }
    };
    let work = stage::folder()?;
    let first = suites.first().ok_or("no suite")?;
    let runtimes = runtimes(first.as_ref(), &options, work.path())?;
    let wrong: Vec<String> =
        suites.iter().filter_map(|suite| judge(suite.as_ref(), &runtimes, &options, work.path()).err()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Builds what runc's suite needs, where it is not there: its test programs and images.
pub fn ready_bats(checkout: &Path) -> Result<(), String> {
    bats::Bats::prepare(checkout).map(drop)
}

fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options { runtime: None, peers: Vec::new(), only: Vec::new(), rootless: false, cached: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--runtime" => options.runtime = Some(PathBuf::from(value()?)),
            "--peer" => options.peers.push(PathBuf::from(value()?)),
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--rootless" => options.rootless = true,
            "--cached" => options.cached = true,
            other => {
                return Err(format!(
                    "unknown option {other}: --runtime, --peer, --only, --rootless, --cached are known"
                ));
            }
        }
    }
    Ok(options)
}

/// Peers first, ours last.
fn runtimes(suite: &dyn Suite, options: &Options, work: &Path) -> Result<Vec<Runtime>, String> {
    let ours = match &options.runtime {
        Some(path) => path.clone(),
        None => {
            crate::suite::cargo(&["build", "--bin", "dhow"])?;
            crate::suite::binary("dev")?
        }
    };
    let found: Vec<PathBuf> =
        if options.peers.is_empty() { stage::find(suite.default_peer()).into_iter().collect() } else { Vec::new() };
    let mut runtimes = Vec::new();
    for (number, path) in options.peers.iter().chain(&found).chain([&ours]).enumerate() {
        runtimes.push(suite.runtime(path, &work.join(format!("runtime-{number}")))?);
    }
    Ok(runtimes)
}

/// A whole engine is left where it is: dockerd's helpers lie beside it.
fn engine(path: &Path) -> Result<Runtime, String> {
    let program = std::path::absolute(path).map_err(|e| format!("cannot find {}: {e}", path.display()))?;
    let version = stage::version(&program).ok_or_else(|| format!("{} tells no version", program.display()))?;
    let name = version.split(',').next().unwrap_or(&version).to_owned();
    Ok(Runtime { name, program })
}

impl Runtime {
    /// Suites look at the name of the program, so each is called `runc`.
    fn new(path: &Path, folder: &Path) -> Result<Runtime, String> {
        let path = fs::canonicalize(path).map_err(|e| format!("cannot find the runtime {}: {e}", path.display()))?;
        let program = folder.join("runc");
        fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        // No symbolic link: some follow it before they call it.
        let linked = fs::hard_link(&path, &program).or_else(|_| fs::copy(&path, &program).map(|_| ()));
        linked.map_err(|e| format!("cannot make {}: {e}", program.display()))?;
        let name = stage::version(&program).unwrap_or_else(|| path.display().to_string());
        Ok(Runtime { name, program })
    }
}

/// Runs the parts of a suite on each runtime, prints, compares.
fn judge(suite: &dyn Suite, runtimes: &[Runtime], options: &Options, work: &Path) -> Result<(), String> {
    let parts = suite.parts()?;
    if let Some(strange) = options.only.iter().find(|only| !parts.contains(only)) {
        return Err(format!("{} has no part {strange}: there are {}", suite.name(), parts.join(", ")));
    }
    let mut table = Table::new(&suite.name(), runtimes.iter().map(|runtime| runtime.name.clone()));
    for part in parts.iter().filter(|part| options.only.is_empty() || options.only.contains(part)) {
        for (number, runtime) in runtimes.iter().enumerate() {
            let ours = number + 1 == runtimes.len();
            let text = text(suite, part, runtime, work, options.cached && !ours)?;
            table.add(number, part, suite.read(&text));
        }
        println!("{}", table.part(part));
    }
    let known = differences::Known::read(&suite::root().join("docs/conformance.md"), &suite.name())?;
    table.verdict(&known)
}

fn text(suite: &dyn Suite, part: &str, runtime: &Runtime, work: &Path, cached: bool) -> Result<String, String> {
    let plain = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    let kept = suite::root().join("target/conformance").join(plain(&suite.name())).join(plain(&runtime.name));
    let file = kept.join(format!("{}.txt", plain(part)));
    if cached && let Ok(text) = fs::read_to_string(&file) {
        return Ok(text);
    }
    let text = suite.say(part, runtime, work)?;
    let at = |e: std::io::Error| format!("cannot write {}: {e}", file.display());
    fs::create_dir_all(&kept).map_err(at)?;
    fs::write(&file, &text).map_err(at)?;
    Ok(text)
}
