//! One bundle, one runtime, one state folder; nothing is left when it is over.

use crate::bundle::Bundle;
use crate::left::{cgroup_folders, mounts_below, processes_below};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Whose runtime is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    pub name: String,
    program: Vec<String>,
}

impl Runtime {
    /// Ours: `dhow runtime`.
    pub fn ours() -> Runtime {
        Runtime::of_binary(&it::binary())
    }

    /// `runtime` of a given dhow.
    pub fn of_binary(binary: &Path) -> Runtime {
        Runtime { name: "dhow".to_owned(), program: vec![binary.display().to_string(), "runtime".to_owned()] }
    }

    /// The reference. It has to be installed: a suite that is not checked says little.
    pub fn runc() -> Runtime {
        Runtime { name: "runc".to_owned(), program: vec!["runc".to_owned()] }
    }
}

/// What a call said.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
    words: String,
}

impl Output {
    /// Its standard output; a failure of the call is one of the test.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{}: {}\n{}{}", self.words, self.status, self.out, self.err);
        self.out
    }

    /// Its standard error; success of the call is a failure of the test.
    #[track_caller]
    pub fn fails(self) -> String {
        assert!(!self.status.success(), "{} succeeded: {}", self.words, self.out);
        self.err
    }

    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// A container that may be made, and its surroundings.
#[derive(Debug)]
pub struct Case {
    pub runtime: Runtime,
    pub bundle: Bundle,
    pub id: String,
    pub cgroup: String,
    pub folder: tempfile::TempDir,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Case {
    /// A bundle that runs `args`.
    pub fn new(runtime: &Runtime, args: &[&str]) -> Case {
        assert!(rustix::process::geteuid().is_root(), "these tests need root");
        let folder = tempfile::Builder::new().prefix("dhow-oci-").tempdir().expect("a temporary folder");
        let mut bundle = Bundle::new(&folder.path().join("bundle"), args).expect("a bundle");
        let id = format!("oci-tests-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let cgroup = format!("/{id}");
        bundle.config["linux"]["cgroupsPath"] = Value::from(cgroup.clone());
        Case { runtime: runtime.clone(), bundle, id, cgroup, folder }
    }

    /// A bundle that sleeps for long.
    pub fn sleeping(runtime: &Runtime) -> Case {
        Case::new(runtime, &["sleep", "1000"])
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn state_root(&self) -> PathBuf {
        self.path().join("state")
    }

    /// A call with global options; `words` begins with the verb.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime.program[0]);
        command.args(&self.runtime.program[1..]).arg("--root").arg(self.state_root()).args(words);
        command.current_dir(&self.bundle.path).stdin(Stdio::null());
        command
    }

    /// Calls and waits. Output goes through files: a container that stays would hold a pipe open.
    pub fn call(&self, words: &[&str]) -> Output {
        self.finish(self.command(words), words)
    }

    /// As [`call`](Self::call), with a command made before.
    pub fn finish(&self, mut command: Command, words: &[&str]) -> Output {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let [out, err] = ["out", "err"].map(|name| self.path().join(format!("{name}-{number}")));
        let file = |path: &Path| File::create(path).expect("a file for output");
        command.stdout(file(&out)).stderr(file(&err));
        let status = command.status().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Output { status, out: text(&out), err: text(&err), words: words.join(" ") }
    }

    /// `run` in the foreground.
    pub fn run(&self) -> Output {
        self.bundle.save().expect("config.json");
        self.call(&["run", &self.id])
    }

    /// `create`; the container's output goes to the file [`log`](Self::log).
    #[track_caller]
    pub fn create(&self) {
        self.try_create(&[]).ok();
    }

    pub fn try_create(&self, options: &[&str]) -> Output {
        self.bundle.save().expect("config.json");
        let words = [&["create"], options, &[self.id.as_str()]].concat();
        let mut command = self.command(&words);
        let log = File::create(self.log()).expect("a log file");
        let both = log.try_clone().expect("a log file");
        command.stdout(log).stderr(both);
        let status = command.status().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        Output { status, out: String::new(), err: self.logged(), words: words.join(" ") }
    }

    /// `create` and `start`.
    #[track_caller]
    pub fn begin(&self) {
        self.create();
        self.call(&["start", &self.id]).ok();
    }

    /// `exec` in the container.
    pub fn exec(&self, words: &[&str]) -> Output {
        self.call(&[&["exec", self.id.as_str()], words].concat())
    }

    pub fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.id]).ok()).expect("the state as JSON")
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the container has that status.
    #[track_caller]
    pub fn await_status(&self, wanted: &str) {
        it::within(&format!("the container is {wanted}"), || self.status() == wanted);
    }

    fn leftovers(&self) -> Vec<String> {
        let mut left = processes_below(&self.bundle.path);
        left.extend(cgroup_folders(&self.cgroup).iter().map(|path| path.display().to_string()));
        left.extend(mounts_below(self.path()));
        left.extend(
            fs::read_dir(self.state_root()).into_iter().flatten().flatten().map(|entry| format!("{:?}", entry.path())),
        );
        left
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "-f", &self.id]);
        let limit = Instant::now() + Duration::from_secs(60);
        let mut left = self.leftovers();
        while !left.is_empty() && Instant::now() < limit {
            std::thread::yield_now();
            left = self.leftovers();
        }
        if !left.is_empty() && !std::thread::panicking() {
            panic!("{} left behind: {left:#?}", self.runtime.name);
        }
    }
}
