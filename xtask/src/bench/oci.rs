//! What is measured of OCI runtimes: ours, crun and runc, from `create` to `delete`, on the same bundle.

use super::figures::{Figure, milliseconds};
use super::fixture::{Fixture, shell};
use super::installed;
use super::peers::succeed;
use crate::suite;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const NAMES: &[&str] = &["oci-warm", "oci-cold", "oci-run"];

/// A runtime and where it keeps its state.
struct Runtime {
    name: &'static str,
    program: Vec<String>,
    bundle: PathBuf,
}

/// Measures all figures wanted.
pub fn all(fixture: &Fixture, folder: &Path, runs: usize, only: &[String]) -> Vec<Figure> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    if !NAMES.iter().any(|name| wanted(name)) {
        return Vec::new();
    }
    let runtimes = match runtimes(fixture, folder) {
        Ok(runtimes) => runtimes,
        Err(error) => {
            eprintln!("{error}");
            return Vec::new();
        }
    };
    let mut figures = Vec::new();
    if wanted("oci-warm") {
        figures.push(each("oci-warm", &runtimes, runs, Runtime::life));
    }
    if wanted("oci-cold") {
        figures.push(each("oci-cold", &runtimes, runs.min(10), Runtime::cold_life));
    }
    if wanted("oci-run") {
        figures.push(each("oci-run", &runtimes, runs, Runtime::run));
    }
    figures
}

fn runtimes(fixture: &Fixture, folder: &Path) -> Result<Vec<Runtime>, String> {
    // Installed, as the others are: with nothing cached, each folder of a long path is a read of its own.
    let dhow = folder.join("oci-dhow-binary");
    fs::copy(suite::binary("release")?, &dhow).map_err(|e| format!("cannot copy the binary: {e}"))?;
    let dhow = dhow.display().to_string();
    let peers =
        ["crun", "runc"].into_iter().filter_map(|name| Some((name, vec![installed(name)?.display().to_string()])));
    std::iter::once(("dhow", vec![dhow, "runtime".to_owned()]))
        .chain(peers)
        .map(|(name, program)| Runtime::new(name, program, fixture, folder))
        .collect()
}

fn each(
    name: &'static str,
    runtimes: &[Runtime],
    runs: usize,
    deed: impl Fn(&Runtime, usize) -> Result<Duration, String>,
) -> Figure {
    eprintln!("== {name}");
    let mut samples: Vec<(String, Vec<f64>)> =
        runtimes.iter().map(|runtime| (runtime.name.to_owned(), Vec::new())).collect();
    for run in 0..=runs {
        for (runtime, (_, times)) in runtimes.iter().zip(&mut samples) {
            match deed(runtime, run) {
                // The first one warms up.
                Ok(_) if run == 0 => {}
                Ok(took) => times.push(milliseconds(took)),
                Err(e) => eprintln!("{e}"),
            }
        }
    }
    Figure { name, unit: "ms", less_is_better: true, samples }
}

impl Runtime {
    fn new(name: &'static str, mut program: Vec<String>, fixture: &Fixture, folder: &Path) -> Result<Runtime, String> {
        let bundle = folder.join(format!("oci-{name}"));
        fs::create_dir_all(&bundle).map_err(|e| format!("cannot make {}: {e}", bundle.display()))?;
        shell(&format!("cd '{}' && {} spec", bundle.display(), program.join(" ")))?;
        let path = bundle.join("config.json");
        let text = fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        let mut spec: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = serde_json::json!(["/bin/true"]);
        spec["root"]["path"] = fixture.root.display().to_string().into();
        fs::write(&path, spec.to_string()).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        // Where state lies for real: a tmpfs, the bench's own.
        program.extend(["--root".to_owned(), format!("/run/oci-{name}")]);
        Ok(Runtime { name, program, bundle })
    }

    fn call(&self, words: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(words).current_dir(&self.bundle);
        command.stdin(Stdio::null());
        succeed(command, &format!("{} {}", self.name, words.join(" ")))
    }

    /// `create`, `start`, the end of the program, `delete`.
    fn life(&self, number: usize) -> Result<Duration, String> {
        let id = format!("bench-{}-{number}", std::process::id());
        let file = self.bundle.join("pid");
        let file = file.display().to_string();
        let begun = Instant::now();
        self.quiet_create(&["create", "--bundle", ".", "--pid-file", &file, &id])?;
        let text = fs::read_to_string(&file).map_err(|e| format!("cannot read {file}: {e}"))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| format!("{file}: {text}"))?;
        let pidfd =
            rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|e| format!("process {text}: {e}"))?;
        self.call(&["start", &id])?;
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        rustix::event::poll(&mut ended, None).map_err(|e| format!("cannot wait: {e}"))?;
        self.call(&["delete", &id])?;
        Ok(begun.elapsed())
    }

    /// A container that stays would hold pipes open: its output goes nowhere.
    fn quiet_create(&self, words: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(words).current_dir(&self.bundle);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{} create failed: {status}", self.name)),
            Err(e) => Err(format!("cannot run {}: {e}", self.name)),
        }
    }

    /// The same with nothing in the page cache: neither the runtime, nor its libraries, nor the bundle.
    fn cold_life(&self, number: usize) -> Result<Duration, String> {
        shell("sync; echo 3 > /proc/sys/vm/drop_caches")?;
        self.life(number)
    }

    fn run(&self, number: usize) -> Result<Duration, String> {
        let id = format!("bench-run-{}-{number}", std::process::id());
        let begun = Instant::now();
        self.call(&["run", "--bundle", ".", &id])?;
        Ok(begun.elapsed())
    }
}
